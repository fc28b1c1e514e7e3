"""Times of contenders at the same work, and the tables that compare them.

A contender is a name; those of layerstore begin with `layerstore`, so that a summary can find where
it does worst beside the others.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

OURS = "layerstore"


@dataclass
class Table:
    """Seconds that each contender took for one kind of work, round by round."""

    title: str
    files: int = 0
    """Files in one piece of work, to tell a rate."""
    size: int = 0
    """Bytes in one piece of work, to tell a rate."""
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @contextlib.contextmanager
    def timed(self, contender: str) -> Iterator[None]:
        """Time a block as one round of a contender."""
        start = time.perf_counter()
        yield
        self.times[contender].append(time.perf_counter() - start)

    def medians(self) -> dict[str, float]:
        return {what: statistics.median(taken) for what, taken in self.times.items()}

    def print(self) -> None:
        """Print medians with the ratio to the table's first contender, and what the rounds span."""
        print(f"\n{self.title}", flush=True)
        medians = self.medians()
        first = next(iter(medians.values()))
        for what, median in medians.items():
            taken = self.times[what]
            span = f"({in_units(min(taken))} -{in_units(max(taken))})"
            rates = f"{self.files / median:12,.0f} files/s" if self.files > 1 else ""
            rates += f"{self.size / median / 1e6:8.0f} MB/s" if self.size else ""
            ratio = f"{median / first:8.2f} x"
            print(f"  {what:42}{in_units(median)} {span:26}{ratio}{rates}", flush=True)


def in_units(seconds: float) -> str:
    """Return seconds in a unit that leaves digits before the point."""
    for unit, factor in (("s ", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:8.2f} {unit}"
    return f"{seconds * 1e6:8.2f} us"


def worst(tables: list[Table], count: int, rival: str) -> list[tuple[float, str]]:
    """Return where layerstore's best time is longest beside a rival's best, worst first."""
    found = []
    for table in tables:
        medians = table.medians()
        ours = [median for what, median in medians.items() if what.startswith(OURS)]
        theirs = [median for what, median in medians.items() if what.startswith(rival)]
        if ours and theirs:
            found.append((min(ours) / min(theirs), table.title))
    return sorted(found, reverse=True)[:count]
