"""Layers are laid apart from each other where ext4 would otherwise look at what was removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore import LayerStore
from layerstore.drivers.system.apart import TOP_OF_HIERARCHIES, flags_of, lay_apart
from tests.support.tars import layer_tar

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("fstype", "size", "hinted"),
    [("ext4 without a journal", 16, True), ("ext4", 16, False), ("tmpfs", 8, False)],
)
@pytest.mark.parametrize("driver", ["overlay2", "vfs"])
def test_the_hint_is_given_where_it_helps(
    make_file_system: Callable[[str, int], Path],
    fstype: str,
    size: int,
    hinted: bool,
    driver: str,
) -> None:
    root = make_file_system(fstype, size) / "root"
    home = {"overlay2": "overlay2", "vfs": "vfs/dir"}[driver]
    for _ in range(2):
        with LayerStore(root, driver=driver, prespawn=False) as store:
            layer = store.register(layer_tar({"f": b"content"}))
            cache_id = store.map()[layer.chain_id].cache_id
            for place in (home, f"image/{driver}/layerdb/tmp"):
                assert _is_hinted(root / place) is hinted
            for place in (f"image/{driver}/layerdb/sha256", f"{home}/{cache_id}"):
                assert not _is_hinted(root / place)
            layer.release()


def test_where_there_is_nothing_to_hint_at_nothing_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (tmp_path / "gone", tmp_path / "file", tmp_path / "link", Path("/proc")):
        lay_apart(str(path))


def _is_hinted(path: Path) -> bool:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return bool(flags_of(directory) & TOP_OF_HIERARCHIES)
    except OSError:
        return False  # of a file system that knows no flags
    finally:
        os.close(directory)
