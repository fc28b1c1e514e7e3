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
    from layerstore.api.aio_sandbox import AsyncSandbox
    from layerstore.api.image_steps import AsyncImageStore
    from layerstore.api.sandboxes.box import Sandbox
    from layerstore.api.store import LayerStore
    from layerstore.api.user_namespace import enter_user_namespace
    from layerstore.asking.later import Later
    from layerstore.asking.outcome import Outcome
    from layerstore.asking.source import Region
    from layerstore.asking.stream import TarStream
    from layerstore.drivers.confine.confine import Confinement
    from layerstore.drivers.errors import (
        AccessDenied,
        AmbiguousName,
        CallerError,
        CallTimeout,
        CannotAttach,
        CommandNotRun,
        DriverError,
        DriverNotSupported,
        EngineError,
        IdsExhausted,
        ImageDoesNotExist,
        ImageInUse,
        IntegrityError,
        InternalError,
        InvalidArgument,
        InvalidImage,
        InvalidMetadata,
        InvalidName,
        InvalidSettings,
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
        NotInRegistry,
        NotMounted,
        NotPermitted,
        NotRunning,
        OutputExceeded,
        OwnersAlone,
        ReadOnlyStorage,
        RegistryError,
        RegistryUnreachable,
        StillMounted,
        StorageFull,
        StoreBusy,
        StoreClosed,
        StoreDoesNotExist,
        StoreLocked,
        StoreRestarted,
        WorkerDied,
    )
    from layerstore.drivers.model.faults import Fault, FaultKind
    from layerstore.drivers.model.limits import Limits
    from layerstore.drivers.model.repair_step import RepairStep
    from layerstore.drivers.model.tree import Change, ChangeKind
    from layerstore.drivers.userns.id_map import IdMap
    from layerstore.drivers.userns.standing import Standing
    from layerstore.images.distribution.manner import Pushed
    from layerstore.images.distribution.remote_image import RemoteImage, RemoteLayer
    from layerstore.images.image import Image
    from layerstore.images.registry.client import RegistryClient
    from layerstore.images.registry.credentials import Credentials
    from layerstore.images.registry.logins.login import Login
    from layerstore.images.registry.settings import RegistrySettings
    from layerstore.images.registry.stop import Stop
    from layerstore.images.store import ImageStore
    from layerstore.observe.metrics import Metrics
    from layerstore.operations.aio_stream import AsyncTarStream
    from layerstore.operations.asynchronous import AsyncLayer, AsyncRWLayer
    from layerstore.operations.blocking import Layer, RWLayer
    from layerstore.operations.deferred import LaterLayer, LaterRWLayer, LaterStore
    from layerstore.sandbox.process import image_process
    from layerstore.sandbox.running import (
        Finished,
        Running,
        RunOptions,
        Volume,
        mount_points,
        run,
        start,
    )
    from layerstore.sandbox.volumes import image_volumes
    from layerstore.sandbox.warm import Warm

__all__ = [
    "AccessDenied",
    "ActorStatus",
    "AmbiguousName",
    "AsyncImageStore",
    "AsyncLayer",
    "AsyncLayerStore",
    "AsyncRWLayer",
    "AsyncSandbox",
    "AsyncTarStream",
    "CallTimeout",
    "CallerError",
    "CannotAttach",
    "Change",
    "ChangeKind",
    "CommandNotRun",
    "Confinement",
    "Credentials",
    "DriverError",
    "DriverNotSupported",
    "EngineError",
    "Fault",
    "FaultKind",
    "Finished",
    "IdMap",
    "IdsExhausted",
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
    "InvalidSettings",
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
    "Login",
    "MaxDepthExceeded",
    "Metrics",
    "MountDoesNotExist",
    "MountMetadata",
    "MountNameConflict",
    "NotConfined",
    "NotInRegistry",
    "NotMounted",
    "NotPermitted",
    "NotRunning",
    "Outcome",
    "OutputExceeded",
    "OwnersAlone",
    "PendingRequest",
    "Pushed",
    "RWLayer",
    "ReadOnlyStorage",
    "Region",
    "RegistryClient",
    "RegistryError",
    "RegistrySettings",
    "RegistryUnreachable",
    "RemoteImage",
    "RemoteLayer",
    "RemovedImage",
    "RepairStep",
    "RunOptions",
    "Running",
    "Sandbox",
    "Standing",
    "StillMounted",
    "Stop",
    "StorageFull",
    "StoreBusy",
    "StoreClosed",
    "StoreDoesNotExist",
    "StoreLocked",
    "StoreRestarted",
    "TarStream",
    "TraceRecord",
    "Volume",
    "Waiting",
    "Warm",
    "WorkerDied",
    "enter_user_namespace",
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
    "api.aio_sandbox": "AsyncSandbox",
    "api.image_steps": "AsyncImageStore",
    "api.store": "LayerStore",
    "api.user_namespace": "enter_user_namespace",
    "asking.later": "Later",
    "asking.outcome": "Outcome",
    "asking.source": "Region",
    "asking.stream": "TarStream",
    "drivers.confine.confine": "Confinement",
    "drivers.model.faults": "Fault FaultKind",
    "drivers.model.limits": "Limits",
    "drivers.model.repair_step": "RepairStep",
    "drivers.model.tree": "Change ChangeKind",
    "drivers.userns.id_map": "IdMap",
    "drivers.userns.standing": "Standing",
    "images.distribution.manner": "Pushed",
    "images.distribution.remote_image": "RemoteImage RemoteLayer",
    "images.registry.client": "RegistryClient",
    "images.registry.credentials": "Credentials",
    "images.registry.logins.login": "Login",
    "images.registry.settings": "RegistrySettings",
    "images.registry.stop": "Stop",
    "images.image": "Image",
    "images.store": "ImageStore",
    "observe.metrics": "Metrics",
    "operations.aio_stream": "AsyncTarStream",
    "operations.asynchronous": "AsyncLayer AsyncRWLayer",
    "operations.blocking": "Layer RWLayer",
    "operations.deferred": "LaterLayer LaterRWLayer LaterStore",
    "api.sandboxes.box": "Sandbox",
    "sandbox.process": "image_process",
    "sandbox.running": "Finished RunOptions Running Volume mount_points run start",
    "sandbox.volumes": "image_volumes",
    "sandbox.warm": "Warm",
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
