"""Printing records as they are written, file after file, until interrupted."""

from __future__ import annotations

import json
import os
import sys

from layerstore.actors.watching.trace import TraceRecord
from layerstore.command.tracing.listing import facts, line
from layerstore.command.tracing.selection import Selection
from layerstore.drivers.records.journal_read import JournalReader
from layerstore.drivers.records.watching import DirectoryWatch


def follow(path: str, selection: Selection, *, as_json: bool) -> None:
    """Print what is in the file and what comes, whoever writes it. Never returns.

    Raises DriverError, InvalidTrace.
    """
    watch = DirectoryWatch(os.path.dirname(path) or ".")
    try:
        while True:
            _follow_file(path, watch, selection, as_json=as_json)
    finally:
        watch.close()


def _follow_file(path: str, watch: DirectoryWatch, selection: Selection, *, as_json: bool) -> None:
    """Print a file's records until another one has its path."""
    reader = JournalReader(path)
    begin: int | None = None
    try:
        while True:
            current = reader.is_current()  # asked first: what came before it ended is read below
            for rows in reader.more():
                for record in map(TraceRecord._make, rows):
                    begin = begin if begin is not None else record.enqueued
                    if selection.fits(record):
                        print(json.dumps(facts(record)) if as_json else line(record, begin))
            sys.stdout.flush()
            if not current and os.path.exists(path):
                return
            watch.wait()
    finally:
        reader.close()
