"""The Python side of the seam in `native/`: building it, and telling it at which call to do what.

Owns the control files. Why an LD_PRELOAD seam: the counter lies in shared memory, so calls are
numbered over all threads and processes of a run (strace's fault injection counts for each thread
by itself); it needs no stops, so a try takes a few hundredths of a second; and it sees system
calls made through ctypes too. That it misses nothing is tested against strace.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

_SOURCES = sorted((Path(__file__).parent.parent / "native").glob("*.c"))
_FIELDS = struct.Struct("=QQiiii256s32s1024si")


class Mode(IntEnum):
    """What happens at the chosen call."""

    WATCH = 0
    KILL = 1
    """SIGKILL to the process group, before the call."""
    FAIL_ONCE = 2
    FAIL_ON = 3
    """It fails and so does every later call of some kinds."""


CHANGES, CHANGES_AND_OPENS = 1, 3


def build(place: Path) -> Path:
    """Compile the seam into a directory and return the library's path."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("no C compiler (Debian: gcc, libc6-dev)")
    library = place / "seam.so"
    options = ["-O2", "-Wall", "-shared", "-fPIC", "-fvisibility=hidden"]
    subprocess.run([compiler, *options, "-o", library, *_SOURCES, "-ldl"], check=True)
    return library


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do at which call; calls are numbered from 1."""

    mode: Mode = Mode.WATCH
    at: int = 0
    error: int = 0
    reach: int = CHANGES
    kinds: str = ""

    def __str__(self) -> str:
        what = errno.errorcode.get(self.error, "") if self.error else "kill"
        return f"{what} at call {self.at}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a seam says afterwards."""

    count: int
    hits: int
    kind: str
    path: str


def arm(control: str, plan: Plan) -> None:
    """Set a control file that exists."""
    with open(control, "r+b") as file:
        packed = _FIELDS.pack(
            0, plan.at, plan.mode, plan.error, plan.reach, 0, plan.kinds.encode(), b"", b"", 0
        )
        file.write(packed)


def disarm(control: str) -> None:
    """Have no call fail any more, from inside a run."""
    with (
        open(control, "r+b") as file,
        mmap.mmap(file.fileno(), _FIELDS.size) as mapped,
    ):
        struct.pack_into("=i", mapped, 16, Mode.WATCH)


@contextlib.contextmanager
def exempt(control: str) -> Iterator[None]:
    """Leave out, for a `with` block, what this run does to the disk by hand: it is only logged."""
    with (
        open(control, "r+b") as file,
        mmap.mmap(file.fileno(), _FIELDS.size) as mapped,
    ):
        struct.pack_into("=i", mapped, _FIELDS.size - 4, 1)
        try:
            yield
        finally:
            struct.pack_into("=i", mapped, _FIELDS.size - 4, 0)


def seen(control: str) -> Seen:
    """Read a control file."""
    with open(control, "rb") as file:
        fields = _FIELDS.unpack(file.read(_FIELDS.size))
    kind, path = (field.rstrip(b"\0").partition(b"\0")[0] for field in fields[7:9])
    return Seen(fields[0], fields[5], kind.decode(), os.fsdecode(path))


@dataclass(frozen=True, slots=True)
class Event:
    """One call that a seam has written down; `a` and `b` are what `native/` says for its kind."""

    number: int
    kind: str
    done: bool
    a: int
    b: int
    path: str
    other: str
    data: bytes


def events(log: str) -> Iterator[Event]:
    """Read a log, in the order in which the calls took effect."""
    with open(log, "rb") as file:
        while line := file.readline():
            number, kind, done, a, b, size, path, other = line[:-1].split(b"\t")
            yield Event(
                int(number),
                kind.decode(),
                done == b"1",
                int(a),
                int(b),
                os.fsdecode(path),
                os.fsdecode(other),
                file.read(int(size)),
            )
