"""The engine's side: its embedder's connection, and what only an embedder may ask.

Owns what the embedder's numbers mean: they are the store's own, so that they hold for the next
engine as well. When the embedder is gone, however that came about, the engine ends at once, in the
middle of whatever it does: the store is left as by a process that was killed, which it was.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from layerstore.actors.runtime.futures import Notifying
from layerstore.actors.runtime.message import Message
from layerstore.drivers.errors import LayerStoreError, Wire, from_wire, to_wire
from layerstore.drivers.system.frames import convert
from layerstore.engine.core import Engine
from layerstore.engine.sharing.connection import Connection
from layerstore.engine.sharing.conversing import Conversations
from layerstore.engine.sharing.serving import Held, Holding, Served
from layerstore.engine.sharing.watching import Watching
from layerstore.engine.sharing.wire import Owner, call_back


class Close(NamedTuple):
    """The embedder has its store closed."""

    word: Literal["close"]
    number: int
    keep_mounts: bool
    keep_trash: bool
    timeout: float


class _Called(NamedTuple):
    word: Literal["called"]
    reference: int
    error: Wire | None


class _ServedEmbedder(Served):
    """What the engine does for its embedder, whose references are the store's."""

    def __init__(
        self, engine: Engine, call: Callable[[int, str], None], holding: Holding | None = None
    ) -> None:
        super().__init__(engine, holding)
        self._call = call

    def _number(self, kind: type[Message], values: dict[str, Any], theirs: int | None) -> None:  # noqa: ARG002
        if values.get("init") is call_back:
            values["init"] = partial(self._call, values["reference"])

    def by_line(self, engine: Engine) -> Served:
        """See Served."""
        return _ServedEmbedder(engine, self._call, self.holding)

    def _got(self, theirs: int, held: Held, error: LayerStoreError | None) -> None:
        """Leave what is held to the actors, who note it."""

    def abandon(self, theirs: int) -> None:
        """See Served."""
        asked = self.holding.being_got.get(theirs)
        if asked is not None:
            asked.abandon()
        else:
            self._engine.actors.undo(theirs)


class _EmbeddersConnection(Connection):
    """The connection to the embedder."""

    most_unread = 1 << 40  # an engine without its embedder is of no use to anybody

    def __init__(
        self,
        sock: socket.socket,
        engine: Engine,
        describe: Callable[[], Owner],
        ring: Callable[[Connection], None],
        watching: Watching,
        add: Callable[[Connection], None],
        close: Callable[[Close], None],
    ) -> None:
        self._called: dict[int, Notifying[Wire | None]] = {}
        self._close = close
        super().__init__(sock, engine, describe, ring, watching, add)

    def _make_served(self, engine: Engine) -> Served:
        return _ServedEmbedder(engine, self._call)

    def _call(self, reference: int, path: str) -> None:
        """Have an init function called by the embedder, and wait; in a worker's thread."""
        future: Notifying[Wire | None] = Notifying()
        self._called[reference] = future
        self.tell(["call", reference, path])
        error = future.get()
        if error is not None:
            raise from_wire(error)

    def _heard_other(self, frame: object) -> None:
        match frame:
            case ["called", *_]:
                called = convert(frame, _Called)
                future = self._called.pop(called.reference, None)
                if future is not None:
                    future.set(called.error)
            case ["close", *_]:
                self._close(convert(frame, Close))
            case _:
                super()._heard_other(frame)


class Host(Conversations):
    """The embedder's connection, and the thread that serves it."""

    def __init__(
        self, sock: socket.socket, embedder: int, engine: Engine, describe: Callable[[], Owner]
    ) -> None:
        """Begin to serve; `embedder` is its pidfd. Raises DriverError."""
        super().__init__("host")
        self.orders: queue.SimpleQueue[Close] = queue.SimpleQueue()
        """What the embedder wants of the store as a whole."""
        self._leaving = False
        # Its socket may live on in a process that it has forked.
        self._poll.register(embedder, select.EPOLLIN)
        self._embedder = embedder
        self._connection = _EmbeddersConnection(
            sock, engine, describe, self.ring, self.watching, self.add, self.orders.put
        )
        self.add(self._connection)
        self._handler = _Forwarding(self._connection)
        logging.getLogger("layerstore").addHandler(self._handler)
        self.begin()

    def closed(self, order: Close, error: LayerStoreError | None) -> None:
        """Tell the embedder how closing went, and wait until it has heard it."""
        logging.getLogger("layerstore").removeHandler(self._handler)
        self._leaving = True
        if error is None:
            self._connection.tell(["answer", order.number, None])
        else:
            self._connection.tell(["error", order.number, to_wire(error, "the engine")])
        self._thread.join()

    def _other(self, descriptor: int) -> None:
        if descriptor == self._embedder:  # it has ended
            os._exit(1)

    def _ended(self, connection: Connection) -> None:
        if connection is self._connection:
            if not self._leaving:
                os._exit(1)
            self._closing = True


_LONGEST = 10_000
"""Characters of what is logged, a traceback's among them."""


class _Forwarding(logging.Handler):
    """Has what the engine logs logged by its embedder."""

    _MOST = 1_000

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        if self._connection.pending < self._MOST:
            self._connection.tell(["log", record.levelno, self.format(record)[:_LONGEST]])
