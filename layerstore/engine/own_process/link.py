"""The embedder's connection to its engine: a link that also hears the engine's log and questions.

Owns the threads in which init functions are called back. What becomes of a dead engine is for the
`Keeper`, which is told in the link's thread.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, Protocol

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import Refused
from layerstore.actors.runtime.calls import mark_worker_thread
from layerstore.actors.runtime.futures import Notifying
from layerstore.drivers.errors import (
    CallerError,
    CannotAttach,
    LayerStoreError,
    StoreClosed,
    Wire,
    WorkerDied,
    from_wire,
    to_wire,
)
from layerstore.drivers.system.frames import BadFrame, convert, pack_frame
from layerstore.drivers.work import Init
from layerstore.engine.own_process.spawning import EngineProcess
from layerstore.engine.sharing.answers import Asked
from layerstore.engine.sharing.quick import QuickLink
from layerstore.engine.sharing.wire import CLOSE, Owner

_log = logging.getLogger("layerstore")

_OPENING = 86_400.0
"""Seconds that opening a store may take: it ends, or its process does."""
_MOST_CALLED = 64
"""Init functions that run at once, as many as the engine's jobs at most."""


class _Call(NamedTuple):
    word: Literal["call"]
    reference: int
    path: str


class _Log(NamedTuple):
    word: Literal["log"]
    level: int
    line: str


class Keeper(Protocol):
    """Whoever has another engine go on for one that has died."""

    def lost(self, link: EngineLink) -> None:
        """Take note that an engine has died, before anybody else hears of it."""

    def why_lost(self) -> LayerStoreError:
        """Return what those are told who wait for a dead engine."""

    def renew(self, link: EngineLink) -> None:
        """Have another engine go on; the last that the link's thread does."""


class EngineLink(QuickLink):
    """A connection to the engine that this process has spawned."""

    _calls_back = True

    def __init__(self, root: str, process: EngineProcess, keeper: Keeper) -> None:
        """Wait until the engine has opened its store. Raises what opening it raised, WorkerDied."""
        self.process = process
        self._watched = process.pidfd
        self._keeper = keeper
        self._callers = ThreadPoolExecutor(
            _MOST_CALLED, thread_name_prefix="init", initializer=mark_worker_thread
        )
        self._raised: dict[int, LayerStoreError] = {}
        """By reference, what init functions raised and the engine was told of."""
        try:
            super().__init__(root, process.sock, process.pid, _OPENING)
        except CannotAttach as error:
            raise WorkerDied("opening the store", process.pid, error.reason) from error

    def _greeted(self, frame: object) -> Owner | None:
        match frame:
            case ["log", *_]:
                self._log(frame)
                return None
            case ["failed", error]:
                raise from_wire(convert(error, Wire))
        return super()._greeted(frame)

    def end_store(self, *, keep_mounts: bool, keep_trash: bool, timeout: float) -> Notifying[Any]:
        """Have the engine close its store; the future holds None, or Refused."""
        how = (keep_mounts, keep_trash, timeout)
        return self._ask(CLOSE, lambda number: ["close", number, *how])

    def lost(self) -> LayerStoreError:
        """See Link."""
        return self._keeper.why_lost()

    def _ending(self) -> None:
        self._keeper.lost(self)
        super()._ending()

    def _over(self) -> None:
        self.lines.close()
        # Those who follow are the keeper's: they may hear the next engine.
        self._callers.shutdown(wait=False)
        self._let_go()
        self._keeper.renew(self)

    # What the engine says by itself

    def _heard_other(self, word: object, frame: object) -> None:
        if word == "log":
            self._log(frame)
        elif word == "call":
            call = convert(frame, _Call)
            try:
                self._callers.submit(self._call, call)
            except RuntimeError:  # the interpreter is ending, and starts no thread any more
                self._tell_called(call.reference, StoreClosed(self._root))
        else:
            super()._heard_other(word, frame)

    def _log(self, frame: object) -> None:
        _, level, line = convert(frame, _Log)
        _log.log(level, "%s", line)

    def _call(self, call: _Call) -> None:
        """Call an init function, in a thread of its own, and tell the engine how that went."""
        failure: LayerStoreError | None = None
        try:
            name, init = self._init_of(call.reference)
            try:
                init(call.path)
            except LayerStoreError:
                raise
            except BaseException as error:
                text = _told(f"{type(error).__name__}: {error}")
                raise CallerError(f"the init function of mount {name}", text) from error
        except LayerStoreError as error:
            self._raised[call.reference] = failure = error
        self._tell_called(call.reference, failure)

    def _tell_called(self, reference: int, error: LayerStoreError | None) -> None:
        wire = None if error is None else to_wire(error, "the embedder")
        try:
            frame = pack_frame(["called", reference, wire])
        except (UnicodeEncodeError, BadFrame):
            plain = CallerError("an init function", "it raised what can't be told")
            frame = pack_frame(["called", reference, to_wire(plain, "the embedder")])
        self._send([frame], ())

    def _init_of(self, reference: int) -> tuple[str, Init]:
        for _, asked in list(self._asked.values()):
            if isinstance(asked, m.CreateRWLayer) and asked.reference == reference and asked.init:
                return asked.name, asked.init
        raise CallerError("an init function", "whoever wanted it has given up")

    def _refusal(self, asked: Asked, error: LayerStoreError) -> Refused:
        """Have an error caused by what an init function raised, as it would be in this process."""
        raised = None
        if isinstance(asked, m.CreateRWLayer):
            raised = self._raised.pop(asked.reference, None)
        if raised is not None and type(raised) is type(error) and raised.args == error.args:
            error = raised
        return Refused(error)


def _told(text: str) -> str:
    """Return a text that travels, whatever is in it."""
    return text.encode("utf-8", "backslashreplace").decode()
