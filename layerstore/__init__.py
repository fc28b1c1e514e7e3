"""Moby's layer store as an embeddable library: content-addressed, copy-on-write, daemonless.

from layerstore import LayerStore

with LayerStore("/var/lib/layerstore") as store:
    base = store.register("rootfs.tar")
    with store.create_rw_layer("job-1", base.chain_id) as rw, rw.mounted() as path:
        ...                       # a throw-away root file system lies at `path`

What is public is imported when it is first asked for, so that who needs a blocking store doesn't
wait for asyncio's. `_PLACES` says where each name is; a test compares that with what type checkers
are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        CannotAttach,
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
        OwnersAlone,
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
    "CannotAttach",
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
    "OwnersAlone",
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

_PLACES = {
    "actors.messages": "JobTally LayerMetadata MountMetadata RemovedImage",
    "actors.watching.trace": "TraceRecord",
    "actors.watching.waiting": "ActorStatus PendingRequest Waiting",
    "api.aio": "AsyncLayerStore",
    "api.steps": "AsyncImageStore",
    "api.store": "LayerStore",
    "asking.later": "Later",
    "asking.outcome": "Outcome",
    "asking.source": "Region",
    "asking.stream": "TarStream",
    "drivers.confine.confine": "Confinement",
    "drivers.model.faults": "Fault FaultKind",
    "drivers.model.limits": "Limits",
    "drivers.model.repair_step": "RepairStep",
    "drivers.model.tree": "Change ChangeKind",
    "images.image": "Image",
    "images.store": "ImageStore",
    "observe.metrics": "Metrics",
    "operations.aio_stream": "AsyncTarStream",
    "operations.asynchronous": "AsyncLayer AsyncRWLayer",
    "operations.blocking": "Layer RWLayer",
    "operations.deferred": "LaterLayer LaterRWLayer LaterStore",
    "sandbox.process": "image_process",
    "sandbox.running": "Finished Running Volume mount_points run start",
    "sandbox.volumes": "image_volumes",
}
"""The public names of each module, words apart; what isn't here is an error."""

if not TYPE_CHECKING:
    _PLACE_OF = {
        **dict.fromkeys(__all__, "drivers.errors"),
        **{name: place for place, names in _PLACES.items() for name in names.split()},
    }

    def __getattr__(name: str) -> object:
        """Import a public name; from then on it is an attribute like any other."""
        if name not in _PLACE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # Only here: see above.
        from importlib import import_module  # noqa: PLC0415

        found = getattr(import_module(f"{__name__}.{_PLACE_OF[name]}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """Name what is public, whether it is imported yet or not."""
        return sorted({*globals(), *__all__})
