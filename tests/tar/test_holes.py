"""Holes stay holes: blocks of zeros become some, and files may be written as sparse members."""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerstore.drivers.model.tree import TarStyle
from layerstore.drivers.tar.holes import find_data, sparse_map
from layerstore.drivers.tar.write import write_tree
from tests.docker.other_engines import Umoci
from tests.tar.corpus.builder import Layer, file, tar

pytestmark = pytest.mark.root

BLOCK = 4096
MIB = 1 << 20
DATA = b"data" * 1500
_PARTS = st.lists(
    st.tuples(st.sampled_from([1, 511, 512, 4095, 4096, 4097, 70_000, MIB]), st.booleans()),
    min_size=1,
    max_size=8,
)


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    return Layer(tmp_path / "layer")


def on_disk(path: Path) -> int:
    """Bytes that a file's content takes."""
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("before", ["", "n" * 150])
@pytest.mark.parametrize(
    ("content", "most"),
    [
        (bytes(64 * MIB), BLOCK),
        (DATA + bytes(8 * MIB), 2 * BLOCK),
        (bytes(8 * MIB) + DATA, 3 * BLOCK),
        (b"a" * BLOCK + bytes(BLOCK) + b"b" * BLOCK, 2 * BLOCK),
        (b"a" * (BLOCK - 1) + bytes(2 * BLOCK) + b"b", 2 * BLOCK),
        ((b"\0" * 8 + b"a" * (BLOCK - 8)) * 16, 16 * BLOCK),
        (bytes(100), BLOCK),
    ],
)
def test_blocks_of_zeros_take_no_room(layer: Layer, before: str, content: bytes, most: int) -> None:
    """Less than a block at the end may take one.

    A long name shifts what follows against the buffers that it is read in.
    """
    layer.apply(tar(file(before or "x", b"x"), file("f", content), file("last", b"last")))
    assert (layer.root / "f").read_bytes() == content
    assert (layer.root / "last").read_bytes() == b"last"
    assert on_disk(layer.root / "f") <= most


@given(parts=_PARTS, shift=st.integers(0, 5))
def test_any_content_is_what_it_was(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, bool]], shift: int
) -> None:
    layer = Layer(tmp_path_factory.mktemp("any") / "layer")
    content = b"".join(bytes(size) if zeros else os.urandom(size) for size, zeros in parts)
    layer.apply(tar(file("x", b"x" * 512 * shift), file("f", content)))
    assert (layer.root / "f").read_bytes() == content


def make(path: Path, size: int, *offsets: int) -> None:
    with path.open("wb") as out:
        for offset in offsets:
            out.seek(offset)
            out.write(DATA)
        out.truncate(size)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files with holes everywhere, some of them under names that need records of their own."""
    root = tmp_path / "tree"
    (root / "below").mkdir(parents=True)
    make(root / "begin", 8 * MIB, 0)
    make(root / "below" / "middle", 8 * MIB, 4 * MIB)
    make(root / "end", 8 * MIB + len(DATA), 8 * MIB)
    make(root / "nothing", 8 * MIB)
    make(root / "huge", 9 << 30, 0, 3 << 30)
    make(root / ("n" * 150), 8 * MIB, 17)
    make(root / "grün", 8 * MIB, *range(0, 4 * MIB, 64 << 10))
    make(root / "small", 64 << 10)
    make(root / "mostly-data", 2 * MIB, *range(0, 2 * MIB, len(DATA)))
    (root / "plain").write_bytes(DATA)
    os.setxattr(root / "begin", "user.note", b"kept")
    os.link(root / "begin", root / "linked")
    return root


def written(tree: Path, *, sparse: bool = True) -> bytes:
    out = io.BytesIO()
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        write_tree(fd, b".", out, as_name=b"", style=TarStyle(sparse))
    finally:
        os.close(fd)
    return out.getvalue()


def by_gnu_tar(data: bytes, place: Path) -> Path:
    command = ["tar", "-x", "--xattrs", "--xattrs-include=*", "-C", str(place)]
    subprocess.run(command, check=True, input=data)
    return place


def by_bsdtar(data: bytes, place: Path) -> Path:
    subprocess.run(["bsdtar", "-x", "-C", place], check=True, input=data)
    return place


def by_tarfile(data: bytes, place: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extraction_filter = lambda member, _: member  # before 3.11.4 it means nothing
        archive.extractall(place)  # noqa: S202
    return place


def by_umoci(data: bytes, place: Path) -> Path:
    """It has Go's archive/tar, as dockerd has."""
    return Umoci(place, [data]).tree


