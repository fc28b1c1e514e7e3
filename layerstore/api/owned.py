"""A root that this process has open: its lock, its actors, its journal and who else may use them.

Owns the order in which all that is taken and given back. What can be asked of it is LayerStore's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from layerstore.actors.watching.trace import TraceRecord
from layerstore.drivers.errors import DriverError, JobCancelled
from layerstore.drivers.graph.choose import find_driver, open_driver
from layerstore.drivers.graph.overlay2.probe import remove_trials
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.faults import Fault
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.repair_step import RepairStep
from layerstore.drivers.model.wanted_confinement import Confine
from layerstore.drivers.records.journal import journal_path
from layerstore.drivers.root.disk import DiskConfig, make_disk
from layerstore.drivers.root.lock import RootLock
from layerstore.drivers.upkeep.recovery import prepare_root
from layerstore.engine.core import Outliving
from layerstore.engine.crew import Staff
from layerstore.engine.repairing import Announce, repair
from layerstore.engine.startup import start
from layerstore.observe.recording import Recording

if TYPE_CHECKING:
    from layerstore.engine.sharing.listening import Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a root is opened; see LayerStore."""

    root: str
    driver: str | None
    driver_options: Mapping[str, str] | None
    durable: bool
    workers: int
    max_streams: int
    max_queued: int
    prespawn: bool
    limits: Limits
    confine: Confine
    trace_size: int
    trace_file: str | None
    trace_as_left: bool = False
    """An engine goes on for another: where it can't be written that is logged, and there is no
    other file where there is none."""
    stall_after: float
    recover: bool
    listen: bool | Literal["required"]
    door: int | None
    """Descriptor of a socket that listens already."""
    id_ranges: str | None = None


class Owned:
    """What a LayerStore stands on whose root this process has open."""

    owner = None
    """Whoever has the root open, where that isn't the store itself."""

    def __init__(
        self, how: Opening, *, lock: RootLock | None = None, outliving: Outliving | None = None
    ) -> None:
        """Take the lock and start the actors; raises what LayerStore does.

        Or take over a `lock` that is held, and what is `outliving` actors in another process.
        """
        self._how = how
        self._outliving = outliving
        if lock is None:
            prepare_root(how.root, durable=how.durable, create=how.recover)
        self._lock = lock if lock is not None else RootLock(how.root)
        try:
            driver, self.driver_reason = self._open_driver()
            self.recording = Recording(how.trace_size, root=how.root, driver=driver.name)
            self._start(driver)
        except OSError as error:
            self._lock.release()
            raise DriverError.from_os_error_in("open the store", how.root, error) from error
        except BaseException:
            self._lock.release()
            raise

    def _open_driver(self) -> tuple[GraphDriver, str]:
        how = self._how
        if not how.recover:
            return find_driver(how.driver, how.root, durable=how.durable)
        remove_trials(how.root)
        return open_driver(how.driver, how.root, durable=how.durable, options=how.driver_options)

    def _start(self, driver: GraphDriver) -> None:
        how = self._how
        config = DiskConfig(
            root=how.root,
            driver=driver.name,
            durable=how.durable,
            limits=how.limits,
            confine=how.confine,
        )
        staff = Staff(
            workers=how.workers,
            max_heavy=how.max_streams,
            max_queued=how.max_queued,
            prespawn=how.prespawn,
            tracer=self.recording.tracer,
            switch_journal=self.recording.switch,
            stall_after=how.stall_after,
            id_ranges=how.id_ranges,
        )
        disk = make_disk(config, driver)
        self.recording.begin(how.trace_file, as_left=how.trace_as_left)
        try:
            self.core = start(
                disk, config, staff, recovering=how.recover, outliving=self._outliving
            )
        except BaseException:
            self.recording.close()
            raise
        self._listener: Listener | None = None
        self._begin_listening()

    def _begin_listening(self) -> None:
        try:
            # Without recovering nothing is made on the disk, a socket neither.
            self._listener = self._listen() if self._how.listen and self._how.recover else None
        except BaseException:
            self.close(keep_mounts=True, timeout=10.0)
            raise

    def _listen(self) -> Listener | None:
        how = self._how
        # Only here: commands, which nobody attaches to, are quicker without.
        from layerstore.engine.sharing.listening import listen  # noqa: PLC0415

        required = how.listen == "required"
        return listen(self.core, self.driver_reason, door=how.door, required=required)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """See LayerStore.shared."""
        self.core.check_open()
        if self._listener is not None:
            yield
            return
        listener = self._listener = self._listen()
        others_wait = True
        try:
            yield
        except (KeyboardInterrupt, SystemExit, JobCancelled):
            others_wait = False
            raise
        finally:
            try:
                if listener is not None and others_wait:
                    listener.see_off()
            finally:
                self._stop_listening()

    def check_may_repair(self) -> None:
        """Raise OwnersAlone where only somebody else can."""

    def trace_to(self, path: str | os.PathLike[str] | None) -> None:
        """See Observing.trace_to."""
        self.core.check_open()
        self.recording.write_to(None if path is None else journal_path(path))

    def trace_into(
        self,
        take: Callable[[TraceRecord], None],
        lost: Callable[[int], None] | None,  # noqa: ARG002 - none is: actors wait for `take`
    ) -> AbstractContextManager[None]:
        """See Observing.trace_into."""
        return self.recording.also_into(take)

    def repair(
        self, faults: list[Fault], *, force: bool, announce: Announce | None
    ) -> list[RepairStep]:
        """Close the store, keeping its mounts, repair its root, and open it anew.

        Raises what a step of it fails with, and what opening does; only then it stays closed.
        """
        core = self.core
        core.check_open()
        try:
            self._stop_listening()
            core.close(keep_mounts=True, timeout=10.0)
            return repair(core, faults, force=force, announce=announce)
        finally:
            try:
                self.core = start(core.disk, core.config, core.staff, recovering=True)
            except BaseException:
                self.recording.close()
                self._lock.release()
                raise
            self._begin_listening()

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def close(self, *, keep_mounts: bool, timeout: float, keep_trash: bool = False) -> None:
        """End all of it; see LayerStore.close. Idempotent."""
        try:
            self._stop_listening()
            self.core.close(keep_mounts=keep_mounts, keep_trash=keep_trash, timeout=timeout)
        finally:
            self.recording.close()
            self._lock.release()
