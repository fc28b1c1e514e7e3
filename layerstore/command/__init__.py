"""The `layerstore` command.

Owns the way from arguments to an exit status: 0; 1 with one line on stderr; 2 for a wrong usage;
128 and the signal's number where it was interrupted. It does nothing to a store itself: that is
LayerStore's. Its rooms: `parsing` (what may be typed), `verbs` (what is done), `tracing`, `output`.
`main`, where it starts, is in this file. Begin with `parsing/arguments`.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
from collections.abc import Sequence
from typing import cast

from layerstore.command.interrupts import Interrupted, interrupts
from layerstore.command.parsing.arguments import parse_arguments
from layerstore.drivers.errors import DriverError, LayerStoreError

_PIPE_CLOSED = 128 + signal.SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with the process's arguments, or the given ones; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    try:
        with interrupts():
            return _main(arguments)
    except Interrupted as interrupted:
        return 128 + interrupted.number


def _main(arguments: Sequence[str] | None) -> int:
    try:
        options = parse_arguments(arguments)
        if not options.opens:
            status = cast("int", options.run(options))
            sys.stdout.flush()
            return status
        from layerstore.command.opening import opened  # noqa: PLC0415 - a help opens nothing

        with opened(options) as store:
            status = cast("int", options.run(store, options))
            sys.stdout.flush()
        return status
    except LayerStoreError as error:
        if isinstance(error, DriverError) and error.errno == errno.EPIPE and _nobody_reads():
            return _give_up_output(_PIPE_CLOSED)
        print(f"layerstore: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return _give_up_output(_PIPE_CLOSED)
    except OSError as error:
        if error.filename is not None:
            raise
        failure = DriverError.from_os_error("write to", "standard output", error)
        print(f"layerstore: {failure}", file=sys.stderr)
        return _give_up_output(1)


def _nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader is gone."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _give_up_output(status: int) -> int:
    """Drop what is still buffered, which would fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
