"""A picture of how cost grows with size; it needs matplotlib (`pip install '.[bench]'`)."""

from __future__ import annotations

from pathlib import Path

from benchmarks.timing import Table


def plot(tables: dict[str, Table], target: Path) -> None:
    """Draw the median seconds of every contender against the size that each table is named by."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only whoever draws needs it

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    contenders = list(next(iter(tables.values())).medians())
    for contender in contenders:
        axes.plot(
            [float(size) for size in tables],
            [table.medians()[contender] for table in tables.values()],
            marker="o",
            label=contender,
        )
    axes.set(xscale="log", yscale="log", xlabel="files of one layer", ylabel="seconds")
    axes.legend(fontsize="small")
    axes.grid(visible=True, which="major", alpha=0.3)
    figure.savefig(target)
