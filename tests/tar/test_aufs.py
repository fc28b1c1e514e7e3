"""Layers that docker made with aufs: hard links to what lies beneath `.wh..wh.plnk`."""

from __future__ import annotations

import gzip
import io
import os
import stat
from pathlib import Path

import pytest

from layerstore import LayerStore
from layerstore.drivers.errors import InvalidTar, LimitExceeded
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import WhiteoutFormat
from layerstore.drivers.tar.unpack.apply import apply_tar
from tests.support.archives import digest_of
from tests.tar.corpus.builder import Layer, Member, directory, file, link, symlink, tar

pytestmark = pytest.mark.root

PLNK = [
    directory(".wh..wh.plnk/"),
    file(".wh..wh.plnk/12.34", b"linked" * 1000, mode=0o4755, uid=7, mtime=1000),
    file(".wh..wh.plnk/56.78", b"other", mode=0o600),
    file(".wh..wh.aufs", b"more"),
    directory(".wh..wh.orph/"),
]
WHOLE = tar(
    *PLNK,
    directory("bin/"),
    link("bin/a", ".wh..wh.plnk/12.34", mode=0o600, mtime=5),
    file("bin/b", b"b"),
    link("c", ".wh..wh.plnk/12.34"),
    link("d", "./.wh..wh.plnk/56.78"),
    link("e", "d"),
)


@pytest.fixture(params=WhiteoutFormat)
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> Layer:
    return Layer(tmp_path / "layer", request.param)


def test_a_link_to_a_member_of_aufs_makes_a_file_of_it(layer: Layer) -> None:
    layer.apply(WHOLE)
    assert layer.names() == ["bin/", "bin/a", "bin/b", "c", "d", "e"]
    for name in ("bin/a", "c"):
        path = layer.root / name
        status = path.stat()
        assert path.read_bytes() == b"linked" * 1000
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_mtime) == (0o4755, 7, 1000)
    assert (layer.root / "d").read_bytes() == b"other"
    assert os.path.samefile(layer.root / "d", layer.root / "e")
    assert not os.path.samefile(layer.root / "c", layer.root / "bin/a")


@pytest.mark.parametrize("compressed", [False, True])
def test_such_a_layer_is_given_back_to_the_bit(store: LayerStore, compressed: bool) -> None:
    given = gzip.compress(WHOLE) if compressed else WHOLE
    made = store.register(given, compression="auto", expected_diff_id=digest_of(WHOLE))
    with made.tar_stream() as stream:
        assert stream.read() == WHOLE
    assert store.check(full=True) == []


def test_of_a_file_that_is_replaced_later_the_layer_is_given_back_too(store: LayerStore) -> None:
    data = tar(*PLNK, link("a", ".wh..wh.plnk/12.34"), file("./a", b"new"), symlink("a/../b", "a"))
    made = store.register(data)
    with made.tar_stream() as stream:
        assert stream.read() == data
    assert made.diff_size >= len(b"new")


def test_a_sparse_member_is_linked_to_with_its_holes(layer: Layer, tmp_path: Path) -> None:
    (tmp_path / "sparse").write_bytes(bytes(1 << 20) + b"end")
    records = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
               "GNU.sparse.name": ".wh..wh.plnk/1.2",
               "GNU.sparse.realsize": str((1 << 20) + 3)}  # fmt: skip
    content = f"1\n{1 << 20}\n3\n".encode().ljust(512, b"\0") + b"end"
    layer.apply(tar(file("GNUSparseFile/x", content, pax_headers=records),
                    link("a", ".wh..wh.plnk/1.2")))  # fmt: skip
    assert (layer.root / "a").read_bytes() == bytes(1 << 20) + b"end"


@pytest.mark.parametrize(
    "members",
    [
        [link("a", ".wh..wh.plnk/12.34"), *PLNK],
        [*PLNK, link("a", ".wh..wh.plnk/none")],
        [directory(".wh..wh.plnk/"), symlink(".wh..wh.plnk/1", "/etc/passwd"),
         link("a", ".wh..wh.plnk/1")],
        [file(".wh..wh.aufs", b"x"), link("a", ".wh..wh.aufs")],
    ],
    ids=["too early", "none such", "no file", "of another kind"],
)  # fmt: skip
def test_a_link_to_what_is_not_there_is_refused(layer: Layer, members: list[Member]) -> None:
    with pytest.raises(InvalidTar, match="a hard link to a file that does not exist"):
        layer.apply(tar(*members))


def test_what_links_copy_counts_against_the_limit(layer: Layer) -> None:
    links = [link(f"l{number}", ".wh..wh.plnk/12.34") for number in range(10)]
    limits = Limits(max_bytes=50_000)
    with pytest.raises(LimitExceeded, match="the size of all files in bytes"):
        apply_tar(io.BytesIO(tar(*PLNK, *links)), layer.tree, limits=limits)
    assert sum(path.stat().st_size for path in layer.root.iterdir()) <= 50_000