def by_ourselves(data: bytes, place: Path) -> Path:
    layer = Layer(place / "layer")
    layer.apply(data)
    assert all(on_disk(path) < 3 * MIB for path in layer.root.rglob("*") if path.is_file())
    return layer.root


@pytest.mark.needs("bsdtar", "umoci")
@pytest.mark.parametrize("read", [by_gnu_tar, by_bsdtar, by_tarfile, by_umoci, by_ourselves])
def test_readers_make_the_same_files_of_sparse_members(
    tree: Path, tmp_path: Path, read: Callable[[bytes, Path], Path]
) -> None:
    if read is by_umoci:
        (tree / "huge").unlink()  # it writes all of the zeros
    data = written(tree)
    assert len(data) < 4 * MIB
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        sparse = {member.name for member in archive if member.issparse()}
    assert sparse == {
        path.relative_to(tree).as_posix()
        for path in tree.rglob("*")
        if path.is_file() and path.name not in ("small", "mostly-data", "plain", "linked")
    }
    place = tmp_path / "place"
    place.mkdir()
    found = read(data, place)
    assert {path.relative_to(tree) for path in tree.rglob("*")} == {
        path.relative_to(found) for path in found.rglob("*")
    }
    for path in tree.rglob("*"):
        if path.is_file():
            assert_same(path, found / path.relative_to(tree))
    if read is not by_tarfile:  # it knows no attributes
        assert os.getxattr(found / "linked", "user.note") == b"kept"


def assert_same(path: Path, other: Path) -> None:
    """Compare what lies around each end of a hole; reading all zeros of all would take long."""
    assert path.stat().st_size == other.stat().st_size
    with path.open("rb") as one, other.open("rb") as two:
        for offset in sorted({0, 4 * MIB, 8 * MIB, 3 << 30, max(0, path.stat().st_size - MIB)}):
            one.seek(offset)
            two.seek(offset)
            assert one.read(MIB) == two.read(MIB), (path.name, offset)


def test_without_being_asked_for_they_are_written_with_all_zeros(tree: Path) -> None:
    (tree / "huge").unlink()
    with tarfile.open(fileobj=io.BytesIO(written(tree, sparse=False))) as archive:
        for member in archive:
            if member.isfile():
                content = archive.extractfile(member)
                assert content is not None
                assert not member.issparse()
                assert content.read() == (tree / member.name).read_bytes()


def test_a_file_in_too_many_pieces_is_written_with_all_zeros(tmp_path: Path) -> None:
    """Readers bound the size of a map."""
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "f").open("wb") as out:
        for number in range(10_001):
            os.pwrite(out.fileno(), b"x", number * 4 * BLOCK)
    with tarfile.open(fileobj=io.BytesIO(written(tree))) as archive:
        assert not archive.getmember("f").issparse()


def test_the_map_is_what_gnu_tar_writes(tmp_path: Path) -> None:
    generator = random.Random(3)  # noqa: S311
    offsets = sorted(generator.sample(range(0, 64 * MIB, 64 << 10), 50))
    make(tmp_path / "f", 64 * MIB, *offsets)
    command = ["tar", "-c", "--sparse", "--format=posix", "--sparse-version=1.0", "f"]
    theirs = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=tmp_path).stdout
    with (tmp_path / "f").open("rb") as file:
        pieces = find_data(file.fileno(), os.fstat(file.fileno()))
    assert len(pieces) > 40
    assert sparse_map(pieces, 64 * MIB) in theirs
