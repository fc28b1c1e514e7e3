"""The front door: LayerStore."""

# ruff: noqa: PLC0415 - who attaches waits for nothing that only owners need, nor most of them

from __future__ import annotations

import os
import socket
import weakref
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, Self

from layerstore.api.observing import Observing, Traced
from layerstore.api.options import Durability, EngineKind, check_options
from layerstore.api.sandboxes.mixin import Sandboxing
from layerstore.asking.core import Core
from layerstore.asking.progress import Progress
from layerstore.drivers.errors import NotConfined
from layerstore.drivers.model.faults import Fault
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.repair_step import RepairStep
from layerstore.drivers.model.wanted_confinement import Confine
from layerstore.images.store import ImageStore

if TYPE_CHECKING:
    from types import TracebackType

    from layerstore.api.embedded import Embedded
    from layerstore.api.owned import Opening, Owned
    from layerstore.api.visiting import Attached
    from layerstore.engine.core import Engine
    from layerstore.engine.repairing import Announce
    from layerstore.engine.sharing.wire import Owner
    from layerstore.observe.recording import Recording
    from layerstore.operations.deferred import LaterStore


class LayerStore(Sandboxing, Observing):
    """Content-addressed read-only layers and named read-write layers beneath one root.

    A root is laid out as a Docker data root. One process has it open at a time, to whose store
    others `attach`; any of its threads may use the store. Use it as a context manager, or close it.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        driver: str | None = None,
        driver_options: Mapping[str, str] | None = None,
        durability: Durability = "durable",
        workers: int | None = None,
        max_streams: int = 64,
        max_queued: int = 10_000,
        prespawn: bool = True,
        limits: Limits | None = None,
        confine: Confine = "auto",
        trace_size: int = 10_000,
        trace_file: str | os.PathLike[str] | None = None,
        stall_after: float = 60.0,
        recover: bool = True,
        listen: bool | Literal["required"] | socket.socket = True,
        engine: EngineKind = "thread",
        id_ranges: str | None = None,
    ) -> None:
        """Open a root, making what is missing.

        `driver` names a graph driver (`overlay2`, `vfs`); by default it is the one that the root
        was used with, or the best one that its file system supports. `durability`: `durable` has
        every change on the disk before its call returns, `relaxed` leaves that to the kernel.
        `workers` is how many short jobs run at once and how many child processes are kept ready
        (default: one for each CPU; 0 does everything in threads). `max_streams` bounds the tars
        that are read and written at once, `max_queued` the jobs that wait. With `prespawn` the
        children start now, else with their first job. `limits` bound what one tar may unpack to.
        `confine`: children give up what their jobs don't need as far as the kernel lets them
        (`auto`), or else the store isn't opened (`required`), or they don't (`off`); `confinement`
        tells. `trace_size` is how many messages `trace` remembers (0: none), `trace_file` where a
        journal of them is written, see `trace_to` (default: what LAYERSTORE_TRACE names, if it is
        set). A call that has no answer after `stall_after` seconds is told of in the log, with
        who waits for whom (0: never).
        Without `recover` opening makes, moves and removes nothing (its lock file aside): what a
        crash left stays where it is, to be told by `check`. With `listen` other processes of the
        same user (and root's) may `attach` to the store, where there can be a socket for that; if
        it is `required`, the store isn't opened otherwise. It may be a socket that listens at
        `<root>/layerstore/socket` already, as one that systemd has passed: it stays the caller's,
        who keeps it open as long as the store, and is left there. `engine` says where the store's
        actors are: in threads of this process (`thread`), or in a child of it (`process`), whose
        answers don't wait for this process's own busy threads. It ends with this process, however
        that ends; where it dies by itself, calls under way raise StoreRestarted, as where an actor
        dies, and another goes on. `id_ranges` are the user and group IDs of this machine that
        read-write layers may be given for themselves (`id_map="auto"`): `FIRST:COUNT[,...]`, or the
        name of a user that /etc/subuid and /etc/subgid have some for; by default those of
        `layerstore`, or else 0x70000000 to 0x7FFDFFFF as far as nobody else has them there.

        Raises InvalidArgument, StoreLocked, DriverNotSupported, NotPermitted, ReadOnlyStorage,
        DriverError, NotConfined.
        """
        check_options(
            root=root,
            durability=durability,
            confine=confine,
            workers=workers,
            max_streams=max_streams,
            max_queued=max_queued,
            trace_size=trace_size,
            stall_after=stall_after,
            limits=limits,
            engine=engine,
            listen=listen,
            id_ranges=id_ranges,
        )
        from layerstore.api.owned import Opening
        from layerstore.drivers.records.journal import journal_path

        self.root = os.path.realpath(root)
        opening = Opening(
            root=self.root,
            driver=driver,
            driver_options=driver_options,
            durable=durability == "durable",
            workers=workers if workers is not None else os.cpu_count() or 1,
            max_streams=max_streams,
            max_queued=max_queued,
            prespawn=prespawn,
            limits=limits or Limits(),
            confine=confine,
            trace_size=trace_size,
            trace_file=journal_path(trace_file) if trace_file is not None else None,
            stall_after=stall_after,
            recover=recover,
            listen="required" if isinstance(listen, socket.socket) else listen,
            door=listen.fileno() if isinstance(listen, socket.socket) else None,
            id_ranges=id_ranges,
        )
        self._stand_on(self._own(opening, engine))
        if confine == "required":
            self._require_confinement()

    @staticmethod
    def _own(opening: Opening, engine: EngineKind) -> Owned | Embedded:
        if engine == "thread":
            from layerstore.api.owned import Owned

            return Owned(opening)
        # Only here, as for `attach`.
        from layerstore.api.embedded import Embedded

        return Embedded(opening)

    @classmethod
    def attach(cls, root: str | os.PathLike[str], *, timeout: float = 10.0) -> Self:
        """Work with a store that another process has open, which must be the same user's or root's.

        It has the same methods, and what is asked of it is done by that process, the owner, with
        its options. References are its own, and are given back when it is closed or this process
        ends; read-write layers, their changes and mounts stay then as with any other store. What
        only the owner can do (`repair`, an `init` function other than `mount_points`) raises
        OwnersAlone, as `mount` does where this process doesn't see what the owner mounts. Where the
        owner closes the store or is gone, every call raises StoreClosed. `timeout` is how many
        seconds the owner has to answer.

        Raises CannotAttach where no process has the root open, or none that listens; DriverError.
        """
        # Only here: most who open stores never do it.
        from layerstore.api.visiting import Attached

        check_options(root=root, timeout=timeout)
        store = cls.__new__(cls)
        store.root = os.path.realpath(root)
        store._stand_on(Attached(store.root, timeout))
        return store

    def _stand_on(self, basis: Owned | Embedded | Attached) -> None:
        """Have whoever forgets to close leave no child, no mount and no thread at exit."""
        self._basis = basis
        self.driver_reason = basis.driver_reason
        self._finalizer = weakref.finalize(self, basis.close, keep_mounts=False, timeout=10.0)

    @property
    def owner(self) -> Owner | None:
        """Who has the root open, and how, where that is another process."""
        return self._basis.owner

    def _owned(self, what: str) -> Owned:
        """Return what only the owner has. Raises OwnersAlone for `what` is wanted of it."""
        from layerstore.api.owned import Owned

        basis = self._basis
        return basis if isinstance(basis, Owned) else basis.refuse(what)

    def _require_confinement(self) -> None:
        try:
            missing = self.confinement().missing
            if missing:
                raise NotConfined(", ".join(missing))
        except BaseException:
            self.close(keep_mounts=True)
            raise

    # Other ways in

    @property
    def later(self) -> LaterStore:
        """The same calls for actors, and whoever else must not wait: each returns a future.

        `store.later.create_rw_layer(...).tell(self.actor_ref, tag)` has an Outcome told to a Pykka
        actor. AsyncLayerStore is for asyncio.
        """
        from layerstore.operations.deferred import LaterStore

        return LaterStore(self)

    @property
    def core(self) -> Core:
        """The actors behind the store, for its other faces."""
        return self._basis.core

    @property
    def _core(self) -> Engine:
        """The actors, where this process has them."""
        return self._owned("looking into the store").core

    @property
    def _traced(self) -> Traced:
        return self._basis

    @property
    def _recording(self) -> Recording:
        return self._owned("tracing the store").recording

    # Images

    @property
    def images(self) -> ImageStore:
        """The images, which keep their layers."""
        return ImageStore(self)

    # The store itself

    def check(self, *, full: bool = False, progress: Progress | None = None) -> list[Fault]:
        """Compare the disk with the metadata and return what is wrong; nothing is changed.

        With `full` every layer's files are read, and must give the tar that was registered;
        `progress` is called with the bytes of the layers done. The store may be used meanwhile:
        what is just being made or removed is no fault. Raises CallTimeout, WorkerDied, DriverError
        where the disk can't be looked at.
        """
        from layerstore.engine import checking

        return checking.check(self.core, full=full, progress=progress)

    def repair(
        self,
        *,
        force: bool = False,
        dry_run: bool = False,
        announce: Announce | None = None,
        progress: Progress | None = None,
    ) -> list[RepairStep]:
        """Remove what nothing names and make again what follows from the rest; returns all steps.

        Without `force` nothing is lost, and steps whose `force` is set are only told. With it every
        layer is verified first, and layers, mounts and images that aren't whole go, with all that
        is made on them; layers beneath them stay. `announce` is called with the steps before the
        first is taken; `dry_run` takes none.

        A repair has the store to itself: where there is something to do, it lets go of all
        references, as closing does, keeps mounts (found again by get_rw_layer, and no longer
        unmounted by `close`), and opens the store anew. Waits until what was removed is deleted.
        Raises DriverError where a step fails; those before it are done, and it may be tried again.
        Raises OwnersAlone for an attached store.
        """
        basis = self._basis
        basis.check_may_repair()
        faults = self.check(full=force, progress=progress)
        steps = self._plan(faults) if faults else []
        if not dry_run and any(force or not step.force for step in steps):
            steps = basis.repair(faults, force=force, announce=announce)
        elif announce is not None:
            announce(steps)
        if not dry_run:
            self.drain()
        return steps

    def _plan(self, faults: list[Fault]) -> list[RepairStep]:
        from layerstore.engine import checking, repairing

        busy = checking.standing(self.core).busy
        return repairing.plan(self.core, faults, busy=busy)

    def shared(self) -> AbstractContextManager[None]:
        """Let other processes attach during a `with` block, where `listen` has it that they can't.

        For what takes long in a process that has the store for that alone, as a command. At the
        end of the block nobody else gets in, and those who did are waited for, unless it ends by an
        interrupt or with JobCancelled. A store whose actors are in a process of their own is as
        it was opened.
        """
        return self._basis.shared()

    def close(
        self, *, keep_mounts: bool = False, keep_trash: bool = False, timeout: float = 10.0
    ) -> None:
        """Unmount what was mounted through this store, finish what was begun, end all of it.

        With `keep_mounts` mounts stay, to be found by whoever opens the root next. With
        `keep_trash` so does what was removed and isn't deleted yet, unless it is little. What isn't
        finished some time before `timeout` seconds are over (a fifth of them) is cut off and
        undone. Calls under way have their results or errors then, unless they wait for code of
        their caller's. Nothing is released: read-write layers and their changes stay in the store.
        Raises DriverError where something can't be unmounted; the store is closed all the same.
        Idempotent.
        """
        if self._finalizer.detach() is not None:
            try:
                self._close_sandboxes()
            finally:
                self._basis.close(keep_mounts=keep_mounts, keep_trash=keep_trash, timeout=timeout)

    def cleanup(self) -> None:
        """Close the store under moby's name for it. moby: Store.Cleanup."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LayerStore {self.root} {self.driver_name}>"
