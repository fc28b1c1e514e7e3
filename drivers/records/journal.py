"""The journal of a trace: what is finished, on the disk, written by a thread of its own.

Owns the file, those it is rotated to (`FILE.1` is the one before, and so on) and the thread. Giving
it a record never waits for the disk: where that is full or too slow, records are lost and counted.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from layerstore.drivers.errors import DriverError, InvalidArgument
from layerstore.drivers.records.journal_format import (
    MAGIC,
    MAX_ROWS,
    Header,
    Lost,
    pack_frame,
    pack_row,
    pack_rows,
    pack_value,
)

log = logging.getLogger("layerstore")

MAX_BYTES = 8 << 20
MAX_FILES = 8
_MAX_WAITING = 100_000
_MOST_IN_PATH = 4096
_GATHER_SECONDS = 0.05
_DETAILS = {
    errno.EAGAIN: "somebody writes a trace there",
    errno.EINVAL: "not a regular file",
    errno.ENXIO: "not a regular file",
    errno.ELOOP: "not a regular file",
}
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def journal_path(path: str | os.PathLike[str]) -> str:
    """Return a journal's path as processes find it that work elsewhere. Raises InvalidArgument."""
    text = os.fsdecode(path)
    try:
        too_long = len(os.fsencode(text)) >= _MOST_IN_PATH
    except UnicodeEncodeError as error:
        raise InvalidArgument(repr(text), "no file can be called so") from error
    if not text or "\0" in text or too_long:
        raise InvalidArgument(repr(text[:200]), "no file can be called so")
    return os.path.abspath(text)


class Journal:
    """An open journal; `put` gives it a record, `close` has it written to its end."""

    def __init__(
        self,
        path: str,
        *,
        root: str,
        driver: str,
        row: Callable[[Any], Sequence[object]],
        max_bytes: int = MAX_BYTES,
        max_files: int = MAX_FILES,
    ) -> None:
        """Begin a file at `path`, or one of its own where that is a directory.

        A file that is there is rotated away. `row` makes a record of what is put, in the journal's
        thread. Each of at most `max_files` files has at most `max_bytes` bytes. Raises DriverError
        where the file can't be made, or somebody is writing a journal there.
        """
        self._session = os.urandom(8).hex()
        if os.path.isdir(path):
            path = os.path.join(path, f"layerstore-{os.getpid()}-{self._session}.trace")
        self.path = path
        self._root, self._driver = root, driver
        self._row = row
        self._max_bytes, self._max_files = max_bytes, max_files
        self._part = 0
        self._lost = 0
        self._complained = False
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ending = threading.Event()
        try:
            self._begin()
        except OSError as error:
            detail = _DETAILS.get(error.errno or 0, "")
            raise DriverError.from_os_error("write a trace to", path, error, detail) from error
        self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)
        self._thread.start()

    def put(self, record: object) -> None:
        """Have a record written soon; from any thread, without waiting."""
        if self._queue.qsize() < _MAX_WAITING:
            self._queue.put(record)
        else:
            self._lost += 1  # a count that may be a little low: no lock is worth it

    def close(self) -> None:
        """Write what was put until now, and end. Idempotent."""
        if not self._ending.is_set():
            self._ending.set()
            self._queue.put(None)
            self._thread.join()

    # In the journal's thread

    def _write_all(self) -> None:
        ended = False
        while not ended:
            records = [self._queue.get()]
            # Woken for each record, this thread would take turns with those it records.
            self._ending.wait(_GATHER_SECONDS)
            while len(records) < MAX_ROWS:
                try:
                    records.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            ended = None in records
            self._write([record for record in records if record is not None])
        _close(self._fd)

    def _write(self, records: Sequence[object]) -> None:
        rows = []
        for record in records:
            try:
                rows.append(pack_row(self._row(record)))
            except ValueError as error:
                self._lose(1, f"a record can't be written: {error}")
        if not rows:
            return
        frame = pack_frame(pack_rows(rows))
        lost, self._lost = self._lost, 0
        try:
            if lost:
                frame = pack_frame(pack_value(Lost(lost))) + frame
            if self._size + len(frame) > self._max_bytes and self._size > self._header_size:
                self._rotate()
            self._append(frame)
        except OSError as error:
            self._lose(lost + len(rows), f"the trace {self.path} can't be written: {error}")

    def _lose(self, count: int, reason: str) -> None:
        self._lost += count
        if not self._complained:
            self._complained = True
            log.warning("%s; such records are dropped from now on", reason)

    def _append(self, frame: bytes) -> None:
        """Write a whole frame, or none of it."""
        left = memoryview(frame)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(frame)

    def _rotate(self) -> None:
        """Begin the next file; where that fails, the one there goes on."""
        old = self._fd
        self._begin()
        _close(old)

    def _begin(self) -> None:
        """Make a file with its header, and only then give it its name."""
        header = Header(
            session=self._session,
            part=self._part + 1,
            pid=os.getpid(),
            root=self._root,
            driver=self._driver,
            wall=time.time_ns(),
            monotonic=time.monotonic_ns(),
        )
        frame = MAGIC + pack_frame(pack_value(header))
        if not self._part:
            self._check_free()
        new = f"{self.path}.new"
        fd = os.open(new, _FLAGS, 0o600)
        try:
            _lock(fd)
            os.ftruncate(fd, 0)
            if os.write(fd, frame) < len(frame):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), new)
            self._move_on()
            os.rename(new, self.path)
        except BlockingIOError:  # it is somebody else's
            os.close(fd)
            raise
        except BaseException:
            os.unlink(new)
            os.close(fd)
            raise
        self._fd = fd
        self._part += 1
        self._size = self._header_size = len(frame)

    def _check_free(self) -> None:
        """Raise OSError where what is there is no file, or somebody writes to it."""
        try:
            there = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        try:
            _lock(there)
            if not stat.S_ISREG(os.fstat(there).st_mode):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self.path)
        finally:
            os.close(there)

    def _move_on(self) -> None:
        for number in range(self._max_files - 1, 0, -1):
            before = f"{self.path}.{number - 1}" if number > 1 else self.path
            if os.path.lexists(before):
                os.rename(before, f"{self.path}.{number}")


def _lock(fd: int) -> None:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _close(fd: int) -> None:
    # A process that is just being spawned has the file open too, until it runs its program.
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)
