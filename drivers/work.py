"""The jobs: everything the store can ask of a disk, as plain data.

A job is a frozen dataclass of primitives, so that it can travel to a child process. `heavy` jobs
loop over files and run in a child; the others are a few system calls and run in a worker's thread.
File descriptors travel beside a job, never in it. Nothing here touches the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.faults import Fault
from layerstore.drivers.ids import ChainID, DiffID
from layerstore.drivers.protocol import Change
from layerstore.drivers.repair_step import RepairStep


class OwnedDescriptor:
    """A file descriptor with one owner at a time, closed once whoever ends up with it is done."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor's number; ValueError once it is closed."""
        if self._fd < 0:
            raise ValueError("the descriptor is closed")
        return self._fd

    def close(self) -> None:
        """Close the descriptor. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        # What was sent to an actor that has died is dropped with its mailbox.
        self.close()


Descriptors = tuple[OwnedDescriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TarSource:
    """How to read the tar that comes as a job's first descriptor.

    `offset` and `size` in bytes choose a window of a regular file (`size` None: to the end, read in
    order). With `confirmed`, the job's second descriptor is a pipe: a byte on it says that the tar
    was handed over whole, its end without one that it wasn't.
    """

    offset: int = 0
    size: int | None = None
    inflate: bool = False
    """Recognise gzip and zstd and inflate them; otherwise the bytes are the tar itself."""
    confirmed: bool = False
    expected_digest: str | None = None
    """`sha256:<hex>` of the bytes as given, compressed or not."""
    expected_diff_id: str | None = None
    """`sha256:<hex>` of the tar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The root of all jobs."""

    heavy: ClassVar[bool] = False
    """Loops over files, so it runs in a child process."""
    follows: ClassVar[bool] = False
    """Ends what was begun or frees what was taken, so it is admitted however busy the store is."""

    @property
    def joins(self) -> bool:
        """Whether a child can do it together with others, all for one message.

        It must be a few system calls, plain data, and repeatable where the child dies: its field
        `again` says so.
        """
        return False

    def summary(self) -> str:
        """IDs only, for traces and error messages; never contents."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyLayer(Job):
    """Unpack a tar into a new driver layer and write its metadata into a new transaction."""

    heavy: ClassVar[bool] = True

    transaction: str
    cache_id: str
    parent_cache_id: str | None
    parent: ChainID | None
    descriptor: str | None
    """JSON of the OCI descriptor, stored as it is."""
    source: TarSource

    def summary(self) -> str:
        """Return the cache ID."""
        return self.cache_id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedLayer:
    """The outcome of ApplyLayer, whose transaction waits to be committed; sizes in bytes."""

    diff_id: DiffID
    size: int
    tar_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitLayer(Job):
    """Rename a transaction to its chain ID: from then on the layer exists."""

    follows: ClassVar[bool] = True

    transaction: str
    chain_id: ChainID

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardLayer(Job):
    """Throw away what ApplyLayer made, wholly or in part."""

    follows: ClassVar[bool] = True

    transaction: str
    cache_id: str

    def summary(self) -> str:
        """Return the cache ID."""
        return self.cache_id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveLayer(Job):
    """Move one layer's metadata and driver directory into the trash."""

    follows: ClassVar[bool] = True

    chain_id: ChainID
    cache_id: str

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLayer(Job):
    """Write the tar that was registered to the job's descriptor, checked against its diff ID."""

    heavy: ClassVar[bool] = True

    chain_id: ChainID
    cache_id: str
    diff_id: DiffID

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDifference(Job):
    """Write the driver's diff of one layer against another to the job's descriptor."""

    heavy: ClassVar[bool] = True

    layer_id: str
    parent_id: str | None

    def summary(self) -> str:
        """Return the layer's ID."""
        return self.layer_id[:12]


