"""Moby's layer store as an embeddable library: content-addressed, copy-on-write, daemonless.

from layerstore import LayerStore

with LayerStore("/var/lib/layerstore") as store:
    base = store.register("rootfs.tar")
    with store.create_rw_layer("job-1", base.chain_id) as rw, rw.mounted() as path:
        ...                       # a throw-away root file system lies at `path`
"""

from layerstore.actors.image_messages import RemovedImage
from layerstore.actors.messages import LayerMetadata, MountMetadata
from layerstore.actors.trace import TraceRecord
from layerstore.drivers.confine import Confinement
from layerstore.drivers.errors import (
    CallerError,
    CallTimeout,
    DriverError,
    DriverNotSupported,
    ImageDoesNotExist,
    ImageInUse,
    IntegrityError,
    InternalError,
    InvalidImage,
    InvalidMetadata,
    InvalidName,
    InvalidTar,
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
    WorkerDied,
)
from layerstore.drivers.faults import Fault, FaultKind
from layerstore.drivers.protocol import Change, ChangeKind, Limits
from layerstore.drivers.repair_step import RepairStep
from layerstore.image import Image
from layerstore.images import ImageStore
from layerstore.layer import Layer
from layerstore.rwlayer import RWLayer
from layerstore.source import Region
from layerstore.store import LayerStore
from layerstore.stream import TarStream

__all__ = [
    "CallTimeout",
    "CallerError",
    "Change",
    "ChangeKind",
    "Confinement",
    "DriverError",
    "DriverNotSupported",
    "Fault",
    "FaultKind",
    "Image",
    "ImageDoesNotExist",
    "ImageInUse",
    "ImageStore",
    "IntegrityError",
    "InternalError",
    "InvalidImage",
    "InvalidMetadata",
    "InvalidName",
    "InvalidTar",
    "JobCancelled",
    "Layer",
    "LayerDoesNotExist",
    "LayerMetadata",
    "LayerNotRetained",
    "LayerStore",
    "LayerStoreError",
    "LimitExceeded",
    "Limits",
    "MaxDepthExceeded",
    "MountDoesNotExist",
    "MountMetadata",
    "MountNameConflict",
    "NotConfined",
    "NotMounted",
    "NotPermitted",
    "RWLayer",
    "ReadOnlyStorage",
    "Region",
    "RemovedImage",
    "RepairStep",
    "StorageFull",
    "StoreBusy",
    "StoreClosed",
    "StoreLocked",
    "TarStream",
    "TraceRecord",
    "WorkerDied",
]
