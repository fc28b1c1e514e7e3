"""Reading journals that are torn, incomplete, copied or written by others."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerstore import DriverError, InvalidTrace
from layerstore.drivers.records.journal import Journal
from layerstore.drivers.records.journal_format import MAGIC, pack_frame
from layerstore.drivers.records.journal_read import JournalReader, read_sessions
from tests.trace.traces import numbers, row, write


def test_a_file_in_the_middle_that_is_gone_is_told(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    write(path, 4000, max_bytes=20_000, max_files=5)
    (tmp_path / "trace.2").unlink()
    (session,) = read_sessions(str(path))
    assert session.notes[1:] == ["files missing between those that are there: 1"]


def test_a_copy_beside_a_file_is_no_more_of_it(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    write(path, 9)
    whole = path.read_bytes()
    for copy, content in (("a copy", whole), ("the.beginning", whole[:-9])):
        (tmp_path / copy).write_bytes(content)
    (session,) = read_sessions(str(tmp_path))
    assert [found[0] for found in session.rows] == list(range(1, 10))
    assert session.notes == []


def test_a_file_cut_off_anywhere_is_read_up_to_its_last_whole_frame(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    journal = Journal(str(path), root="/r", driver="vfs", row=row)
    for number in range(1, 4):
        journal.put(number)
        reader = JournalReader(str(path))  # a frame for each
        while not list(itertools.chain.from_iterable(reader.more())):
            pass
        reader.close()
        reader = JournalReader(str(path))
        while sum(map(len, reader.more())) < number:
            reader.close()
            reader = JournalReader(str(path))
        reader.close()
    journal.close()
    whole = path.read_bytes()
    reader = JournalReader(str(path))
    begin = reader._offset
    ends = {begin} | {reader._offset for _ in reader.more()}
    reader.close()
    seen = []
    for size in range(begin, len(whole) + 1):
        path.write_bytes(whole[:size])
        (session,) = read_sessions(str(path))
        seen.append(len(session.rows))
        assert (session.notes == []) == (size in ends)
        assert session.notes == [] or f"{path} ends at offset" in session.notes[0]
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 2, 3}


def hostile(*values: object) -> bytes:
    """Return a journal that begins well and has frames with these values."""
    header = {"session": "s", "part": 1, "pid": 1, "root": "/", "driver": "vfs"}
    header |= {"wall": 1, "monotonic": 1}
    return MAGIC + b"".join(pack_frame(msgpack.packb(value)) for value in (header, *values))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no trace"),
        (b"LSTRACE\x02", "no trace"),
        (MAGIC, "no header"),
        (MAGIC + b"\xff\xff\xff\xff\x00\x00\x00\x00", "claims 4294967295 bytes"),
        (MAGIC + pack_frame(b"\x90"), "no header"),
        (MAGIC + pack_frame(b"\xc1"), "offset 8"),
        (hostile({"session": 1}), "session"),
        (hostile([[1]]), "array"),
        (hostile([[*row(1)[:-1], []]]), "object"),
        (hostile([["1", *row(1)[1:]]]), "int"),
        (hostile({"lost": "many"}), "int"),
        (hostile(7), "object"),
        (hostile([]) + pack_frame(b"\xdd\xff\xff\xff\xff"), "max_array_len"),
        (hostile([]) + pack_frame(b"\x91" * 100_000), "offset"),
    ],
)
def test_what_is_no_journal_is_refused_with_its_file_and_offset(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "trace"
    path.write_bytes(content)
    with pytest.raises(InvalidTrace, match=reason) as caught:
        read_sessions(str(path))
    assert caught.value.path == str(path)
    assert 0 <= caught.value.offset <= len(content)
    assert str(path) in str(caught.value)


@given(st.binary(max_size=200), st.integers(0, 150), st.booleans())
def test_random_bytes_are_refused_or_read_in_part(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, sealed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise"
    good = hostile([list(row(1))], [list(row(2))])
    content = good[:at] + noise if not sealed else good + pack_frame(noise or b"\x90")
    path.write_bytes(content)
    with contextlib.suppress(InvalidTrace):
        (session,) = read_sessions(str(path))
        assert all(isinstance(found[0], int) for found in session.rows)
        assert len(session.rows) in ((2,) if sealed else (0, 1, 2))


def test_other_files_in_a_directory_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a.trace", 2)
    (tmp_path / "notes.txt").write_text("not a trace")
    (tmp_path / "directory").mkdir()
    assert numbers(tmp_path) == [1, 2]
    with pytest.raises(InvalidTrace, match="there is no trace in it"):
        read_sessions(str(tmp_path / "directory"))
    with pytest.raises(DriverError, match="No such file"):
        read_sessions(str(tmp_path / "missing"))
