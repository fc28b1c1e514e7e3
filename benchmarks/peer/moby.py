"""Moby's layer package at work: the program of `main.go`, asked over a pipe.

Owns its process. The program takes the times itself, so that the pipe costs nothing.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from benchmarks.peer.contenders import Answer

MOBY = "moby"
_EACH = 100_000
"""Pairs of get and release in each thread."""


class Moby:
    """The program around moby's layer package."""

    name = MOBY

    def __init__(self, asked: IO[bytes], said: IO[bytes]) -> None:
        self._asked = asked
        self._said = said

    def open(self, root: Path, mounts: int = 0) -> Answer:
        return self._ask("open", root=str(root), count=mounts)

    def close(self) -> None:
        self._ask("close")

    def warm(self) -> None:
        """It has no children that stay."""

    def register(self, tars: Sequence[Path], parent: str = "") -> Answer:
        return self._ask("register", tars=[str(tar) for tar in tars], chain=parent)

    def release(self, chain: str) -> Answer:
        return self._ask("release", chain=chain)

    def create(self, count: int, parent: str) -> Answer:
        return self._ask("create", count=count, chain=parent)

    def remove(self) -> Answer:
        return self._ask("remove")

    def drain(self) -> Answer:
        return Answer()  # it has answered when all is deleted

    def read(self, chain: str) -> Answer:
        return self._ask("read", chain=chain)

    def pairs(self, chain: str, threads: int) -> Answer:
        answer = self._ask("pairs", chain=chain, count=threads, each=_EACH)
        answer.seconds /= threads * _EACH
        return answer

    def _ask(self, do: str, **what: Any) -> Answer:
        self._asked.write(json.dumps({"do": do, **what}).encode() + b"\n")
        self._asked.flush()
        line = self._said.readline()
        if not line:
            raise RuntimeError(f"moby's program ended while it was to {do}")
        answer = msgspec.json.decode(line, type=Answer)
        if answer.error:
            raise RuntimeError(f"moby: {answer.error}")
        return answer


@contextlib.contextmanager
def running(program: Path) -> Iterator[Moby]:
    """Run moby's program for a `with` block."""
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Moby(cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout))
        finally:
            process.kill()
