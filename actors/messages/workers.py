"""Messages to the pool, its workers, the reaper and the supervisor, and what these tell."""

from __future__ import annotations

import time
from typing import ClassVar

from msgspec import Struct, field

from layerstore.actors.runtime.message import Done, Message, Shared
from layerstore.actors.runtime.ref import Ref
from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.work import Descriptors, Job


class Submit(Message, frozen=True, kw_only=True):
    """Have a worker do a job and tell Done to `reply_to`."""

    token: int
    job: Job
    descriptors: Descriptors = ()
    reply_to: Ref
    along: object = None
    """What Done brings back as it is."""
    at: int = field(default_factory=time.monotonic_ns)
    """When it was handed in, in nanoseconds of the monotonic clock."""

    def done(
        self, value: object = None, *, error: LayerStoreError | None = None, retries: int = 0
    ) -> Done:
        """Return what tells whoever submitted the job what became of it."""
        return Done(
            token=self.token,
            kind=type(self.job).__name__,
            value=value,
            error=error,
            retries=retries,
            along=self.along,
        )

    def refused(self, error: LayerStoreError) -> Done:
        """Close what came with a job that nobody does, and return what tells so."""
        for descriptor in self.descriptors:
            descriptor.close()
        return self.done(error=error)

    def summary(self) -> str:
        """Return the job and its IDs."""
        return f"{type(self.job).__name__} {self.job.summary()}"


class Cancel(Message, frozen=True, kw_only=True):
    """Have a job end as soon as may be: nobody wants it any more. Its Done is told all the same."""

    token: int
    reply_to: Ref


class Run(Message, frozen=True, kw_only=True):
    """A worker does these jobs: a heavy one that it is told to, or short ones that it has taken."""

    submits: tuple[Submit, ...]

    @property
    def descriptors(self) -> Descriptors:
        """What the jobs read and write."""
        return tuple(each for submit in self.submits for each in submit.descriptors)

    def summary(self) -> str:
        """Return the first job, and how many more there are."""
        more = f" and {len(self.submits) - 1} more" if len(self.submits) > 1 else ""
        return self.submits[0].summary() + more


class Finished(Message, frozen=True, kw_only=True):
    """A worker did a heavy job, and is idle or has begun with another."""

    worker: str
    token: int
    asker: str


class Serve(Message, frozen=True, kw_only=True):
    """A worker is to do the short jobs that wait in the lane; it has a place for that."""


class Understaffed(Message, frozen=True, kw_only=True):
    """Told the pool: there is a place for short jobs, and no idle worker to have it."""


class Overstaffed(Message, frozen=True, kw_only=True):
    """Told the pool: more workers are idle than are kept."""


class WarmUp(Message, frozen=True, kw_only=True):
    """A worker is to spawn its child, if it has none."""


class JobTally(Struct, frozen=True, kw_only=True):
    """What all jobs of one kind and outcome took together; times in seconds."""

    kind: str
    """Class of the job."""
    outcome: str
    """`ok`, or the name of an error's class."""
    count: int
    waited: float
    """From being handed in to being begun."""
    worked: float


class PoolFacts(Struct, frozen=True, kw_only=True):
    """What a pool is doing right now."""

    workers: int
    idle: int
    running: int
    queued: int
    jobs: tuple[JobTally, ...] = ()


class PoolStatus(Message, frozen=True, kw_only=True):
    """Answered with PoolFacts."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(PoolFacts, ("pool",))


class CutOff(Message, frozen=True, kw_only=True):
    """Fail the heavy jobs that wait, and from now on admit only what ends something."""

    public: ClassVar[bool] = True


class Died(Message, frozen=True, kw_only=True):
    """Told: an actor of this generation is gone."""

    actor: str
    generation: int

    def summary(self) -> str:
        """Return the actor's name."""
        return self.actor


class Restore(Message, frozen=True, kw_only=True):
    """Answered once the actors that died before are made anew."""

    public: ClassVar[bool] = True


class Sweep(Message, frozen=True, kw_only=True):
    """Told: something lies in the trash since `at`, in nanoseconds of the monotonic clock."""

    at: int = field(default_factory=time.monotonic_ns)


class Drain(Message, frozen=True, kw_only=True):
    """Asked: empty the trash; answered when what lay in it is deleted."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(int | None, ("reaper",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ()
