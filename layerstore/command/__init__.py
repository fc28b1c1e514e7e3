"""The `layerstore` command.

Owns the way from arguments to an exit status: 0; 1 with one line on stderr; 2 for a wrong usage;
130 where it was interrupted. Everything it does is LayerStore's.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import cast

from layerstore.command.arguments import parse_arguments
from layerstore.command.opening import opened
from layerstore.drivers.errors import LayerStoreError

_INTERRUPTED = 128 + signal.SIGINT
_PIPE_CLOSED = 128 + signal.SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with the process's arguments, or the given ones; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    try:
        options = parse_arguments(arguments)
        if not options.opens:
            status = cast("int", options.run(options))
            sys.stdout.flush()
            return status
        with opened(options) as store:
            status = cast("int", options.run(store, options))
            sys.stdout.flush()
        return status
    except LayerStoreError as error:
        print(f"layerstore: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has enough. What is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except KeyboardInterrupt:
        return _INTERRUPTED
