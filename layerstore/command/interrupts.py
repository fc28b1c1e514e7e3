"""Ending in good order when a signal asks for it: what was begun is undone first.

Owns the handlers of SIGINT, SIGTERM and SIGHUP while the command works. Who started the process
with one of them ignored (nohup, a shell's background job) has it stay so.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MOMENT = 0.001
"""Seconds."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """Have the first of the signals raise Interrupted in a `with` block; later ones are ignored.

    In a thread that isn't the main one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: FrameType | None) -> None:
        for other in ending:
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(number)

    ending = [n for n in _ENDING if signal.getsignal(n) != signal.SIG_IGN]
    with handled(ending, end), _none_lost(end):
        yield


@contextlib.contextmanager
def _none_lost(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Have a signal come again whose exception went where none gets any further, in a `with` block.

    That is where an object is thrown away, as imports do with their locks. sys.unraisablehook.
    """
    before = sys.unraisablehook

    def again(lost: sys.UnraisableHookArgs) -> None:
        if not isinstance(lost.exc_value, Interrupted):
            before(lost)
            return
        number = lost.exc_value.number
        signal.signal(number, handler)
        # By another thread, a moment later: in here it would be lost once more.
        threading.Timer(_MOMENT, os.kill, (os.getpid(), number)).start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def handled(
    numbers: Iterable[int], handler: Callable[[int, FrameType | None], object]
) -> Iterator[None]:
    """Have signals handled in a `with` block; afterwards, as they were before."""
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextlib.contextmanager
def waiting() -> Iterator[Callable[[float | None], None]]:
    """Give a function that waits some seconds (None: for ever) for a signal, in a `with` block.

    It ends by what the signal's handler raises; one that comes just before it is called, too.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    poll = select.poll()
    poll.register(reader, select.POLLIN)

    def wait(seconds: float | None) -> None:
        for fd, _ in poll.poll(None if seconds is None else seconds * 1000):
            os.read(fd, 1)

    before = signal.set_wakeup_fd(writer)
    try:
        yield wait
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
