"""A process that opens roots, as whoever started it asks, so that others attach to them.

`python -m tests.support.ways.owning DESCRIPTOR`. It is nobody's child, so that a test which looks
at or kills the children of its own process doesn't find it; it ends with the connection.
"""

from __future__ import annotations

import contextlib
import os
import sys
from multiprocessing.connection import Connection
from typing import Any

from layerstore import LayerStore, LayerStoreError
from layerstore.drivers.errors import to_wire


def main() -> None:
    if os.fork():
        os._exit(0)
    asked: Connection[Any, Any] = Connection(int(sys.argv[1]))
    asked.send(os.getpid())
    owned: dict[str, LayerStore] = {}
    with contextlib.suppress(EOFError, ConnectionResetError):
        while True:
            what, root, options = asked.recv()
            try:
                if what == "open":
                    owned[root] = LayerStore(root, **options)
                else:
                    owned.pop(root).close(**options)
            except LayerStoreError as error:
                asked.send(to_wire(error, "the owner of roots"))
            else:
                asked.send(None)
    for store in owned.values():
        store.close()


if __name__ == "__main__":
    main()
