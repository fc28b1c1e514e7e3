"""A picture of how cost grows with size; it needs matplotlib (`pip install '.[bench]'`)."""

from __future__ import annotations

from pathlib import Path

from benchmarks.timing import Table


def plot(tables: list[Table], target: Path) -> None:
    """Draw the median seconds of every contender against each table's number of files."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only whoever draws needs it

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    medians = [table.medians() for table in tables]
    for contender in medians[0]:
        axes.plot(
            [table.files for table in tables],
            [median[contender] for median in medians],
            marker="o",
            label=contender,
        )
    axes.set(xscale="log", yscale="log", xlabel="files of one layer", ylabel="seconds")
    axes.legend(fontsize="small")
    axes.grid(visible=True, which="major", alpha=0.3)
    figure.savefig(target)
