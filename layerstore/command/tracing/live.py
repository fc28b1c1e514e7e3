"""A store that another process has open, as a trace: what it remembers, and what it does.

Owns the connection to that process for as long as it is looked at.
"""

from __future__ import annotations

import sys
import time

from layerstore.api.store import LayerStore
from layerstore.command.tracing.coming import Printer
from layerstore.command.tracing.loaded import Trace
from layerstore.drivers.errors import CannotAttach
from layerstore.drivers.records.journal_format import Header
from layerstore.drivers.system.printable import escaped
from layerstore.engine.sharing.attached import AttachedCore
from layerstore.engine.sharing.wire import Owner


def attached(root: str) -> LayerStore:
    """Attach to whoever has a root open. Raises CannotAttach, DriverError."""
    try:
        return LayerStore.attach(root)
    except CannotAttach as error:
        reason = f"{error.reason}; what was done before is in a journal, if one was written"
        raise CannotAttach(error.root, reason) from error


def load_live(root: str) -> Trace:
    """Return what the process remembers that has a root open. Raises as `attached`, StoreClosed."""
    with attached(root) as store:
        records = store.trace()
        owner = _owner(store)
    now = time.monotonic_ns()
    begin = min((record.enqueued for record in records), default=now)
    header = Header(
        session="live",
        part=1,
        pid=owner.pid,
        root=store.root,
        driver=owner.driver,
        wall=time.time_ns() - (now - begin),
        monotonic=begin,
    )
    return Trace(header, records, version=owner.version)


def _owner(store: LayerStore) -> Owner:
    if store.owner is None:
        raise TypeError("a store that is attached has an owner")
    return store.owner


def follow_live(root: str, printer: Printer) -> None:
    """Print what the process does that has a root open, until it closes that or ends.

    Raises as `attached`, StoreClosed.
    """
    with attached(root) as store:
        core = store.core
        if not isinstance(core, AttachedCore):
            raise TypeError("a store that is attached has somebody to follow")
        with core.following() as following:
            while (news := following.next(printer.patience)) is not None:
                printer.take(news.records)
                if news.lost:
                    told = f"layerstore: {news.lost} records came too fast, and are missing here"
                    print(told, file=sys.stderr)
        printer.finish()
        pid = _owner(store).pid
        print(
            f"layerstore: process {pid} has closed the store {escaped(store.root)}, or has ended",
            file=sys.stderr,
        )
