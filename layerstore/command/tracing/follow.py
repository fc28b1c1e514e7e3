"""Following what is written to a journal, file after file, until interrupted."""

from __future__ import annotations

import os

from layerstore.actors.watching.trace import TraceRecord
from layerstore.command.tracing.coming import Printer
from layerstore.drivers.records.journal_read import JournalReader
from layerstore.drivers.records.watching import DirectoryWatch


def follow(path: str, printer: Printer) -> None:
    """Print what is in the file and what comes, whoever writes it. Never returns.

    Raises DriverError, InvalidTrace.
    """
    watch = DirectoryWatch(os.path.dirname(path) or ".")
    try:
        while True:
            _follow_file(path, watch, printer)
    finally:
        watch.close()


def _follow_file(path: str, watch: DirectoryWatch, printer: Printer) -> None:
    """Print a file's records until another one has its path."""
    reader = JournalReader(path)
    try:
        while True:
            current = reader.is_current()  # asked first: what came before it ended is read below
            for rows in reader.more():
                printer.take(map(TraceRecord._make, rows))
            printer.take(())
            if not current and os.path.exists(path):
                return
            watch.wait(printer.patience)
    finally:
        reader.close()
