"""Reading journals: one file, one with those it was rotated to, or all of a directory.

Owns what is taken for the end of a file: the first thing that is no whole frame, as a crash leaves
it. A whole frame that holds what no journal has is an error. Nothing is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from layerstore.drivers.errors import DriverError, InvalidTrace
from layerstore.drivers.records.journal_format import (
    FRAME_SIZE,
    MAGIC,
    MAX_BODY,
    BadBody,
    Header,
    Lost,
    NotAFrame,
    Row,
    take_frame,
    unpack_body,
)

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_CHUNK = 1 << 20
_ROTATED = re.compile(r"\.\d{1,4}\Z")


def is_journal(path: str) -> bool:
    """Whether what is at a path, if anything, begins as a journal. Raises DriverError."""
    try:
        fd = os.open(path, _FLAGS)
        try:
            return os.read(fd, len(MAGIC)) == MAGIC
        finally:
            os.close(fd)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DriverError.from_os_error("read", path, error) from error


class JournalReader:
    """Reads one file from its beginning on, as far as it is written."""

    def __init__(self, path: str) -> None:
        """Open the file and read its header.

        Raises DriverError, and InvalidTrace for what doesn't begin as a journal.
        """
        self.path = path
        try:
            self._fd = os.open(path, _FLAGS)
        except OSError as error:
            raise DriverError.from_os_error("open", path, error) from error
        self._data = b""
        self._offset = 0
        self.damage: str | None = None
        """Why reading has stopped before the end of the file."""
        self.lost = 0
        """How many records the writer had to drop."""
        try:
            self.header = self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> Header:
        self._fill(len(MAGIC))
        if self._data[: len(MAGIC)] != MAGIC:
            raise InvalidTrace(self.path, 0, "it is no trace")
        self._skip(len(MAGIC))
        found = self._next()
        if not isinstance(found, Header):
            raise InvalidTrace(self.path, self._offset, self.damage or "it has no header")
        return found

    def more(self) -> Iterator[list[Row]]:
        """Give what is there and was not given before. Raises InvalidTrace, DriverError."""
        self.damage = None
        while (found := self._next()) is not None:
            if isinstance(found, Header):
                raise InvalidTrace(self.path, self._offset, "it has a second header")
            if isinstance(found, Lost):
                self.lost += found.lost
            else:
                yield found

    def _next(self) -> Header | Lost | list[Row] | None:
        self._fill(FRAME_SIZE + MAX_BODY)
        if not self._data:
            return None
        try:
            body = take_frame(memoryview(self._data))
        except NotAFrame as error:
            self.damage = f"{self.path} ends at offset {self._offset}: {error}"
            return None
        try:
            found = unpack_body(body)
        except BadBody as error:
            raise InvalidTrace(self.path, self._offset, str(error)) from error
        self._skip(FRAME_SIZE + len(body))
        return found

    def _fill(self, wanted: int) -> None:
        """Have `wanted` bytes at hand, or what there is."""
        try:
            while len(self._data) < wanted:
                piece = os.read(self._fd, _CHUNK)
                if not piece:
                    return
                self._data += piece
        except OSError as error:
            raise DriverError.from_os_error("read", self.path, error) from error

    def _skip(self, size: int) -> None:
        self._data = self._data[size:]
        self._offset += size

    def is_current(self) -> bool:
        """Whether the file is still the one at its path."""
        try:
            there, here = os.stat(self.path), os.fstat(self._fd)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def close(self) -> None:
        """Close the file. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


@dataclass(slots=True)
class Session:
    """What was traced from one begin to its end."""

    header: Header
    """Of its oldest file that is left."""
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is missing, in words."""


_Part = tuple[Header, list[Row], list[str]]
"""What one file holds: its first frame, its records, and what is missing of it."""


def read_sessions(path: str) -> list[Session]:
    """Read a journal with the files it was rotated to, or all of a directory's; the newest last.

    Raises DriverError, and InvalidTrace where a file is no journal; in a directory such files are
    passed over.
    """
    parts: dict[str, list[_Part]] = {}
    for name in _files(path):
        try:
            reader = JournalReader(name)
        except InvalidTrace:
            if name == path:
                raise
            continue
        try:
            rows = [row for rows in reader.more() for row in rows]
        finally:
            reader.close()
        notes = [reader.damage] if reader.damage else []
        if reader.lost:
            notes.append(f"{reader.lost} records were lost while {name} was written")
        parts.setdefault(reader.header.session, []).append((reader.header, rows, notes))
    sessions = [_joined(found) for found in parts.values()]
    if not sessions:
        raise InvalidTrace(path, 0, "there is no trace in it")
    return sorted(sessions, key=lambda session: session.header.wall)


def _joined(found: list[_Part]) -> Session:
    # A copy of a file, or one that was rotated while the others were read, has the same number.
    parts = {part[0].part: part for part in sorted(found, key=lambda part: len(part[1]))}
    numbers = sorted(parts)
    session = Session(parts[numbers[0]][0])
    if numbers[0] > 1:
        session.notes.append(f"{numbers[0] - 1} older files of it are gone")
    if missing := numbers[-1] - numbers[0] + 1 - len(numbers):
        session.notes.append(f"files missing between those that are there: {missing}")
    for number in numbers:
        _, rows, notes = parts[number]
        session.rows += rows
        session.notes += notes
    session.rows.sort(key=lambda row: row[0])
    return session


def _files(path: str) -> list[str]:
    try:
        if os.path.isdir(path):
            names = (os.path.join(path, name) for name in sorted(os.listdir(path)))
            return [name for name in names if os.path.isfile(name)]
        directory, name = os.path.split(path)
        rotated = [
            os.path.join(directory, other)
            for other in os.listdir(directory or ".")
            if other.startswith(name) and _ROTATED.fullmatch(other, len(name))
        ]
    except OSError as error:
        raise DriverError.from_os_error("read", path, error) from error
    return [path, *(other for other in rotated if os.path.isfile(other))]
