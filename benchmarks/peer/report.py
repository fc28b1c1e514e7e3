"""The table of a comparison: times, moby's time divided by ours, and what is aimed at.

Owns the aims. A row that has none is printed for what it tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.peer.moby import MOBY
from benchmarks.peer.ours import ours
from benchmarks.timing import Table, in_units

MEMORY, DISK = "tmpfs", "disk"
PLACES = (MEMORY, DISK)
_RELAXED, _DURABLE = ours("relaxed"), ours("durable")
_DURABLE_AIM = 1.3
"""Times what is relaxed."""
_MOST_WIDTH = 44


@dataclass(frozen=True)
class Row:
    """One kind of work."""

    title: str
    aims: Mapping[str, float]
    """Moby's time divided by ours, at least, by the place."""
    most: float = 0.0
    """Seconds that ours may take, if the aim isn't a ratio."""
    writes: bool = True
    """Whether durability has anything to do with it."""


@dataclass(frozen=True)
class Amounts:
    """How much of each kind of work is done."""

    mounts: int = 100
    depth: int = 100
    opened: int = 1_000
    files: int = 10_000
    mebibytes: int = 512


def rows(of: Amounts) -> dict[str, Row]:
    """Return every kind of work, in the order of the table."""
    threads = f"from {of.mounts} threads"
    return {
        "created": Row(f"{of.mounts} creations {threads}", _aims(0.5, 1.0)),
        "removed": Row(f"{of.mounts} removals {threads}, answered", _aims(1.0, 5.0)),
        "removed, free": Row("  the same, disk free", _aims(0.7, 1.0)),
        "chain": Row(f"chain of {of.depth} one-file layers, registered", _aims(1.5, 1.5)),
        "released": Row("  the same released by its top, answered", _aims(1.5, 3.0)),
        "released, free": Row("  the same, disk free", {}),
        "opened": Row(
            f"{of.opened:,} layers + {of.opened:,} mounts opened", _aims(1.2, 1.2), writes=False
        ),
        "files": Row(f"{of.files:,} x 4 KiB registered", _aims(1.5, 1.0)),
        "files, back": Row("  given back", _aims(2.0, 2.0), writes=False),
        "one": Row(f"{of.mebibytes} MiB registered", _aims(3.0, 4.0)),
        "one, back": Row("  given back", _aims(4.0, 4.0), writes=False),
        "pairs": Row("get + release, 8 threads, for each pair", {}, most=1 / 50_000),
    }


def _aims(memory: float, disk: float) -> dict[str, float]:
    return {MEMORY: memory, DISK: disk}


def table(all_rows: Mapping[str, Row], times: Mapping[tuple[str, str], Table]) -> list[str]:
    """Return the lines of the whole table; `times` are by the row and the place."""
    lines = []
    for place in PLACES:
        lines += ["", _head(place)]
        for key, row in all_rows.items():
            if (key, place) in times:
                lines.append(_line(row, place, times[key, place].medians()))
    return lines


def _head(place: str) -> str:
    durable = f"  {'durable':>12}{'/ relaxed':>11}{'at most':>9}" if place == DISK else ""
    line = f"{place:{_MOST_WIDTH}}{'moby':>12}{'ours':>12}{'ratio':>9}{'aim':>9}{'':10}{durable}"
    return line.rstrip()


def _line(row: Row, place: str, medians: Mapping[str, float]) -> str:
    theirs, mine = medians[MOBY], medians[_RELAXED]
    ratio = theirs / mine
    digits = 2 if ratio >= 0.1 else 4
    aim, met = "", True
    if row.most:
        aim, met = in_units(row.most).strip(), mine <= row.most
    elif place in row.aims:
        aim, met = f"{row.aims[place]:.1f}", ratio >= row.aims[place]
    verdict = "" if not aim else "met" if met else "not met"
    line = f"{row.title:{_MOST_WIDTH}}{in_units(theirs):>12}{in_units(mine):>12}{ratio:9.{digits}f}"
    line += f"{aim:>9}  {verdict:8}"
    if _DURABLE in medians and row.writes:
        more = medians[_DURABLE] / mine
        verdict = "met" if more <= _DURABLE_AIM else "not met"
        line += f"  {in_units(medians[_DURABLE]):>12}{more:11.2f}{_DURABLE_AIM:9.1f}  {verdict}"
    return line.rstrip()
