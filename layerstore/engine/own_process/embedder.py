"""The embedder's side: a store whose actors are in a child process of this one.

Owns having another engine go on when one has died. That is done by the dying link's own thread, one
step after another; whoever asks meanwhile waits for it. What callers hold is in the notes, which
each engine takes over.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from layerstore.actors import messages as m
from layerstore.actors.runtime.calls import call, deadline_of
from layerstore.actors.runtime.futures import Latch, Notifying
from layerstore.actors.runtime.ref import Address
from layerstore.asking.core import Core
from layerstore.drivers.errors import (
    CallTimeout,
    LayerStoreError,
    StoreClosed,
    StoreRestarted,
)
from layerstore.engine.own_process.link import EngineLink
from layerstore.engine.own_process.spawning import EngineProcess
from layerstore.engine.sharing.attached import AttachedCore, Far, FarActors
from layerstore.engine.sharing.link import Link

log = logging.getLogger("layerstore")

_ATTEMPTS = 3
_MOST_ABANDONED = 10_000
"""Requests that were given up lately, of which a dying engine may not have heard."""
_STARTS = 6
"""How often it is tried to start another engine, in some two seconds."""
_GRACE = 10.0
"""Seconds beyond those it has for closing that an engine has to answer, and to end."""


class _Engine(Far):
    """The engine itself, told to close its store."""

    __slots__ = ("_how",)

    def __init__(self, link: EngineLink, how: Callable[[], Notifying[Any]]) -> None:
        super().__init__(link, "engine")
        self._how = how

    def ask(self, message: m.Message, sender: str = "caller") -> Notifying[Any]:  # noqa: ARG002
        return self._how()


class EmbeddedActors(FarActors):
    """The actors of one engine; whoever asks for them when it has died gets those of the next."""

    def __init__(self, link: EngineLink, core: EmbeddedCore) -> None:
        super().__init__(link)
        self._core = core

    def current(self, ref: Address, timeout: float | None = None) -> Far:
        """Return the actor to ask; waits until another engine is there for one that has died."""
        return self._core.restored(timeout).named(ref.name)

    def restoring(self) -> Notifying[Any] | None:
        """Return a future of when another engine is there for one that has died."""
        return self._core.restoring_engine

    def abandon(self, ref: Address, message: m.Message) -> None:  # noqa: ARG002
        """Have undone what was asked for by somebody who has given up."""
        if message.number is not None:
            self._core.abandon_number(message.number)


class EmbeddedCore(AttachedCore):
    """The actors of a store in a child process."""

    def __init__(self, root: str, spawn: Callable[[], EngineProcess]) -> None:
        """Spawn an engine, and wait until it has opened the store.

        `spawn` is called again when an engine has died. Raises what opening the store raises,
        WorkerDied, DriverError.
        """
        self._root = root
        self._spawn = spawn
        self._given_up = False
        """There will be no engine any more."""
        self.restoring_engine: Notifying[None] | None = None
        self._abandoned: deque[int] = deque(maxlen=_MOST_ABANDONED)
        self._starting: EngineProcess | None = None
        """One that hasn't opened the store yet."""
        self._restarts = self._seen = 0
        """How often there were new actors before this engine, and, as far as is known, in it."""
        self._engine = self._start()
        super().__init__(root, self._engine)

    def _start(self) -> EngineLink:
        process = self._starting = self._spawn()
        try:
            if self._given_up:
                raise StoreClosed(self._root)
            return EngineLink(self._root, process, self)
        except BaseException:
            process.kill()
            process.end()
            raise
        finally:
            self._starting = None

    def _make_actors(self) -> EmbeddedActors:
        return EmbeddedActors(self._engine, self)

    @property
    def generation(self) -> int:
        """See Core; another engine's actors are made anew, too."""
        restarts = self._restarts
        seen: int = super().generation
        if restarts == self._restarts:  # of this engine, not of the one before it
            self._seen = max(self._seen, seen)
        return restarts + seen

    def check_open(self) -> None:
        """See Core."""
        Core.check_open(self)
        if self._given_up:
            raise StoreClosed(self._root)

    def _call_once(
        self, ref: Address, message: m.Message, timeout: float | None, deadline: float | None
    ) -> Any:
        self.restored(None if deadline is None else max(deadline - time.monotonic(), 0.0))
        return super()._call_once(ref, message, timeout, deadline)

    def _look(self, what: str) -> Any:
        for _ in range(_ATTEMPTS - 1):
            self.restored()
            try:
                return super()._look(what)
            except StoreRestarted as error:
                log.debug("looking at the engine: %s", error)
        self.restored()
        return super()._look(what)

    # Another engine

    def lost(self, link: EngineLink) -> None:
        """See Keeper."""
        if not self._given_up:
            log.error("the engine, process %d, died; another goes on from the disk", link.pid)
            self.restoring_engine = Notifying()

    def why_lost(self) -> LayerStoreError:
        """See Keeper."""
        return StoreClosed(self._root) if self._given_up else StoreRestarted("the engine")

    def renew(self, link: EngineLink) -> None:
        """See Keeper."""
        restoring = self.restoring_engine
        if restoring is None:
            self._follow_on(link)
            return
        try:
            link.process.end()
            self._engine = self.link = self._start_patiently()
        except LayerStoreError as error:
            log.error("no engine could go on: %s", error)  # noqa: TRY400 - it says why
            self._given_up = True  # then every call says that the store is closed
        except BaseException:
            self._given_up = True
            raise
        finally:
            self._restarts += 1 + self._seen
            self._seen = 0
            self._actors = self._make_actors()
            self.restoring_engine = None
            self._abandon_again(list(self._abandoned))
            self._follow_on(link)
            restoring.set(None)
            self._look_after()

    def _start_patiently(self) -> EngineLink:
        """Start another engine, in a while where that fails: descriptors may be short just now."""
        import tenacity  # noqa: PLC0415 - seldom needed, and long to import

        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._may_pass),
            wait=tenacity.wait_exponential(multiplier=0.05),
            stop=tenacity.stop_after_attempt(_STARTS),
            reraise=True,
        ):
            with attempt:
                return self._start()
        raise StoreClosed(self._root)

    def _may_pass(self, error: BaseException) -> bool:
        return isinstance(error, LayerStoreError) and not self._given_up

    def _follow_on(self, dead: EngineLink) -> None:
        """Have those who heard what a dead engine did hear the next one, if there is any."""
        for following in dead.followers.all():
            if self._engine is dead or self._given_up:
                following.end()
            elif not following.over:
                self._engine.watch(following)

    def _current_link(self) -> Link:
        self.restored()
        return self.link

    def restored(self, timeout: float | None = None) -> FarActors:
        """Return the actors of now, once there are some. Raises CallTimeout."""
        restoring = self.restoring_engine
        if restoring is not None:
            there = Latch()
            restoring.when_set(lambda _: there.open())
            if not there.wait(timeout):
                raise CallTimeout("Restore", timeout or 0.0)
        return self._actors

    def abandon_number(self, number: int) -> None:
        """Have undone what was asked for by this number, by this engine or the next."""
        self._abandoned.append(number)
        self._abandon_again([number])

    def _abandon_again(self, numbers: Iterable[int]) -> None:
        engine = self._engine
        for number in numbers:
            if not engine.ended:
                engine.abandon(number)

    # Closing

    def close(self, *, keep_mounts: bool, timeout: float, keep_trash: bool = False) -> None:
        """See LayerStore.close; ends the engine. Idempotent."""
        if self._closing or os.getpid() != self._pid:
            return
        self._closing = True
        deadline = deadline_of(timeout) or 0.0
        try:
            self._close_store(deadline, keep_mounts=keep_mounts, keep_trash=keep_trash)
        finally:
            self._given_up = True
            starting = self._starting
            if starting is not None:
                starting.kill()
            engine = None
            while engine is not self._engine:  # a dead one may just have been replaced
                engine = self._engine
                engine.close()
                engine.join()
                engine.process.end(_GRACE)
            self._dismiss()

    def _close_store(self, deadline: float, *, keep_mounts: bool, keep_trash: bool) -> None:
        for _ in range(_ATTEMPTS):
            left = max(deadline - time.monotonic(), 1.0)
            self.restored(left)
            engine = self._engine

            def end_store(engine: EngineLink = engine, left: float = left) -> Notifying[Any]:
                return engine.end_store(
                    keep_mounts=keep_mounts, keep_trash=keep_trash, timeout=left
                )

            try:
                call(_Engine(engine, end_store), m.CloseBooks(), left + _GRACE)
            except StoreRestarted as error:
                log.warning("while the store is being closed: %s", error)
            except StoreClosed as error:
                log.warning("%s, and without its engine", error)
                return
            else:
                return
