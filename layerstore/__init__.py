"""Moby's layer store as an embeddable library: content-addressed, copy-on-write, daemonless.

from layerstore import LayerStore

with LayerStore("/var/lib/layerstore") as store:
    base = store.register("rootfs.tar")
    with store.create_rw_layer("job-1", base.chain_id) as rw, rw.mounted() as path:
        ...                       # a throw-away root file system lies at `path`
"""

from layerstore.actors.image_messages import RemovedImage
from layerstore.actors.messages import JobTally, LayerMetadata, MountMetadata
from layerstore.actors.trace import TraceRecord
from layerstore.actors.waiting import ActorStatus, PendingRequest, Waiting
from layerstore.aio import AsyncImageStore, AsyncLayer, AsyncLayerStore, AsyncRWLayer
from layerstore.aio_stream import AsyncTarStream
from layerstore.drivers.confine import Confinement
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
from layerstore.drivers.faults import Fault, FaultKind
from layerstore.drivers.protocol import Change, ChangeKind, Limits
from layerstore.drivers.repair_step import RepairStep
from layerstore.image import Image
from layerstore.image_process import image_process
from layerstore.images import ImageStore
from layerstore.later import Later
from layerstore.later_store import LaterLayer, LaterRWLayer, LaterStore
from layerstore.layer import Layer
from layerstore.metrics import Metrics
from layerstore.outcome import Outcome
from layerstore.running import Finished, Running, Volume, mount_points, run, start
from layerstore.rwlayer import RWLayer
from layerstore.source import Region
from layerstore.store import LayerStore
from layerstore.stream import TarStream

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
    "mount_points",
    "run",
    "start",
]
