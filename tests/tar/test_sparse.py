"""Sparse members in all of GNU's formats: exact content, holes kept, the tar given back."""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
from pathlib import Path

import pytest

from layerstore.drivers.errors import InvalidTar, LimitExceeded
from layerstore.drivers.model.limits import Limits
from tests.tar.corpus.builder import Layer, file, tar

pytestmark = pytest.mark.root

FORMATS = {
    "old GNU": ["--format=gnu"],
    "PAX 0.0": ["--format=posix", "--sparse-version=0.0"],
    "PAX 0.1": ["--format=posix", "--sparse-version=0.1"],
    "PAX 1.0": ["--format=posix", "--sparse-version=1.0"],
}


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    return Layer(tmp_path / "layer")


@pytest.fixture
def given(tmp_path: Path) -> Path:
    root = tmp_path / "given"
    root.mkdir()
    return root


def pack(given: Path, form: str) -> bytes:
    command = ["tar", "-c", "--sparse", *FORMATS[form], "-C", str(given), "."]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def make_sparse(path: Path, size: int, offsets: list[int], data: bytes = b"data" * 1500) -> None:
    with path.open("wb") as out:
        for offset in offsets:
            out.seek(offset)
            out.write(data)
        out.truncate(size)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("pieces", [0, 1, 3, 4, 5, 30, 200])
def test_content_and_holes_are_kept(layer: Layer, given: Path, form: str, pieces: int) -> None:
    make_sparse(given / "f", 64 << 20, [number * 300_000 for number in range(pieces)])
    data = pack(given, form)
    assert len(data) < 8 << 20
    layer.apply(data)
    assert (layer.root / "f").read_bytes() == (given / "f").read_bytes()
    assert (layer.root / "f").stat().st_blocks * 512 < 8 << 20


@pytest.mark.parametrize("form", FORMATS)
def test_members_after_a_sparse_one_are_found(layer: Layer, given: Path, form: str) -> None:
    generator = random.Random(7)  # noqa: S311
    for name in ("a", "c", "e"):
        offsets = sorted(generator.sample(range(0, 4_000_000, 65536), 20))
        make_sparse(given / name, generator.randrange(4_100_000, 5_000_000), offsets, b"x" * 100)
    (given / "b").write_bytes(b"plain")
    (given / ("d" * 200)).write_bytes(b"long name")
    layer.apply(pack(given, form))
    for path in given.iterdir():
        assert (layer.root / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("form", FORMATS)
def test_the_size_is_that_of_the_file_with_its_holes(layer: Layer, given: Path, form: str) -> None:
    make_sparse(given / "f", 10_000_000, [5_000_000])
    assert layer.apply(pack(given, form)).size == 10_000_000


@pytest.mark.parametrize("form", FORMATS)
def test_a_sparse_member_that_is_cut_off_is_refused(layer: Layer, given: Path, form: str) -> None:
    make_sparse(given / "f", 10_000_000, [number * 400_000 for number in range(24)])
    data = pack(given, form)
    for end in (5_000, 2_500, 1_700):
        with pytest.raises(InvalidTar, match="end"):
            layer.apply(data[:end])


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ({"GNU.sparse.map": "0,5,3,2", "GNU.sparse.numblocks": "2"}, "overlap"),
        ({"GNU.sparse.map": "0,5", "GNU.sparse.numblocks": "2"}, "as many entries"),
        ({"GNU.sparse.map": "0,9", "GNU.sparse.numblocks": "1"}, "beyond"),
        ({"GNU.sparse.map": "0,4", "GNU.sparse.numblocks": "1"}, "does not fit"),
        ({"GNU.sparse.map": "0,-5", "GNU.sparse.numblocks": "1"}, "number"),
        ({"GNU.sparse.map": "x,5", "GNU.sparse.numblocks": "1"}, "number"),
        ({"GNU.sparse.offset": "0", "GNU.sparse.map": "1"}, "overlap|many|number|order"),
        ({"GNU.sparse.numbytes": "0"}, "out of order"),
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, "too early"),
    ],
)
def test_maps_that_cannot_be_are_refused(
    layer: Layer, records: dict[str, str], reason: str
) -> None:
    with pytest.raises(InvalidTar, match=reason):
        layer.apply(tar(file("f", b"12345", pax_headers=records)))


@pytest.mark.parametrize("count", ["1000000000", "99999999999999999999"])
def test_a_map_that_claims_to_be_huge_needs_no_memory(layer: Layer, count: str) -> None:
    records = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "5"}
    content = f"{count}\n".encode() + b"0\n" * 5000
    with pytest.raises((LimitExceeded, InvalidTar)):
        layer.apply(tar(file("f", content, pax_headers=records)), Limits(max_header=4096))


def test_a_sparse_file_is_as_large_as_it_says_and_counts_against_the_limit(
    layer: Layer,
) -> None:
    records = {
        "GNU.sparse.map": "0,5",
        "GNU.sparse.numblocks": "1",
        "GNU.sparse.size": str(1 << 50),
    }
    with pytest.raises(LimitExceeded, match="size of all files"):
        layer.apply(tar(file("f", b"12345", pax_headers=records)), Limits(max_bytes=1 << 30))
    assert os.listdir(layer.root) == []


def written_so_far() -> int:
    """Bytes that this process has written to files."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


@pytest.mark.parametrize("form", FORMATS)
def test_a_sparse_file_that_is_replaced_is_not_kept_with_its_holes(
    layer: Layer, given: Path, form: str
) -> None:
    """A small tar could fill a disk."""
    make_sparse(given / "f", 64 << 20, [300_000])
    sparse = pack(given, form)
    replaced = without_end(sparse) + tar(file("f", b"plain"))
    before = written_so_far()
    layer.apply(replaced)
    assert written_so_far() - before < 1 << 20
    assert (layer.root / "f").read_bytes() == b"plain"


def without_end(data: bytes) -> bytes:
    """Cut the blocks off that end a tar."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.getmembers()
        return data[: archive.offset]
