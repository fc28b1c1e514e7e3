"""Messages to the pool, its workers, the reaper and the supervisor, and what these tell."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import ClassVar

from layerstore.actors.runtime.message import Message
from layerstore.actors.runtime.ref import Ref
from layerstore.actors.watching.trace import Envelope
from layerstore.drivers.work import Descriptors, Job


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep(Message):
    """Told: something lies in the trash since `at`, in nanoseconds of the monotonic clock."""

    at: int = field(default_factory=time.monotonic_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain(Message):
    """Asked: empty the trash; answered when what lay in it is deleted."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ()
