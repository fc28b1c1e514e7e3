"""Noticing that a child process has been stopped: it will neither answer nor end by itself.

Owns how long such a child is waited for. A child is stopped by a signal (SIGSTOP, a terminal) and
goes on with SIGCONT; meanwhile whoever waits for it would wait without end.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

SPAWNING = "layerstore-spawning"
"""Name of a thread that watches a new child until it runs the worker's program."""
_LOOK_UP = 0.5
"""Seconds between two looks at a child that doesn't answer."""
_LOOKS = 6
"""Looks in a row that find it stopped before it is given up. They are counted, not timed: whoever
looks may have been stopped as well."""


def is_stopped(pid: int) -> bool:
    """Whether a child of this process is stopped now; waitid(2)."""
    try:
        found = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False  # it has ended and been reaped
    return found is not None


def _has_ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True  # and been reaped


def wait_for_child(
    pid: int, sockets: Iterable[tuple[socket.socket, int]], give_up: Callable[[], None]
) -> list[tuple[int, int]]:
    """Wait for one of the events of these sockets, as poll(2), and return those that there are.

    None where the child has ended and nothing comes any more, though somebody still holds the other
    ends: a fork that was stopped before it could ask to end with it. `give_up` is called where the
    child stays stopped. It is to end it, or to raise.
    """
    poll = select.poll()
    for sock, events in sockets:
        poll.register(sock, events)
    looks = 0
    while not (found := poll.poll(_LOOK_UP * 1000)):
        if _has_ended(pid):
            return poll.poll(0)
        looks = looks + 1 if is_stopped(pid) else 0
        if looks == _LOOKS:
            give_up()
    return found


@contextlib.contextmanager
def watching(pid: Callable[[], int | None], give_up: Callable[[], None]) -> Iterator[None]:
    """Call `give_up` where a child stays stopped for the length of a block that waits for it.

    For waiting that can't be done by `wait_for_child`: spawning waits until the new process has
    replaced its program. `pid` returns None until the process is there.
    """
    over = threading.Event()

    def watch() -> None:
        looks = 0
        while not over.wait(_LOOK_UP):
            number = pid()
            looks = looks + 1 if number is not None and is_stopped(number) else 0
            if looks == _LOOKS:
                give_up()

    thread = threading.Thread(target=watch, name=SPAWNING, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
