"""The protocol: every message that travels between the front door and the actors.

Reading this module is reading what can happen. Requests are verbs and are asked; the replies that
actors send each other are in the past tense and are told. A message carries IDs and plain data,
never a reference to somebody's books.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.ids import ChainID, DiffID
from layerstore.drivers.work import Descriptors, Init, Job, TarSource

if TYPE_CHECKING:
    from layerstore.actors.ref import Ref
    from layerstore.actors.trace import Envelope

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The root of all messages; `public` ones are asked, the others are told."""

    public: ClassVar[bool] = False
    repeatable: ClassVar[bool] = False
    """Asked twice it does no more than asked once, so it is asked again of actors made anew."""

    def summary(self) -> str:
        """IDs and names only, for traces; never contents."""
        return ""


# What layers and mounts look like from outside


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMetadata:
    """Facts of one read-only layer; sizes in bytes. moby: layer.Metadata and Layer."""

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    size: int
    """Of the layer and all its parents."""
    diff_size: int
    """Of the layer alone."""
    cache_id: str
    """The graph driver's ID of the layer."""
    descriptor: str | None
    """JSON of the descriptor that it was registered with."""
    depth: int
    """Layers in its chain, itself included."""
    references: int = 0
    """Everything that keeps the layer: retained references, child layers and mounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountMetadata:
    """Facts of one read-write layer."""

    name: str
    mount_id: str
    init_id: str | None
    parent: ChainID | None
    references: int
    """References that the callers of this store hold."""
    mount_count: int
    path: str | None
    """Where it is mounted, if it is."""
    state: str


# Asked of the LayerRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(Message):
    """Make a layer from a tar; answered with LayerMetadata, retained by `reference`."""

    public: ClassVar[bool] = True

    reference: int
    parent: ChainID | None
    descriptor: str | None
    source: TarSource
    descriptors: Descriptors = field(repr=False)

    def summary(self) -> str:
        """Return the parent."""
        return f"on {self.parent[:19]}" if self.parent else "base"


@dataclass(frozen=True, slots=True, kw_only=True)
class GetLayer(Message):
    """Retain a layer by a new reference; answered with LayerMetadata."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    reference: int
    chain_id: ChainID

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLayer(Message):
    """Give a reference back; answered with a list of LayerMetadata of what went, top first."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    reference: int
    chain_id: ChainID

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLayers(Message):
    """Answered with a dictionary of chain ID -> LayerMetadata."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLayer(Message):
    """Write a retained layer's tar to the descriptor: as registered, or as diff against another."""

    public: ClassVar[bool] = True

    reference: int
    chain_id: ChainID
    against: ChainID | None = None
    """An ancestor, or None for the registered tar."""
    whole: bool = False
    """Diff against nothing: the whole root file system."""
    descriptors: Descriptors = field(repr=False)

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectLayer(Message):
    """Answered with the driver's metadata of a retained layer, a dictionary of strings."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    reference: int
    chain_id: ChainID

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandon(Message):
    """Told: whoever asked with this reference or request gave up, or never heard the answer.

    What was made or held by it is undone; a job is stopped, wherever it has got to.
    """

    reference: int


# Asked of the MountRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRWLayer(Message):
    """Make a read-write layer; answered with MountMetadata, held by `reference`."""

    public: ClassVar[bool] = True

    reference: int
    name: str
    parent: ChainID | None
    mount_label: str = ""
    storage_opt: Mapping[str, str] = field(default_factory=dict)
    init: Init | None = field(default=None, repr=False)

    def summary(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRWLayer(Message):
    """Hold a read-write layer by a new reference; answered with MountMetadata."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    reference: int
    name: str

    def summary(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRWLayer(Message):
    """Give a reference back; the last one removes the layer. Answered as ReleaseLayer is."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    reference: int
    name: str

    def summary(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class GetMountID(Message):
    """Answered with the mount ID of a read-write layer."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    name: str

    def summary(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMounts(Message):
    """Answered with a list of MountMetadata, ordered by name, those in between included."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount(Message):
    """Mount a read-write layer once more; answered with its path."""

    public: ClassVar[bool] = True

    reference: int
    name: str
    mount_label: str = ""

    def summary(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmount(Message):
    """Undo one Mount; the last one unmounts."""

    public: ClassVar[bool] = True

    reference: int
    name: str

    def summary(self) -> str:
        """Return the name."""
        return self.name


MountWork = Literal["changes", "size", "read", "apply", "inspect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOnMount(Message):
    """Have a worker read or change a read-write layer; answered with the job's outcome."""

    public: ClassVar[bool] = True

    reference: int
    request: int
    """A number of its own, to be abandoned by."""
    name: str
    what: MountWork
    source: TarSource | None = None
    descriptors: Descriptors = field(default=(), repr=False)

    def summary(self) -> str:
        """Return the name and what is done."""
        return f"{self.name} {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmountAll(Message):
    """Unmount what was mounted through this store; answered with the names that could not be."""

    public: ClassVar[bool] = True


# Asked of every registry


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseBooks(Message):
    """Refuse new requests from now on; answered when nothing is pending any more."""

    public: ClassVar[bool] = True


# Told between the registries


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainLayer(Message):
    """Keep a layer for a mount; answered by Done with LayerMetadata."""

    chain_id: ChainID
    token: int
    reply_to: Ref = field(repr=False)

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class DropLayer(Message):
    """Undo RetainLayer; answered by Done with a list of LayerMetadata of what went."""

    chain_id: ChainID
    token: int
    failed: bool
    """The mount was never made, so the layer is left as it was."""
    reply_to: Ref = field(repr=False)

    def summary(self) -> str:
        """Return the chain ID."""
        return self.chain_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Message):
    """The work or question `token` is finished: with a value, or with an error."""

    token: int
    kind: str
    value: object = None
    error: LayerStoreError | None = None
    retries: int = 0
    """Attempts that had to be repeated on the way."""

    def outcome(self, kind: type[T]) -> T:
        """Return the value, which must be of this kind."""
        if not isinstance(self.value, kind):
            raise TypeError(f"{self.kind} brought {self.value!r}, not {kind.__name__}")
        return self.value

    def summary(self) -> str:
        """Return what was done, the error's class, and how often attempts were repeated."""
        words = [self.kind]
        if self.error is not None:
            words.append(type(self.error).__name__)
        if self.retries:
            words.append(f"after {self.retries} {'retry' if self.retries == 1 else 'retries'}")
        return " ".join(words)


# Between the registries, the pool and its workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit(Message):
    """Have a worker do a job and tell Done to `reply_to`."""

    token: int
    job: Job
    descriptors: Descriptors = field(default=(), repr=False)
    reply_to: Ref = field(repr=False)
    at: int = field(default_factory=time.monotonic_ns)
    """When it was handed in, in nanoseconds of the monotonic clock."""

    def summary(self) -> str:
        """Return the job and its IDs."""
        return f"{type(self.job).__name__} {self.job.summary()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Message):
    """Have a job end as soon as may be: nobody wants it any more. Its Done is told all the same."""

    token: int
    reply_to: Ref = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Message):
    """A worker is to do these jobs in order."""

    submits: tuple[Submit, ...]
    causes: tuple[Envelope | None, ...] = field(repr=False)
    """What each was submitted in, where it is traced."""

    @property
    def descriptors(self) -> Descriptors:
        """What the jobs read and write."""
        return tuple(each for submit in self.submits for each in submit.descriptors)

    def summary(self) -> str:
        """Return the first job, and how many more there are."""
        more = f" and {len(self.submits) - 1} more" if len(self.submits) > 1 else ""
        return self.submits[0].summary() + more


