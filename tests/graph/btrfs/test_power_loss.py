"""What a store on btrfs has answered is there after the power goes: the disk is copied as it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from layerstore import LayerStore
from tests.support.filesystems import LoopFileSystem
from tests.support.tars import layer_tar

pytestmark = pytest.mark.root


def test_what_was_answered_is_there_after_the_power_went(tmp_path: Path) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    (tmp_path / "after/mounted").mkdir()
    system = LoopFileSystem(tmp_path / "before", "btrfs", 2048)
    try:
        with LayerStore(system.path / "root", driver="btrfs", workers=0) as store:
            base = store.register(layer_tar({"a": b"1", "dir": None, "dir/b": b"2" * 10_000}))
            top = store.register(layer_tar({"c": b"3"}), base.chain_id)
            kept, gone = (store.create_rw_layer(name, top.chain_id) for name in ("kept", "gone"))
            fork = kept.fork("fork")
            gone.release()
            _copy(tmp_path / "before/image", tmp_path / "after/image")
            for layer in (kept, fork, top, base):
                layer.release()
    finally:
        system.remove()
    mounted = tmp_path / "after/mounted"
    subprocess.run(["mount", "-o", "loop", tmp_path / "after/image", mounted], check=True)
    try:
        with LayerStore(mounted / "root", driver="btrfs", workers=0) as store:
            assert store.faults == []
            assert store.check(full=True) == []
            assert [mount.name for mount in store.mounts()] == ["fork", "kept"]
            for name in ("fork", "kept"):
                with store.get_rw_layer(name).mounted() as path:
                    found = {entry.name for entry in Path(path).iterdir()}
                    assert found == {"a", "c", "dir"}
                    assert Path(path, "dir/b").read_bytes() == b"2" * 10_000
    finally:
        subprocess.run(["umount", mounted], check=True)


def _copy(image: Path, target: Path) -> None:
    """Copy what has been written to a disk by now, holes as holes."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", image, target], check=True)
