"""What can be asked of a store itself."""

from __future__ import annotations

from collections.abc import Mapping

from layerstore.actors import messages as m
from layerstore.actors.messages import LayerMetadata, MountMetadata
from layerstore.asking.requests import Compression, HandIn, New, Request
from layerstore.asking.source import Source
from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.model.ids import ChainID, blob_digest, chain_id, diff_id, id_start
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.work import USERNS, Init, TarSource
from layerstore.operations.declared.terms import Layer, RWLayer, text_of, timed

# Read-only layers


@timed
def register(
    new: New[Layer],
    source: Source,
    parent: str | None = None,
    *,
    descriptor: str | None = None,
    expected_diff_id: str | None = None,
    expected_digest: str | None = None,
    compression: Compression = "none",
) -> HandIn[Layer]:
    """Make a layer from a tar on `parent`'s chain ID, and retain it. moby: Store.Register.

    `source` is a path, a descriptor, a Region of a file, bytes or any binary file; it is read
    to its end. With compression `auto`, gzip, zstd, bzip2 and xz are inflated. The digests are
    `sha256:<hex>`: `expected_digest` of the bytes as given, which may be `sha512:<hex>`, and
    `expected_diff_id` of the tar.
    `descriptor` is JSON to be kept with the layer. If the layer is there already, the existing
    one is returned and the new copy thrown away. `timeout` is in seconds.

    Raises LayerDoesNotExist for an unknown parent, MaxDepthExceeded, InvalidTar,
    IntegrityError for an unexpected digest, LimitExceeded, CallerError where `source` raises,
    CallTimeout, WorkerDied, StoreBusy, StorageFull, DriverError, StoreRestarted. After any of
    them, or an interrupt, nothing of the layer is left; what is under way when the caller gives
    up is stopped, or undone where it comes too late.
    """
    how = TarSource(
        inflate=compression == "auto",
        expected_digest=blob_digest(expected_digest) if expected_digest else None,
        expected_diff_id=diff_id(expected_diff_id) if expected_diff_id else None,
    )
    parent_id = chain_id(parent) if parent else None
    return HandIn(
        "layers",
        source,
        how,
        lambda given: m.Register(
            reference=new.reference,
            parent=parent_id,
            descriptor=descriptor,
            source=given.source,
            descriptors=given.descriptors,
        ),
        new.take,
    )


def get(new: New[Layer], chain: str) -> Request[Layer]:
    """Retain a layer by its chain ID. Raises LayerDoesNotExist. moby: Store.Get."""
    message = m.GetLayer(reference=new.reference, chain_id=chain_id(chain))
    return Request("layers", message, new.take)


def release(layer: Layer, *, keep: bool = False) -> Request[list[LayerMetadata]]:
    """Give a reference back, and remove what nothing keeps any more. moby: Store.Release.

    With `keep` it is as if it had never been retained: a layer that nothing else keeps stays in
    the store, until somebody releases it without that, or prunes.
    Returns the metadata of every layer that was removed, the top one first; nothing for a layer
    that was gone already. Raises LayerNotRetained for a reference that was given back before,
    and DriverError where a removal fails. If that was the layer's own, the reference is held
    again; if it was that of one beneath, which nobody has, it is tried again at the next
    release of a layer that is gone, and when the store is closed.
    """
    message = m.ReleaseLayer(reference=layer.reference, chain_id=layer.chain_id, keep=keep)
    return Request("layers", message)


def find_layer(start: str) -> Request[LayerMetadata]:
    """Return the facts of the layer whose chain ID begins so, with or without its `sha256:`.

    However many there are, no other is looked at. Raises LayerDoesNotExist, AmbiguousName where
    several IDs begin so, InvalidName for what is no start of an ID.
    """
    digits = id_start(text_of(start).removeprefix("sha256:"))
    return Request("layers", m.FindLayer(start=digits))


def count_layers() -> Request[int]:
    """Return how many layers there are, with those being made or removed; none is listed."""
    return Request("layers", m.CountEntries())


def map() -> Request[dict[ChainID, LayerMetadata]]:
    """Return every layer by its chain ID. moby: Store.Map."""
    return Request("layers", m.MapLayers())


# Read-write layers


