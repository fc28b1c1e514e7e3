"""A root that a child process of this one has open: the lock, the notes and the engine.

Owns the order in which they are taken and given back. This process has the lock, and shares it with
each engine, so that nobody else gets the root between two of them.
"""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, replace
from typing import NoReturn

from layerstore.api.owned import Opening
from layerstore.api.visiting import TracedFar
from layerstore.drivers.errors import OwnersAlone
from layerstore.drivers.model.faults import Fault
from layerstore.drivers.model.repair_step import RepairStep
from layerstore.drivers.records.journal import journal_path
from layerstore.drivers.root.lock import RootLock
from layerstore.drivers.upkeep.recovery import prepare_root
from layerstore.engine.own_process.embedder import EmbeddedCore
from layerstore.engine.own_process.notes import make_notes
from layerstore.engine.own_process.spawning import EngineProcess
from layerstore.engine.repairing import Announce, repair
from layerstore.observe.recording import VARIABLE

_log = logging.getLogger("layerstore")


class Embedded(TracedFar):
    """What a LayerStore stands on whose actors are in a process of their own."""

    owner = None
    """See Owned: the engine is the store's own."""

    def __init__(self, how: Opening) -> None:
        """Take the lock and spawn an engine; raises what LayerStore does."""
        self._how = how
        self.core: EmbeddedCore
        prepare_root(how.root, durable=how.durable, create=how.recover)
        self._lock = RootLock(how.root)
        try:
            self.core = self._open()
        except BaseException:
            self._lock.release()
            raise
        path = how.trace_file or os.environ.get(VARIABLE) or None
        self._how = replace(how, trace_as_left=True, trace_file=path)

    def _open(self) -> EmbeddedCore:
        self._notes = make_notes()
        return EmbeddedCore(self._how.root, self._spawn)

    def _spawn(self) -> EngineProcess:
        request = [_log.getEffectiveLevel(), asdict(self._how)]
        lock, notes = self._lock.fileno(), self._notes.fileno()
        return EngineProcess(request, lock=lock, notes=notes, door=self._how.door)

    @property
    def driver_reason(self) -> str:
        """Why the root is used with its driver."""
        return self.core.owner.driver_reason

    def refuse(self, what: str) -> NoReturn:
        """Raise OwnersAlone for what only the engine's process can do."""
        raise OwnersAlone(what, self._how.root, self.core.link.pid)

    def trace_to(self, path: str | os.PathLike[str] | None) -> None:
        """See Observing.trace_to; an engine that goes on for another writes there as well."""
        super().trace_to(path)
        self._how = replace(self._how, trace_file=None if path is None else journal_path(path))

    def check_may_repair(self) -> None:
        """See Owned."""

    def repair(
        self, faults: list[Fault], *, force: bool, announce: Announce | None
    ) -> list[RepairStep]:
        """Close the store, keeping its mounts, repair its root, and open it anew; see Owned."""
        core = self.core
        core.check_open()
        try:
            core.close(keep_mounts=True, timeout=10.0)
            return repair(core, faults, force=force, announce=announce)
        finally:
            self._notes.close()
            try:
                self.core = self._open()
            except BaseException:
                self._lock.release()
                raise

    def close(self, *, keep_mounts: bool, timeout: float, keep_trash: bool = False) -> None:
        """End all of it; see LayerStore.close. Idempotent."""
        try:
            self.core.close(keep_mounts=keep_mounts, keep_trash=keep_trash, timeout=timeout)
        finally:
            self._lock.release()
            self._notes.close()
