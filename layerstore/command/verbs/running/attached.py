"""A command in the foreground of ours: its signals, its output, how its end is told.

Owns what `run`, `exec` and their siblings have in common.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from layerstore.command.interrupts import handled
from layerstore.command.opening import as_root_of_its_own
from layerstore.command.output.apart import apart_from_terminal
from layerstore.drivers.cgroup.limits import RATES, Io
from layerstore.drivers.errors import InvalidArgument
from layerstore.images.registry.stop import Stop

if TYPE_CHECKING:
    from layerstore.drivers.cgroup.limits import ResourceLimits
    from layerstore.sandbox.running import Finished, Running

_PASSED_ON = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGWINCH,
)  # fmt: skip
_KILLED = 128 + signal.SIGKILL
_MIB = 1 << 20


def root_of(options: argparse.Namespace) -> str:
    """Return the store's path; an ordinary user comes to be where its commands run."""
    as_root_of_its_own(options.root)
    return os.path.realpath(str(options.root))


@contextlib.contextmanager
def outputs(options: argparse.Namespace) -> Iterator[tuple[int | None, int | None]]:
    """Give what the command's output and errors go to, for a `with` block; None for ours."""
    if options.tty:  # it has a terminal of its own
        yield None, None
        return
    with apart_from_terminal(1) as out, apart_from_terminal(2) as err:
        yield out, err


def environment(given: list[str]) -> dict[str, str]:
    """Return the variables that were given; one without a value has the one that it has here."""
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key:
            raise InvalidArgument(text, "a variable is KEY=VALUE or KEY")
        if equals or key in os.environ:
            found[key] = value if equals else os.environ[key]
    return found


def io_of(options: argparse.Namespace) -> Io:
    """Return the bounds of devices that were given, each as PATH:RATE or, for our own, RATE."""
    found: dict[str, int | str | dict[str, int | str]] = {}
    for name in RATES:
        for text in getattr(options, f"device_{name}"):
            path, colon, rate = text.rpartition(":")
            if not colon:
                found[name] = rate
                continue
            rates = found.setdefault(path, {})
            if not path.startswith("/") or not isinstance(rates, dict):
                raise InvalidArgument(text, "a device's rate is /PATH:RATE")
            rates[name] = rate
    return found


def tell_of_memory(finished: Finished, limits: ResourceLimits | None) -> None:
    """Say on standard error where a process was killed for want of memory."""
    if not finished.oom_killed:
        return
    bound = limits.memory if limits is not None else None
    whose = f"its memory of {_amount(bound)}" if bound is not None else "memory"
    who = "killed" if finished.status == _KILLED else "a process of it was killed"
    print(f"layerstore: {who}: out of {whose}", file=sys.stderr)


def _amount(size: int) -> str:
    return f"{size // _MIB} MiB" if size % _MIB == 0 else f"{size} bytes"


class Signals:
    """What this process is told to do is the command's to hear; it never ends in the middle."""

    def __init__(self) -> None:
        self.early: int | None = None
        """A signal to end that came before there was a command."""
        self.stop = Stop()
        """Told then, too: fetching an image may take long."""
        self._running: Running | None = None

    def attach(self, running: Running | None) -> None:
        """Pass signals on to a command, or to none any more."""
        self._running = running
        if running is not None and self.early is not None:
            running.kill()

    def as_told(self, finished: Finished) -> Finished:
        """Return how a command ended; one that was killed for a signal, as if it had got that."""
        return finished if self.early is None else replace(finished, status=128 + self.early)

    @contextlib.contextmanager
    def passed_on(self) -> Iterator[None]:
        """Handle signals for a `with` block."""
        with handled(_PASSED_ON, self._handle):
            yield

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._running is not None:
            self._running.send_signal(number)
        elif number != signal.SIGWINCH:
            self.early = number
            self.stop.tell()
