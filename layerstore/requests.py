"""Each thing that can be asked of a store, said once for all its front doors.

A request names the actor, the message and what is made of the answer. Who waits for that, and how
(a thread, an event loop, another actor), is the front doors' affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from layerstore.actors import messages as m
from layerstore.drivers.ids import ChainID, chain_id, diff_id
from layerstore.drivers.protocol import Change
from layerstore.drivers.work import Descriptors, Init, TarSource
from layerstore.source import Handover, Source

T = TypeVar("T")
Made = TypeVar("Made")

Compression = Literal["auto", "none"]
Asked = Literal["layers", "mounts", "images", "reaper"]


def _as_it_is(answer: Any) -> Any:
    return answer


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """A question with a plain answer."""

    actor: Asked
    message: m.Message
    take: Callable[[Any], T] = _as_it_is


@dataclass(frozen=True, slots=True)
class HandIn(Generic[T]):
    """A request that a tar is handed in with."""

    actor: Asked
    source: Source
    how: TarSource
    make_message: Callable[[Handover], m.Message]
    take: Callable[[Any], T] = _as_it_is


@dataclass(frozen=True, slots=True)
class Reading:
    """A request that a tar comes out for."""

    actor: Asked
    make_message: Callable[[Descriptors], m.Message]


# Read-only layers


def register(
    reference: int,
    source: Source,
    parent: str | None,
    *,
    descriptor: str | None,
    expected_diff_id: str | None,
    expected_digest: str | None,
    compression: Compression,
    take: Callable[[Any], Made],
) -> HandIn[Made]:
    """See LayerStore.register."""
    how = TarSource(
        inflate=compression == "auto",
        expected_digest=diff_id(expected_digest) if expected_digest else None,
        expected_diff_id=diff_id(expected_diff_id) if expected_diff_id else None,
    )
    parent_id = chain_id(parent) if parent else None
    return HandIn(
        "layers",
        source,
        how,
        lambda given: m.Register(
            reference=reference,
            parent=parent_id,
            descriptor=descriptor,
            source=given.source,
            descriptors=given.descriptors,
        ),
        take,
    )


def get(reference: int, chain: str, take: Callable[[Any], Made]) -> Request[Made]:
    """See LayerStore.get."""
    message = m.GetLayer(reference=reference, chain_id=chain_id(chain))
    return Request("layers", message, take)


def map_layers() -> Request[dict[ChainID, m.LayerMetadata]]:
    """See LayerStore.map."""
    return Request("layers", m.MapLayers())


def release(reference: int, chain: ChainID) -> Request[list[m.LayerMetadata]]:
    """See LayerStore.release."""
    return Request("layers", m.ReleaseLayer(reference=reference, chain_id=chain))


def inspect(reference: int, chain: ChainID) -> Request[dict[str, str]]:
    """See Layer.metadata."""
    return Request("layers", m.InspectLayer(reference=reference, chain_id=chain))


def read(reference: int, chain: ChainID) -> Reading:
    """See Layer.tar_stream."""
    return _read(reference, chain, against=None, whole=False)


def read_from(reference: int, chain: ChainID, ancestor: str | None) -> Reading:
    """See Layer.tar_stream_from."""
    against = chain_id(ancestor) if ancestor is not None else None
    return _read(reference, chain, against=against, whole=against is None)


def _read(reference: int, chain: ChainID, *, against: ChainID | None, whole: bool) -> Reading:
    return Reading(
        "layers",
        lambda descriptors: m.ReadLayer(
            reference=reference,
            chain_id=chain,
            against=against,
            whole=whole,
            descriptors=descriptors,
        ),
    )


# Read-write layers


def create_rw_layer(
    reference: int,
    name: str,
    parent: str | None,
    *,
    mount_label: str,
    storage_opt: Mapping[str, str] | None,
    init: Init | None,
    take: Callable[[Any], Made],
) -> Request[Made]:
    """See LayerStore.create_rw_layer."""
    message = m.CreateRWLayer(
        reference=reference,
        name=_text(name),
        parent=chain_id(parent) if parent else None,
        mount_label=mount_label,
        storage_opt=dict(storage_opt or {}),
        init=init,
    )
    return Request("mounts", message, take)


def get_rw_layer(reference: int, name: str, take: Callable[[Any], Made]) -> Request[Made]:
    """See LayerStore.get_rw_layer."""
    return Request("mounts", m.GetRWLayer(reference=reference, name=_text(name)), take)


def get_mount_id(name: str) -> Request[str]:
    """See LayerStore.get_mount_id."""
    return Request("mounts", m.GetMountID(name=_text(name)))


def list_mounts() -> Request[list[m.MountMetadata]]:
    """See LayerStore.mounts."""
    return Request("mounts", m.ListMounts())


def mount(reference: int, name: str, mount_label: str) -> Request[str]:
    """See RWLayer.mount."""
    return Request("mounts", m.Mount(reference=reference, name=name, mount_label=mount_label))


def unmount(reference: int, name: str) -> Request[None]:
    """See RWLayer.unmount."""
    return Request("mounts", m.Unmount(reference=reference, name=name))


def release_rw(reference: int, name: str) -> Request[list[m.LayerMetadata]]:
    """See LayerStore.release_rw_layer."""
    return Request("mounts", m.ReleaseRWLayer(reference=reference, name=name))


def changes(reference: int, request: int, name: str) -> Request[list[Change]]:
    """See RWLayer.changes."""
    return _work(reference, request, name, "changes")


def size(reference: int, request: int, name: str) -> Request[int]:
    """See RWLayer.size."""
    return _work(reference, request, name, "size")


def inspect_rw(reference: int, request: int, name: str) -> Request[dict[str, str]]:
    """See RWLayer.metadata."""
    return _work(reference, request, name, "inspect")


def _work(reference: int, request: int, name: str, what: m.MountWork) -> Request[Any]:
    message = m.WorkOnMount(reference=reference, request=request, name=name, what=what)
    return Request("mounts", message)


def apply_diff(reference: int, request: int, name: str, source: Source) -> HandIn[int]:
    """See RWLayer.apply_diff."""
    return HandIn(
        "mounts",
        source,
        TarSource(inflate=True),
        lambda given: m.WorkOnMount(
            reference=reference,
            request=request,
            name=name,
            what="apply",
            source=given.source,
            descriptors=given.descriptors,
        ),
    )


def read_rw(reference: int, request: int, name: str) -> Reading:
    """See RWLayer.tar_stream."""
    return Reading(
        "mounts",
        lambda descriptors: m.WorkOnMount(
            reference=reference,
            request=request,
            name=name,
            what="read",
            descriptors=descriptors,
        ),
    )


# The whole store


def drain() -> Request[None]:
    """See LayerStore.drain."""
    return Request("reaper", m.Drain(), lambda _deleted: None)


def _text(name: str) -> str:
    """Return the name; TypeError here, where it is the caller's, for what is no text."""
    if not isinstance(name, str):
        raise TypeError(f"a name is a string, not {name!r}")
    return name
