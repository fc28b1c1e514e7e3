"""Pictures of how cost grows; they need matplotlib (`pip install '.[bench]'`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.timing import Table

Lines = Mapping[str, Sequence[tuple[int, float]]]
"""What is drawn -> how much there is, and the seconds that it takes then."""


def lines_of(tables: Sequence[Table]) -> Lines:
    """Return the median seconds of every contender against each table's number of files."""
    return {
        contender: [(table.files, table.medians()[contender]) for table in tables]
        for contender in tables[0].medians()
    }


def plot(lines: Lines, against: str, target: Path) -> None:
    """Draw lines against what grows."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only whoever draws needs it

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    for label, points in lines.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel=against, ylabel="seconds")
    figure.legend(loc="outside right upper", fontsize="x-small")
    axes.grid(visible=True, which="major", alpha=0.3)
    figure.savefig(target)
