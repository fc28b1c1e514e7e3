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

    once = _Once([n for n in _ENDING if signal.getsignal(n) != signal.SIG_IGN])
    with handled(once.numbers, once.end), once.none_lost():
        yield


class _Once:
    """Interrupted, raised once: until it gets out of where it was raised.

    It doesn't where an object is just thrown away, as imports do with their locks: there Python
    tells sys.unraisablehook, and goes on. Then another thread sends the signal again and again, as
    in the hook it would be lost once more; where it is raised already that means nothing.
    """

    def __init__(self, numbers: list[signal.Signals]) -> None:
        self.numbers = numbers
        self._is_raised = False
        self._is_over = threading.Event()

    def end(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._is_raised:
            return
        self._is_raised = True
        for other in self.numbers:
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(number)

    @contextlib.contextmanager
    def none_lost(self) -> Iterator[None]:
        """Have it raised again where it was lost, for a `with` block."""
        before, sender = sys.unraisablehook, list[threading.Thread]()

        def again(lost: sys.UnraisableHookArgs) -> None:
            if not isinstance(lost.exc_value, Interrupted):
                before(lost)
                return
            try:
                for number in self.numbers:
                    signal.signal(number, self.end)
                if not sender:
                    thread = threading.Thread(target=self._send, args=(lost.exc_value.number,))
                    thread.start()
                    sender.append(thread)
            finally:
                self._is_raised = False  # at the very end: before that `end` raises nothing here

        sys.unraisablehook = again
        try:
            yield
        finally:
            sys.unraisablehook = before
            self._is_over.set()
            for thread in sender:
                thread.join()

    def _send(self, number: int) -> None:
        while not self._is_over.wait(_MOMENT):
            os.kill(os.getpid(), number)


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
