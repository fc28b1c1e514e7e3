"""A directory that somebody makes a link, and a directory again, while something else goes on."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD, RENAME_EXCHANGE. renameat2(2)."""


@contextmanager
def flipping(place: Path, leads_to: Path) -> Iterator[Callable[[], int]]:
    """Make a directory a link, and the link the directory again, for a `with` block.

    Gives a function that tells how often that has happened.
    """
    place.mkdir(exist_ok=True)
    link = place.with_name("link")
    link.symlink_to(leads_to)
    libc, over, count = ctypes.CDLL(None), threading.Event(), 0

    def flip() -> None:
        nonlocal count
        while not over.is_set():
            libc.renameat2(_HERE, bytes(place), _HERE, bytes(link), _EXCHANGE)
            count += 1

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        yield lambda: count
    finally:
        over.set()
        thread.join()
