"""Progress bars on stderr, where that is a terminal.

Owns the bars; without a terminal nothing is drawn and nothing imported.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from layerstore.asking.progress import Progress


class Words(NamedTuple):
    """What is said of a layer."""

    there: str
    begun: str
    moving: str
    done: str

    def of(self, done: int, total: int, *, first: bool) -> str:
        """Say what a report means, the first one of a layer or a later one."""
        if done < total:
            return self.moving if done else self.begun
        return self.there if first else self.done


@contextlib.contextmanager
def progress(*, quiet: bool = False, words: Words | None = None) -> Iterator[Progress | None]:
    """Give a function that draws a bar for each layer, for a `with` block; None if not wanted.

    Beside it stand the `words` for what it has come to.
    """
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

    said: dict[str, str] = {}

    def report(what: str, done: int, total: int) -> None:
        if words is not None and said.get(what) not in (words.there, words.done):
            said[what] = words.of(done, total, first=what not in tasks)
        text = f"{what}: {said[what]}" if what in said else what
        if what not in tasks:
            tasks[what] = bars.add_task(text, total=total or None)
        bars.update(tasks[what], completed=done, total=total or None, description=text)

    with bars:
        yield report
