"""Progress bars on stderr, where that is a terminal.

Owns the bars; without a terminal nothing is drawn and nothing imported.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerstore.asking.progress import Progress


@contextlib.contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress | None]:
    """Give a function that draws a bar for each layer, for a `with` block; None if not wanted."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    # Only here: it takes longer to import than most commands take altogether.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        TaskID,
        TextColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    bars = Bars(*columns, TransferSpeedColumn(), console=Console(stderr=True))
    tasks: dict[str, TaskID] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total or None)
        bars.update(tasks[what], completed=done, total=total or None)

    with bars:
        yield report
