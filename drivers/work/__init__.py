"""The jobs: everything that the store can ask of a disk, and what comes of it, as plain data.

Owns what each job says and what its outcome looks like, so that it can travel to a child process.
It never does one: that is `drivers/worker/perform`. Begin with `job`.
"""

from layerstore.drivers.work.checks import CheckJob, InspectRoot, PlanRepair, Repair, VerifyLayer
from layerstore.drivers.work.descriptors import Descriptors, Gate, OwnedDescriptor, TarSource
from layerstore.drivers.work.hands import Hands, Outcome, Performed, SweepHands
from layerstore.drivers.work.images import DeleteImage, ImageJob, ReadConfig, WriteImage, WriteNames
from layerstore.drivers.work.job import Job, SweepTrash
from layerstore.drivers.work.layers import (
    AppliedLayer,
    ApplyLayer,
    CommitLayer,
    CreateLayer,
    DiscardLayer,
    DriverMetadata,
    RemoveLayer,
    StreamDifference,
    StreamLayer,
)
from layerstore.drivers.work.mounts import (
    MOUNT_WORK,
    READING,
    USERNS,
    ApplyToMount,
    CountUsage,
    CreateMount,
    ForkMount,
    Init,
    ListChanges,
    MeasureMount,
    MountLayer,
    MountWork,
    RemoveMount,
    ResetMount,
    UnmountLayer,
)

HEAVY_JOBS: dict[str, type[Job]] = {
    name: job
    for name, job in globals().items()
    if isinstance(job, type) and issubclass(job, Job) and job.heavy
}
"""Those that a child takes, by name."""

JOINING_JOBS: dict[str, type[Job]] = {cls.__name__: cls for cls in (CreateMount, RemoveMount)}
"""Those of which a child takes many for one message."""

__all__ = [
    "HEAVY_JOBS",
    "JOINING_JOBS",
    "MOUNT_WORK",
    "READING",
    "USERNS",
    "AppliedLayer",
    "ApplyLayer",
    "ApplyToMount",
    "CheckJob",
    "CommitLayer",
    "CountUsage",
    "CreateLayer",
    "CreateMount",
    "DeleteImage",
    "Descriptors",
    "DiscardLayer",
    "DriverMetadata",
    "ForkMount",
    "Gate",
    "Hands",
    "ImageJob",
    "Init",
    "InspectRoot",
    "Job",
    "ListChanges",
    "MeasureMount",
    "MountLayer",
    "MountWork",
    "Outcome",
    "OwnedDescriptor",
    "Performed",
    "PlanRepair",
    "ReadConfig",
    "RemoveLayer",
    "RemoveMount",
    "Repair",
    "ResetMount",
    "StreamDifference",
    "StreamLayer",
    "SweepHands",
    "SweepTrash",
    "TarSource",
    "UnmountLayer",
    "VerifyLayer",
    "WriteImage",
    "WriteNames",
]
