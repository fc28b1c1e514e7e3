"""A store that another process has open, as a LayerStore stands on it.

Owns what an attached store has of its own: its connection. All else is the owner's.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

from layerstore.drivers.errors import OwnersAlone
from layerstore.engine.sharing import place
from layerstore.engine.sharing.attached import AttachedCore
from layerstore.engine.sharing.following import Lost, Take, handing_over
from layerstore.engine.sharing.quick import QuickLink
from layerstore.engine.sharing.wire import Owner

if TYPE_CHECKING:
    from layerstore.drivers.model.faults import Fault
    from layerstore.drivers.model.repair_step import RepairStep
    from layerstore.engine.repairing import Announce


class TracedFar:
    """What a LayerStore stands on whose actors are in another process, as far as it is traced."""

    core: AttachedCore

    def shared(self) -> contextlib.AbstractContextManager[None]:
        """See LayerStore.shared: that process lets others attach, or doesn't."""
        return contextlib.nullcontext()

    def trace_to(self, path: str | os.PathLike[str] | None) -> None:
        """See Observing.trace_to."""
        self.core.trace_to(path)

    @contextlib.contextmanager
    def trace_into(self, take: Take, lost: Lost | None) -> Iterator[None]:
        """See Observing.trace_into."""
        threads: list[threading.Thread] = []
        try:
            with self.core.following() as following:
                threads.append(handing_over(following, take, lost))
                yield
        finally:
            for thread in threads:
                thread.join()


class Attached(TracedFar):
    """What an attached LayerStore stands on."""

    def __init__(self, root: str, timeout: float) -> None:
        """Attach to whoever has `root` open. Raises CannotAttach, DriverError."""
        begun = time.monotonic()
        sock, pid = place.connect(root, timeout)
        left = max(timeout - (time.monotonic() - begun), 0.0)
        self.core = AttachedCore(root, QuickLink(root, sock, pid, left))

    @property
    def driver_reason(self) -> str:
        """Why the owner uses its driver."""
        return self.core.owner.driver_reason

    def refuse(self, what: str) -> NoReturn:
        """Raise OwnersAlone."""
        raise OwnersAlone(what, self.core.root, self.core.link.pid)

    @property
    def owner(self) -> Owner:
        """Whoever has the root open, and how."""
        return self.core.owner

    def check_may_repair(self) -> NoReturn:
        """Raise OwnersAlone."""
        self.refuse("repairing the store")

    def repair(
        self,
        faults: list[Fault],  # noqa: ARG002
        *,
        force: bool,  # noqa: ARG002
        announce: Announce | None,  # noqa: ARG002
    ) -> list[RepairStep]:
        """Raise OwnersAlone."""
        self.check_may_repair()

    def close(self, *, keep_mounts: bool, timeout: float, keep_trash: bool = False) -> None:  # noqa: ARG002
        """See LayerStore.close; what was removed is the owner's to delete."""
        self.core.close(keep_mounts=keep_mounts, timeout=timeout)