@timed
def create_rw_layer(
    new: New[RWLayer],
    name: str,
    parent: str | None = None,
    *,
    mount_label: str = "",
    storage_opt: Mapping[str, str] | None = None,
    init: Init | None = None,
    id_map: str | IdMap | None = None,
) -> Request[RWLayer]:
    """Make a read-write layer on `parent`'s chain ID and hold it. moby: Store.CreateRWLayer.

    `init` is called with the path of an init layer, mounted between the parent and the new
    layer: what it makes there is seen in the layer but isn't among its changes. It runs in a
    worker's thread and must not use the store. `id_map` has the layer's users be others than
    this machine's: `auto` are 65536 that no other layer has (`auto:size=N`: N of them), or an
    IdMap or its text, `INSIDE:OUTSIDE:COUNT[,...]`. What is mounted shows them; files on the
    disk, and its changes, have those that are inside. `timeout` is in seconds.

    Raises InvalidName, InvalidArgument, also where the kernel or the file system has no such
    mounts, IdsExhausted, MountNameConflict, LayerDoesNotExist, CallerError where `init` raises,
    CallTimeout, StoreBusy, StorageFull, NotPermitted, DriverError, StoreRestarted. After any of
    them, or an interrupt, the name is free and nothing of the layer is left, as soon as what is
    under way (`init`, which nothing can stop) has ended.
    """
    message = m.CreateRWLayer(
        reference=new.reference,
        name=text_of(name),
        parent=chain_id(parent) if parent else None,
        mount_label=mount_label,
        storage_opt=_options(storage_opt, id_map),
        init=init,
    )
    return Request("mounts", message, new.take)


def _options(storage_opt: Mapping[str, str] | None, id_map: str | IdMap | None) -> dict[str, str]:
    options = dict(storage_opt or {})
    if id_map is not None:
        if USERNS in options:
            raise InvalidArgument(f"{USERNS}={options[USERNS]}", "the map of IDs is given already")
        options[USERNS] = str(id_map)
    return options


def get_rw_layer(new: New[RWLayer], name: str) -> Request[RWLayer]:
    """Hold a read-write layer once more. Raises MountDoesNotExist. moby: Store.GetRWLayer."""
    return Request("mounts", m.GetRWLayer(reference=new.reference, name=text_of(name)), new.take)


def get_mount_id(name: str) -> Request[str]:
    """Return the graph driver's ID of a read-write layer. moby: Store.GetMountID."""
    return Request("mounts", m.GetMountID(name=text_of(name)))


def release_rw_layer(layer: RWLayer) -> Request[list[LayerMetadata]]:
    """Give a reference back; the last one removes the layer. moby: Store.ReleaseRWLayer.

    A layer that is mounted is unmounted first. Returns the metadata of the read-only layers
    that went with it, the top one first; nothing for a layer that was gone already. Raises
    LayerNotRetained for a reference that was given back before, and DriverError where the
    removal fails: then the reference is held again.
    """
    return Request("mounts", m.ReleaseRWLayer(reference=layer.reference, name=layer.name))


def find_rw_layer(start: str) -> Request[MountMetadata]:
    """Return the facts of the read-write layer whose ID begins so.

    However many there are, no other is looked at. Raises MountDoesNotExist, AmbiguousName where
    several IDs begin so, InvalidName for what is no start of an ID.
    """
    return Request("mounts", m.FindMount(start=id_start(text_of(start))))


def count_rw_layers() -> Request[int]:
    """Return how many read-write layers there are, with those being made or removed."""
    return Request("mounts", m.CountEntries())


def mounts() -> Request[list[MountMetadata]]:
    """Return every read-write layer, ordered by name, with those being made or removed."""
    return Request("mounts", m.ListMounts())


@timed
def usage() -> Request[dict[str, int | None]]:
    """Return the bytes that each read-write layer has for itself, by name, ordered.

    As the file system's quotas count them, so that nothing is walked; None for a layer that
    nobody counts. What isn't on the disk yet may be missing. `timeout` is in seconds; raises
    CallTimeout, DriverError.
    """
    return Request("mounts", m.CountUsage())


# The whole store


@timed
def drain() -> Request[None]:
    """Wait until everything removed is deleted from the disk; `timeout` in seconds.

    Raises CallTimeout, or DriverError where something can't be deleted.
    """
    return Request("reaper", m.Drain(), lambda _deleted: None)
