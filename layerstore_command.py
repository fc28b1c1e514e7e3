"""Where the program `layerstore` begins, before the library is imported.

Owns what holds until there is somebody to handle it: an interrupt ends the process without a word,
and descriptors 0 to 2 are taken, so that no file of the store's becomes standard output.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys

_MANY_OBJECTS = 100_000
"""More than a short command makes: it ends before anybody looks for garbage."""


def main() -> int:
    """Run the command; returns its exit status."""
    gc.set_threshold(_MANY_OBJECTS)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _take_standard_descriptors()
    from layerstore.command import main as command  # noqa: PLC0415 - see above

    logging.basicConfig(format="layerstore: %(message)s", level=logging.WARNING)
    try:
        return command()
    finally:
        gc.freeze()  # an interpreter that ends would look for garbage among all there is, for 20 ms


def _take_standard_descriptors() -> None:
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number is the one that was closed. What is written there fails, as it
            # would have without it.
            fd = os.open(os.devnull, os.O_RDONLY)
            os.set_inheritable(fd, True)
            setattr(sys, name, open(fd, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115
