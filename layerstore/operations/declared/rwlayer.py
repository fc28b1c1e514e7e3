"""What can be asked of a read-write layer that somebody holds."""

from __future__ import annotations

from typing import Any

from layerstore.actors import messages as m
from layerstore.actors.messages import LayerMetadata
from layerstore.asking.requests import HandIn, New, Number, Reading, Request
from layerstore.asking.source import Source
from layerstore.drivers.model.tree import Change
from layerstore.drivers.work import MountWork, TarSource
from layerstore.operations.declared import store
from layerstore.operations.declared.terms import RWLayer, text_of, timed


def mount(layer: RWLayer, mount_label: str = "") -> Request[str]:
    """Mount it once more and return its path; each mount wants one unmount.

    `mount_label` is an SELinux context. Raises NotPermitted without the privilege to mount.
    moby: RWLayer.Mount.
    """
    message = m.Mount(reference=layer.reference, name=layer.name, mount_label=mount_label)
    return Request("mounts", message)


def unmount(layer: RWLayer) -> Request[None]:
    """Undo one mount; the last one unmounts. Raises NotMounted. moby: RWLayer.Unmount."""
    return Request("mounts", m.Unmount(reference=layer.reference, name=layer.name))


@timed
def changes(layer: RWLayer, number: Number) -> Request[list[Change]]:
    """Return every path that differs from the parent (from the init layer, if there is one).

    Ordered by path, as `docker diff`. `timeout` is in seconds; raises CallTimeout.
    moby: RWLayer.Changes.
    """
    return _work(layer, number, "changes")


@timed
def size(layer: RWLayer, number: Number) -> Request[int]:
    """Return the bytes of its own files, each inode counted once.

    `timeout` is in seconds; raises CallTimeout. moby: RWLayer.Size.
    """
    return _work(layer, number, "size")


@timed
def fork(layer: RWLayer, new: New[RWLayer], name: str) -> Request[RWLayer]:
    """Make a read-write layer with the content that this one has now, and hold it.

    It is on the same parent, with the same storage options and an init layer of its own, and
    has the same volumes and record of an image. This one may be mounted and written to
    meanwhile: each file is then copied in a state that it had, and no two need be of the same
    moment. Whoever wants that has the writers paused. Nothing is committed; file systems that
    can (btrfs, xfs) share the content until it is written to. `timeout` is in seconds.

    Raises InvalidName, MountNameConflict, LayerNotRetained, CallTimeout, WorkerDied, StoreBusy,
    StorageFull, NotPermitted, DriverError, StoreRestarted. After any of them, or an interrupt,
    the name is free and nothing of the new layer is left.
    """
    message = m.ForkRWLayer(
        reference=new.reference,
        name=text_of(name),
        source=layer.name,
        source_reference=layer.reference,
    )
    return Request("mounts", message, new.take)


def reset(layer: RWLayer) -> Request[None]:
    """Have it show its parent's content again (and its init layer's), as when it was made.

    Quick, however much was changed: what that takes is deleted behind everybody's back. Name,
    ID, storage options and volumes stay. Waits for those who read or write it by this store.
    Raises StillMounted where it is mounted, and DriverError. After an error, an interrupt or a
    crash it is as it was, or reset.
    """
    return Request("mounts", m.ResetRWLayer(reference=layer.reference, name=layer.name))


@timed
def apply_diff(layer: RWLayer, number: Number, source: Source) -> HandIn[int]:
    """Unpack a layer tar (plain, gzip or zstd) over it and return its size in bytes.

    `timeout` is in seconds. Raises InvalidTar, LimitExceeded, CallTimeout, WorkerDied. After
    the last two what was unpacked stays. After others what was made where nothing was goes
    again; what was replaced or removed isn't brought back. moby: RWLayer.ApplyDiff.
    """
    reference, name = layer.reference, layer.name
    return HandIn(
        "mounts",
        source,
        TarSource(inflate=True),
        lambda given: m.WorkOnMount(
            reference=reference,
            request=number,
            name=name,
            what="apply",
            source=given.source,
            descriptors=given.descriptors,
        ),
    )


def tar_stream(
    layer: RWLayer, number: Number, sparse: bool = False, skip_whiteout_names: bool = False
) -> Reading:
    """Stream its changes as a layer tar. moby: TarStreamer.TarStream.

    With `sparse` files that are mostly holes are sparse members, as GNU tar writes them. A file
    whose name is a whiteout's in a layer (`.wh.name`) ends the stream with InvalidName, but for
    `skip_whiteout_names`, with which it is left out; see Change.is_whiteout_name.
    """
    reference, name = layer.reference, layer.name
    return Reading(
        "mounts",
        lambda descriptors: m.WorkOnMount(
            reference=reference,
            request=number,
            name=name,
            what="read",
            sparse=sparse,
            skip_whiteout_names=skip_whiteout_names,
            descriptors=descriptors,
        ),
    )


def whole_tar_stream(layer: RWLayer, number: Number, sparse: bool = False) -> Reading:
    """Stream all that it shows, its parent's files and its own, as a tar without whiteouts.

    Its init layer's are among it. It needn't be mounted; where it is, writers should be quiet
    meanwhile. Names that are whiteouts', and `sparse`, are as for `tar_stream`.
    """
    reference, name = layer.reference, layer.name
    return Reading(
        "mounts",
        lambda descriptors: m.WorkOnMount(
            reference=reference,
            request=number,
            name=name,
            what="read whole",
            sparse=sparse,
            descriptors=descriptors,
        ),
    )


def metadata(layer: RWLayer, number: Number) -> Request[dict[str, str]]:
    """Return the graph driver's own facts of it. moby: RWLayer.Metadata."""
    return _work(layer, number, "inspect")


def release(layer: RWLayer) -> Request[list[LayerMetadata]]:
    """Give the reference back; see LayerStore.release_rw_layer."""
    return store.release_rw_layer(layer)


def _work(layer: RWLayer, number: Number, what: MountWork) -> Request[Any]:
    message = m.WorkOnMount(reference=layer.reference, request=number, name=layer.name, what=what)
    return Request("mounts", message)
