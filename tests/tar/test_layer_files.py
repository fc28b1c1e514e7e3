"""A layer's files are found by the names of its tar, whatever these are spelled like."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from layerstore import DriverError, InvalidMetadata
from layerstore.drivers.tar.split import records
from layerstore.drivers.tar.split.layer_files import LayerFiles
from layerstore.drivers.tar.split.records import read_records, segment_line

OUTSIDE = b"outside"


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A root with files that say where they are, and links; beside it a file that is no part."""
    root = tmp_path / "root"
    for name in ("f", "a/f", "a/b/f", "a/b/c/f"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    (tmp_path / "f").write_bytes(OUTSIDE)
    for name, target in {
        "up": "..",
        "abs": "/a",
        "rel": "a/b",
        "to": "f",
        "a/out": "../../..",
    }.items():
        (root / name).symlink_to(target)
    return str(root)


def found(files: LayerFiles, name: bytes, expected: bytes) -> bytes | None:
    fd = files.open(name, len(expected))
    if fd is None:
        return None
    with open(fd, "rb") as file:
        return file.read()


NAMES = {
    b"f": b"f",
    b"./f": b"f",
    b"/f": b"f",
    b"/../f": b"f",
    b"a/f": b"a/f",
    b"a//f": b"a/f",
    b"a/./f": b"a/f",
    b"a/b/../f": b"a/f",
    b"a/b/f": b"a/b/f",
    b"a/b/f/.": b"a/b/f",
    b"a/b/f/x/..": b"a/b/f",
    b"a/b/c/f": b"a/b/c/f",
    b"a/b/c/../f": b"a/b/f",
    b"up/f": b"f",
    b"abs/f": b"a/f",
    b"rel/f": b"a/b/f",
    b"a/out/f": b"f",
}
"""A spelling of a name, and the file that it means in a root of its own."""
MISSING = (b"x", b"x/f", b"a", b"f/f", b"to", b"a/b", b"up", b"a/b/f/x/f")


def test_each_spelling_means_the_same_whichever_came_before(root: str) -> None:
    names = list(NAMES)
    with LayerFiles(root) as files:
        for first in names:
            for second in (first, *names):
                assert found(files, second, NAMES[second]) == NAMES[second], (first, second)
            for name in MISSING:
                for size in map(len, NAMES.values()):
                    assert files.open(name, size) is None, name


def test_without_a_root_of_its_own_links_that_leave_it_lead_nowhere(root: str) -> None:
    with LayerFiles(root, chroot=False) as files:
        for name in (b"up/f", b"abs/f", b"a/out/f"):
            assert files.open(name, len(OUTSIDE)) is None
            assert files.open(name, len(NAMES[name])) is None
        assert found(files, b"rel/f", b"a/b/f") == b"a/b/f"


def test_a_name_that_leads_out_or_is_none_is_refused(root: str) -> None:
    with LayerFiles(root) as files:
        for name in (b"../f", b"a/../../f", b"", b".", b"a/..", b"/"):
            for _ in range(2):
                with pytest.raises(InvalidMetadata):
                    files.open(name, len(OUTSIDE))


@pytest.mark.parametrize("name", [b"a\0b", b"dir/a\0b", b"dir\0e/a"])
def test_a_name_with_a_nul_is_refused(root: str, name: bytes) -> None:
    with LayerFiles(root) as files, pytest.raises(InvalidMetadata):
        files.open(name, 1)


def test_of_many_directories_few_stay_open(tmp_path: Path) -> None:
    names = [f"d{number}/f".encode() for number in range(200)]
    for name in names:
        path = tmp_path / name.decode()
        path.parent.mkdir()
        path.write_bytes(name)
    before = len(os.listdir("/proc/self/fd"))
    with LayerFiles(str(tmp_path)) as files:
        for name in (*names, *names[::-1]):
            assert found(files, name, name) == name
        assert len(os.listdir("/proc/self/fd")) < before + 100
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_error_names_the_whole_path(root: str) -> None:
    with LayerFiles(root) as files, pytest.raises(DriverError) as told:
        files.open(b"./a/" + b"x" * 300, 3)
    assert (told.value.errno, told.value.path) == (errno.ENAMETOOLONG, f"{root}/a/{'x' * 300}")


def test_a_file_of_another_size_is_none(root: str) -> None:
    with LayerFiles(root) as files:
        assert files.open(b"a/f", 2) is None
        assert files.open(b"a/f", 4) is None


def test_lines_are_read_whole_wherever_pieces_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_MANY_LINES", 100)
    payloads = [b"x" * size for size in (0, 1, 31, 32, 33, 300, 5, 1000, 0)]
    lines = b"".join(segment_line(payload, at) for at, payload in enumerate(payloads))
    for end in (b"", b"\n"):  # the last line may go without
        read = read_records(io.BytesIO(lines.rstrip(b"\n") + end), "the lines")
        assert [record.payload for record in read] == payloads


@pytest.mark.parametrize("bad", [b"[]", b"{", b'{"type":3,"payload":"","position":0}', b"\xff"])
@pytest.mark.parametrize("number", [0, 1, 5000])
def test_a_malformed_line_is_told_by_its_number(bad: bytes, number: int) -> None:
    line = segment_line(b"x" * 100, 0)
    with pytest.raises(InvalidMetadata, match=rf"line {number}\b"):
        list(read_records(io.BytesIO(line * number + bad + b"\n" + line * 3), "the lines"))