Init = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateMount(Job):
    """Make a read-write layer: its init layer where `init` is given, itself, its metadata."""

    name: str
    mount_id: str
    init_id: str | None
    parent: ChainID | None
    parent_cache_id: str | None
    transaction: str
    mount_label: str = ""
    storage_opt: Mapping[str, str] = field(default_factory=dict)
    init: Init | None = None
    again: bool = False
    """Somebody who died may have begun with it, or even have done it."""

    @property
    def joins(self) -> bool:
        """See Job; a function can't travel."""
        return self.init is None and self.init_id is None

    def summary(self) -> str:
        """Return the name and mount ID."""
        return f"{self.name} {self.mount_id[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveMount(Job):
    """Move a read-write layer that is not mounted into the trash, with its init layer."""

    follows: ClassVar[bool] = True

    name: str
    mount_id: str
    init_id: str | None
    transaction: str
    """A new one, which its metadata is until all of it is gone."""
    again: bool = False
    """Somebody who died may have begun with it, or even have done it."""

    @property
    def joins(self) -> bool:
        """See Job."""
        return True

    def summary(self) -> str:
        """Return the name and mount ID."""
        return f"{self.name} {self.mount_id[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountLayer(Job):
    """Mount a read-write layer; the outcome is its path."""

    mount_id: str
    mount_label: str = ""

    def summary(self) -> str:
        """Return the mount ID."""
        return self.mount_id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmountLayer(Job):
    """Unmount a read-write layer."""

    follows: ClassVar[bool] = True

    mount_id: str

    def summary(self) -> str:
        """Return the mount ID."""
        return self.mount_id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverMetadata(Job):
    """The driver's own facts of one layer, as a dictionary of strings."""

    layer_id: str

    def summary(self) -> str:
        """Return the layer's ID."""
        return self.layer_id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyToMount(Job):
    """Unpack a tar into a read-write layer; the outcome is its unpacked size in bytes."""

    heavy: ClassVar[bool] = True

    mount_id: str
    parent_id: str | None
    source: TarSource

    def summary(self) -> str:
        """Return the mount ID."""
        return self.mount_id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListChanges(Job):
    """Compare a read-write layer with its parent; the outcome is a list of Change."""

    heavy: ClassVar[bool] = True

    mount_id: str
    parent_id: str | None

    def summary(self) -> str:
        """Return the mount ID."""
        return self.mount_id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureMount(Job):
    """Add up a read-write layer's own files; the outcome is bytes."""

    heavy: ClassVar[bool] = True

    mount_id: str
    parent_id: str | None

    def summary(self) -> str:
        """Return the mount ID."""
        return self.mount_id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepTrash(Job):
    """Delete all that lies in the trash; the outcome is how many entries it held."""

    heavy: ClassVar[bool] = True


Outcome = (
    AppliedLayer | list[Change] | list[Fault] | list[RepairStep] | dict[str, str] | str | int | None
)

HEAVY_JOBS: dict[str, type[Job]] = {
    cls.__name__: cls
    for cls in (
        ApplyLayer,
        StreamLayer,
        StreamDifference,
        ApplyToMount,
        ListChanges,
        MeasureMount,
        SweepTrash,
    )
}

JOINING_JOBS: dict[str, type[Job]] = {cls.__name__: cls for cls in (CreateMount, RemoveMount)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """What became of one of several jobs; times in nanoseconds of the monotonic clock."""

    error: LayerStoreError | None
    begun: int
    ended: int
    retries: int = 0
    child: int | None = None
    """Process ID of the child that did it, if one did."""


class Hands(Protocol):
    """What a driver worker does its jobs with; one thread at a time uses it."""

    retries: int
    """Attempts that the last job had to repeat, in this process, because of EBUSY and its like."""

    @property
    def child_pid(self) -> int | None:
        """Process ID of the child that heavy jobs are done by, if there is one."""

    def perform(self, job: Job, descriptors: Descriptors) -> Outcome:
        """Do the job, closing the descriptors; raises LayerStoreError and nothing else."""

    @property
    def takes_many(self) -> bool:
        """Whether there is a child now to do many jobs for one message."""

    def perform_all(self, jobs: Sequence[Job]) -> list[Performed]:
        """Do jobs that join, in the child as far as it can and lives."""

    def warm_up(self) -> None:
        """Make ready for a heavy job without waiting."""

    def cancel(self, job: Job) -> None:
        """Have a heavy job, which is performed or about to be, fail; from any thread, at once."""

    def close(self) -> None:
        """End what perform started. Idempotent."""
