"""Moby's layer store as an embeddable library: content-addressed, copy-on-write, daemonless.

from layerstore import LayerStore

with LayerStore("/var/lib/layerstore") as store:
    base = store.register("rootfs.tar")
    with store.create_rw_layer("job-1", base.chain_id) as rw, rw.mounted() as path:
        ...                       # a throw-away root file system lies at `path`
"""

from layerstore.actors.messages import JobTally, LayerMetadata, MountMetadata, RemovedImage
from layerstore.actors.watching.trace import TraceRecord
from layerstore.actors.watching.waiting import ActorStatus, PendingRequest, Waiting
from layerstore.api.aio import AsyncLayerStore
from layerstore.api.steps import AsyncImageStore
from layerstore.api.store import LayerStore
from layerstore.asking.later import Later
from layerstore.asking.outcome import Outcome
from layerstore.asking.source import Region
from layerstore.asking.stream import TarStream
from layerstore.drivers.confine.confine import Confinement
from layerstore.drivers.errors import (
    CallerError,
    CallTimeout,
    CommandNotRun,
    DriverError,
    DriverNotSupported,
    ImageDoesNotExist,
    ImageInUse,
    IntegrityError,
    InternalError,
    InvalidArgument,
    InvalidImage,
    InvalidMetadata,
    InvalidName,
    InvalidTar,
    InvalidTrace,
    JobCancelled,
    LayerDoesNotExist,
    LayerNotRetained,
    LayerStoreError,
    LimitExceeded,
    MaxDepthExceeded,
    MountDoesNotExist,
    MountNameConflict,
    NotConfined,
    NotMounted,
    NotPermitted,
    ReadOnlyStorage,
    StorageFull,
    StoreBusy,
    StoreClosed,
    StoreLocked,
    StoreRestarted,
    WorkerDied,
)
from layerstore.drivers.model.faults import Fault, FaultKind
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.repair_step import RepairStep
from layerstore.drivers.model.tree import Change, ChangeKind
from layerstore.images.image import Image
from layerstore.images.store import ImageStore
from layerstore.observe.metrics import Metrics
from layerstore.operations.aio_stream import AsyncTarStream
from layerstore.operations.asynchronous import AsyncLayer, AsyncRWLayer
from layerstore.operations.blocking import Layer, RWLayer
from layerstore.operations.deferred import LaterLayer, LaterRWLayer, LaterStore
from layerstore.sandbox.process import image_process
from layerstore.sandbox.running import Finished, Running, Volume, mount_points, run, start
from layerstore.sandbox.volumes import image_volumes

__all__ = [
    "ActorStatus",
    "AsyncImageStore",
    "AsyncLayer",
    "AsyncLayerStore",
    "AsyncRWLayer",
    "AsyncTarStream",
    "CallTimeout",
    "CallerError",
    "Change",
    "ChangeKind",
    "CommandNotRun",
    "Confinement",
    "DriverError",
    "DriverNotSupported",
    "Fault",
    "FaultKind",
    "Finished",
    "Image",
    "ImageDoesNotExist",
    "ImageInUse",
    "ImageStore",
    "IntegrityError",
    "InternalError",
    "InvalidArgument",
    "InvalidImage",
    "InvalidMetadata",
    "InvalidName",
    "InvalidTar",
    "InvalidTrace",
    "JobCancelled",
    "JobTally",
    "Later",
    "LaterLayer",
    "LaterRWLayer",
    "LaterStore",
    "Layer",
    "LayerDoesNotExist",
    "LayerMetadata",
    "LayerNotRetained",
    "LayerStore",
    "LayerStoreError",
    "LimitExceeded",
    "Limits",
    "MaxDepthExceeded",
    "Metrics",
    "MountDoesNotExist",
    "MountMetadata",
    "MountNameConflict",
    "NotConfined",
    "NotMounted",
    "NotPermitted",
    "Outcome",
    "PendingRequest",
    "RWLayer",
    "ReadOnlyStorage",
    "Region",
    "RemovedImage",
    "RepairStep",
    "Running",
    "StorageFull",
    "StoreBusy",
    "StoreClosed",
    "StoreLocked",
    "StoreRestarted",
    "TarStream",
    "TraceRecord",
    "Volume",
    "Waiting",
    "WorkerDied",
    "image_process",
    "image_volumes",
    "mount_points",
    "run",
    "start",
]
