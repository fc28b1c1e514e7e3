"""One contender's turn: all the work once, in a root of its own, and the checks that it was done.

Owns nothing that outlives the turn; times go to the `Ledger`. Contenders must agree in what they
tell of IDs and sizes, and their roots must hold what was made, and no more once it is removed.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peer.contenders import Answer, Contender
from benchmarks.peer.report import DISK, Amounts
from benchmarks.timing import Table

_PAIRS_FROM = 8
_REPEATED = 3
"""How often in a turn what takes milliseconds only is done."""


class Disagreement(Exception):
    """A contender didn't do the work that the others did; the message says which and how."""


@dataclass(frozen=True)
class Tars:
    """What is registered."""

    base: Path
    chain: list[Path]
    files: Path
    one: Path


@dataclass
class Ledger:
    """Times by the row and the place, and what the first contender told of each piece of work."""

    times: dict[tuple[str, str], Table] = field(default_factory=lambda: defaultdict(_table))
    _told: dict[str, object] = field(default_factory=dict)

    def agree(self, contender: Contender, what: str, told: object) -> None:
        """Raise Disagreement unless all contenders tell the same."""
        if self._told.setdefault(what, told) != told:
            raise Disagreement(f"{contender.name}: {what} aren't those that the others tell")


@dataclass
class Turn:
    """One contender in one place."""

    ledger: Ledger
    contender: Contender
    place: str
    root: Path
    amounts: Amounts
    tars: Tars

    def everything(self) -> None:
        """Do every kind of work, but for the opening of a root that is full."""
        self.contender.open(self.root)
        try:
            self.contender.warm()
            self._tar("files", self.tars.files)
            self._tar("one", self.tars.one)
            base = self._register([self.tars.base])
            for _ in range(_REPEATED):
                self._mounts(base)
            if self.place != DISK:
                self._timed("pairs", lambda: self.contender.pairs(base, _PAIRS_FROM))
            self._chain()
        finally:
            self.contender.close()

    def opening(self) -> None:
        """Open a root that is full."""
        count = self.amounts.opened
        for _ in range(_REPEATED):
            answer = self._timed("opened", lambda: self.contender.open(self.root, count))
            self.contender.close()
            self._expect("layers and mounts of a full root", (answer.layers, answer.mounts), count)

    def _tar(self, key: str, tar: Path) -> None:
        chain = self._register([tar], key)
        answer = self._timed(f"{key}, back", lambda: self.contender.read(chain))
        self._expect("bytes given back", (answer.bytes,), tar.stat().st_size)

    def _mounts(self, base: str) -> None:
        count, (_, directories) = self.amounts.mounts, self._there_are("mounts")
        self._timed("created", lambda: self.contender.create(count, base))
        mounts, more = self._there_are("mounts")
        self._expect("mounts created, and their directories", (mounts, more - directories), count)
        answered = self._timed("removed", self.contender.remove)
        self._freed("removed, free", answered)
        mounts, left = self._there_are("mounts")
        self._expect("mounts left, and their directories", (mounts, left - directories), 0)

    def _chain(self) -> None:
        before = self._there_are("sha256")
        top = self._register(self.tars.chain, "chain")
        depth = len(self.tars.chain)
        more = [now - then for now, then in zip(self._there_are("sha256"), before, strict=True)]
        self._expect("layers of the chain, and their directories", tuple(more), depth)
        answer = self._timed("released", lambda: self.contender.release(top))
        self._expect("layers that were released", (answer.layers,), depth)
        self._freed("released, free", answer)
        left = [now - then for now, then in zip(self._there_are("sha256"), before, strict=True)]
        self._expect("layers left of the chain, and their directories", tuple(left), 0)

    def _register(self, tars: list[Path], key: str = "") -> str:
        """Register tars upon each other, and return the top's chain ID; it alone stays held."""
        if key:
            answer = self._timed(key, lambda: self.contender.register(tars))
        else:
            answer = self.contender.register(tars)
        self.ledger.agree(self.contender, f"the IDs of {key or 'base'}", answer.ids())
        *lower, top = answer.chains or []
        for chain in lower:
            self.contender.release(chain)
        return top

    def _timed(self, key: str, do: Callable[[], Answer]) -> Answer:
        if self.place == DISK:
            os.sync()  # what others have left to be written isn't this one's work
        answer = do()
        self._took(key, answer.seconds)
        return answer

    def _freed(self, key: str, answered: Answer) -> None:
        self._took(key, answered.seconds + self.contender.drain().seconds)

    def _took(self, key: str, seconds: float) -> None:
        self.ledger.times[key, self.place].times[self.contender.name].append(seconds)

    def _there_are(self, kind: str) -> tuple[int, int]:
        """Count records of one kind, and the graph driver's directories, in the root."""
        records = self.root / "image/overlay2/layerdb" / kind
        count = len(os.listdir(records)) if records.is_dir() else 0
        return count, len(os.listdir(self.root / "overlay2")) - 1  # `l` has the short names

    def _expect(self, what: str, found: tuple[int, ...], wanted: int) -> None:
        if set(found) != {wanted}:
            raise Disagreement(f"{self.contender.name}: {what} are {found}, not {wanted}")


def _table() -> Table:
    return Table("")


def fill(contender: Contender, root: Path, chains: list[list[Path]], count: int) -> None:
    """Make a root that is full: chains of layers, and as many mounts on one of them."""
    contender.open(root)
    try:
        tops = [(contender.register(tars).chains or [""])[-1] for tars in chains]
        contender.create(count, tops[0])
    finally:
        contender.close()