@dataclass(frozen=True, slots=True)
class DoneJob:
    """How one job went; times in nanoseconds."""

    kind: str
    outcome: str
    """`ok`, or the name of an error's class."""
    waited: int
    worked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Message):
    """A worker did all of its Run and is idle."""

    worker: str
    jobs: tuple[DoneJob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp(Message):
    """A worker is to spawn its child, if it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus(Message):
    """Answered with PoolFacts."""

    public: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTally:
    """What all jobs of one kind and outcome took together; times in seconds."""

    kind: str
    """Class of the job."""
    outcome: str
    """`ok`, or the name of an error's class."""
    count: int
    waited: float
    """From being handed in to being begun."""
    worked: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """What a pool is doing right now."""

    workers: int
    idle: int
    running: int
    queued: int
    jobs: tuple[JobTally, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff(Message):
    """Fail the heavy jobs that wait, and from now on admit only what ends something."""

    public: ClassVar[bool] = True


# Of the supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Died(Message):
    """Told: an actor of this generation is gone."""

    actor: str
    generation: int

    def summary(self) -> str:
        """Return the actor's name."""
        return self.actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore(Message):
    """Answered once the actors that died before are made anew."""

    public: ClassVar[bool] = True


# Of the reaper


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep(Message):
    """Told: something lies in the trash since `at`, in nanoseconds of the monotonic clock."""

    at: int = field(default_factory=time.monotonic_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain(Message):
    """Asked: empty the trash; answered when what lay in it is deleted."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
