"""Every error layerstore raises, in the words of what the caller would do about it.

Owns the classes and their sentences; others import them from here. Errors cross the process
boundary as their class name and positional arguments (`wire`), so every constructor takes plain
strings, integers and None only. This room never raises anything itself. Begin with `base`.
"""

from layerstore.drivers.errors.base import LayerStoreError
from layerstore.drivers.errors.content import (
    IntegrityError,
    InvalidImage,
    InvalidMetadata,
    InvalidTar,
    InvalidTrace,
    LimitExceeded,
)
from layerstore.drivers.errors.disk import (
    DriverError,
    DriverNotSupported,
    NotPermitted,
    ReadOnlyStorage,
    StorageFull,
    is_passing,
)
from layerstore.drivers.errors.names import (
    ImageDoesNotExist,
    ImageInUse,
    InvalidArgument,
    InvalidName,
    LayerDoesNotExist,
    LayerNotRetained,
    MaxDepthExceeded,
    MountDoesNotExist,
    MountNameConflict,
    NotMounted,
)
from layerstore.drivers.errors.wire import Wire, from_wire, to_wire
from layerstore.drivers.errors.work import (
    CallerError,
    CallTimeout,
    CannotAttach,
    CommandNotRun,
    InternalError,
    JobCancelled,
    NotConfined,
    OwnersAlone,
    StoreBusy,
    StoreClosed,
    StoreLocked,
    StoreRestarted,
    WorkerDied,
)

__all__ = [
    "CallTimeout",
    "CallerError",
    "CannotAttach",
    "CommandNotRun",
    "DriverError",
    "DriverNotSupported",
    "ImageDoesNotExist",
    "ImageInUse",
    "IntegrityError",
    "InternalError",
    "InvalidArgument",
    "InvalidImage",
    "InvalidMetadata",
    "InvalidName",
    "InvalidTar",
    "InvalidTrace",
    "JobCancelled",
    "LayerDoesNotExist",
    "LayerNotRetained",
    "LayerStoreError",
    "LimitExceeded",
    "MaxDepthExceeded",
    "MountDoesNotExist",
    "MountNameConflict",
    "NotConfined",
    "NotMounted",
    "NotPermitted",
    "OwnersAlone",
    "ReadOnlyStorage",
    "StorageFull",
    "StoreBusy",
    "StoreClosed",
    "StoreLocked",
    "StoreRestarted",
    "Wire",
    "WorkerDied",
    "from_wire",
    "is_passing",
    "to_wire",
]
