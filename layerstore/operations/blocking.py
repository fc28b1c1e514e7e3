"""The face that waits: a store whose methods return answers."""

# Written by `python -m tools.faces`; edit what it is made from instead.

from __future__ import annotations

from collections.abc import Mapping

from layerstore.actors.messages import LayerMetadata, MountMetadata
from layerstore.asking.requests import Compression
from layerstore.asking.source import Source
from layerstore.asking.stream import TarStream
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.tree import Change
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.work import Init
from layerstore.operations.blocks import Blocks
from layerstore.operations.declared import layer as layer_operations
from layerstore.operations.declared import rwlayer as rwlayer_operations
from layerstore.operations.declared import store as store_operations
from layerstore.operations.face import Face
from layerstore.operations.handles import LayerHandle


class Layer(LayerHandle):
    """A retained read-only layer; it stays in the store at least until it is released.

    Every `register` and `get` makes a Layer, which is one reference and can be released once.
    moby: layer.Layer.
    """

    __slots__ = ()

    def tar_stream(self) -> TarStream:
        """Stream the tar that was registered, to the bit.

        Its last read raises IntegrityError where the disk no longer holds what was registered.
        moby: TarStreamer.TarStream.
        """
        return self._core.stream(layer_operations.tar_stream(self))

    def tar_stream_from(self, ancestor: str | None, sparse: bool = False) -> TarStream:
        """Stream the difference to an ancestor's chain ID, or to nothing.

        With `sparse` files that are mostly holes are sparse members, as GNU tar writes them.
        Raises LayerDoesNotExist where that is no ancestor. moby: Layer.TarStreamFrom.
        """
        return self._core.stream(layer_operations.tar_stream_from(self, ancestor, sparse))

    def metadata(self) -> dict[str, str]:
        """Return the graph driver's own facts of the layer. moby: Layer.Metadata."""
        return self._core.ask(layer_operations.metadata(self))

    def release(self, *, keep: bool = False) -> list[LayerMetadata]:
        """Give the reference back; see LayerStore.release."""
        return self._core.ask(layer_operations.release(self, keep=keep))


class RWLayer(Blocks):
    """A held read-write layer: a name, a mount and the changes made beneath it.

    Every `create_rw_layer` and `get_rw_layer` makes an RWLayer, which is one reference. Releasing
    the last one removes the layer; so does leaving a `with` block over it. moby: layer.RWLayer.
    """

    __slots__ = ()

    def mount(self, mount_label: str = "") -> str:
        """Mount it once more and return its path; each mount wants one unmount.

        `mount_label` is an SELinux context. Raises NotPermitted without the privilege to mount.
        moby: RWLayer.Mount.
        """
        return self._core.ask(rwlayer_operations.mount(self, mount_label))

    def unmount(self) -> None:
        """Undo one mount; the last one unmounts. Raises NotMounted. moby: RWLayer.Unmount."""
        self._core.ask(rwlayer_operations.unmount(self))

    def changes(self, *, timeout: float | None = None) -> list[Change]:
        """Return every path that differs from the parent (from the init layer, if there is one).

        Ordered by path, as `docker diff`. `timeout` is in seconds; raises CallTimeout.
        moby: RWLayer.Changes.
        """
        return self._core.ask(rwlayer_operations.changes(self, self._number()), timeout)

    def size(self, *, timeout: float | None = None) -> int:
        """Return the bytes of its own files, each inode counted once.

        `timeout` is in seconds; raises CallTimeout. moby: RWLayer.Size.
        """
        return self._core.ask(rwlayer_operations.size(self, self._number()), timeout)

    def fork(self, name: str, *, timeout: float | None = None) -> RWLayer:
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
        return self._core.ask(rwlayer_operations.fork(self, self._new(RWLayer), name), timeout)

    def reset(self) -> None:
        """Have it show its parent's content again (and its init layer's), as when it was made.

        Quick, however much was changed: what that takes is deleted behind everybody's back. Name,
        ID, storage options and volumes stay. Waits for those who read or write it by this store.
        Raises StillMounted where it is mounted, and DriverError. After an error, an interrupt or a
        crash it is as it was, or reset.
        """
        self._core.ask(rwlayer_operations.reset(self))

    def apply_diff(self, source: Source, *, timeout: float | None = None) -> int:
        """Unpack a layer tar (plain, gzip or zstd) over it and return its size in bytes.

        `timeout` is in seconds. Raises InvalidTar, LimitExceeded, CallTimeout, WorkerDied. After
        the last two what was unpacked stays. After others what was made where nothing was goes
        again; what was replaced or removed isn't brought back. moby: RWLayer.ApplyDiff.
        """
        return self._core.hand_in(
            rwlayer_operations.apply_diff(self, self._number(), source), timeout
        )

    def tar_stream(self, sparse: bool = False, skip_whiteout_names: bool = False) -> TarStream:
        """Stream its changes as a layer tar. moby: TarStreamer.TarStream.

        With `sparse` files that are mostly holes are sparse members, as GNU tar writes them. A file
        whose name is a whiteout's in a layer (`.wh.name`) ends the stream with InvalidName, but for
        `skip_whiteout_names`, with which it is left out; see Change.is_whiteout_name.
        """
        return self._core.stream(
            rwlayer_operations.tar_stream(self, self._number(), sparse, skip_whiteout_names)
        )

    def whole_tar_stream(self, sparse: bool = False) -> TarStream:
        """Stream all that it shows, its parent's files and its own, as a tar without whiteouts.

        Its init layer's are among it. It needn't be mounted; where it is, writers should be quiet
        meanwhile. Names that are whiteouts', and `sparse`, are as for `tar_stream`.
        """
        return self._core.stream(rwlayer_operations.whole_tar_stream(self, self._number(), sparse))

    def metadata(self) -> dict[str, str]:
        """Return the graph driver's own facts of it. moby: RWLayer.Metadata."""
        return self._core.ask(rwlayer_operations.metadata(self, self._number()))

    def release(self) -> list[LayerMetadata]:
        """Give the reference back; see LayerStore.release_rw_layer."""
        return self._core.ask(rwlayer_operations.release(self))


class BlockingStore(Face):
    """What can be asked of an open store; see LayerStore."""

    def register(
        self,
        source: Source,
        parent: str | None = None,
        *,
        descriptor: str | None = None,
        expected_diff_id: str | None = None,
        expected_digest: str | None = None,
        compression: Compression = "none",
        timeout: float | None = None,
    ) -> Layer:
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
        return self.core.hand_in(
            store_operations.register(
                self._new(Layer),
                source,
                parent,
                descriptor=descriptor,
                expected_diff_id=expected_diff_id,
                expected_digest=expected_digest,
                compression=compression,
            ),
            timeout,
        )

    def get(self, chain: str) -> Layer:
        """Retain a layer by its chain ID. Raises LayerDoesNotExist. moby: Store.Get."""
        return self.core.ask(store_operations.get(self._new(Layer), chain))

    def release(self, layer: Layer, *, keep: bool = False) -> list[LayerMetadata]:
        """Give a reference back, and remove what nothing keeps any more. moby: Store.Release.

        With `keep` it is as if it had never been retained: a layer that nothing else keeps stays in
        the store, until somebody releases it without that, or prunes.
        Returns the metadata of every layer that was removed, the top one first; nothing for a layer
        that was gone already. Raises LayerNotRetained for a reference that was given back before,
        and DriverError where a removal fails. If that was the layer's own, the reference is held
        again; if it was that of one beneath, which nobody has, it is tried again at the next
        release of a layer that is gone, and when the store is closed.
        """
        return self.core.ask(store_operations.release(self._mine(layer), keep=keep))

    def find_layer(self, start: str) -> LayerMetadata:
        """Return the facts of the layer whose chain ID begins so, with or without its `sha256:`.

        However many there are, no other is looked at. Raises LayerDoesNotExist, AmbiguousName where
        several IDs begin so, InvalidName for what is no start of an ID.
        """
        return self.core.ask(store_operations.find_layer(start))

    def count_layers(self) -> int:
        """Return how many layers there are, with those being made or removed; none is listed."""
        return self.core.ask(store_operations.count_layers())

    def map(self) -> dict[ChainID, LayerMetadata]:
        """Return every layer by its chain ID. moby: Store.Map."""
        return self.core.ask(store_operations.map())

    def create_rw_layer(
        self,
        name: str,
        parent: str | None = None,
        *,
        mount_label: str = "",
        storage_opt: Mapping[str, str] | None = None,
        init: Init | None = None,
        id_map: str | IdMap | None = None,
        timeout: float | None = None,
    ) -> RWLayer:
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
        return self.core.ask(
            store_operations.create_rw_layer(
                self._new(RWLayer),
                name,
                parent,
                mount_label=mount_label,
                storage_opt=storage_opt,
                init=init,
                id_map=id_map,
            ),
            timeout,
        )

    def get_rw_layer(self, name: str) -> RWLayer:
        """Hold a read-write layer once more. Raises MountDoesNotExist. moby: Store.GetRWLayer."""
        return self.core.ask(store_operations.get_rw_layer(self._new(RWLayer), name))

    def get_mount_id(self, name: str) -> str:
        """Return the graph driver's ID of a read-write layer. moby: Store.GetMountID."""
        return self.core.ask(store_operations.get_mount_id(name))

    def release_rw_layer(self, layer: RWLayer) -> list[LayerMetadata]:
        """Give a reference back; the last one removes the layer. moby: Store.ReleaseRWLayer.

        A layer that is mounted is unmounted first. Returns the metadata of the read-only layers
        that went with it, the top one first; nothing for a layer that was gone already. Raises
        LayerNotRetained for a reference that was given back before, and DriverError where the
        removal fails: then the reference is held again.
        """
        return self.core.ask(store_operations.release_rw_layer(self._mine(layer)))

    def find_rw_layer(self, start: str) -> MountMetadata:
        """Return the facts of the read-write layer whose ID begins so.

        However many there are, no other is looked at. Raises MountDoesNotExist, AmbiguousName where
        several IDs begin so, InvalidName for what is no start of an ID.
        """
        return self.core.ask(store_operations.find_rw_layer(start))

    def count_rw_layers(self) -> int:
        """Return how many read-write layers there are, with those being made or removed."""
        return self.core.ask(store_operations.count_rw_layers())

    def mounts(self) -> list[MountMetadata]:
        """Return every read-write layer, ordered by name, with those being made or removed."""
        return self.core.ask(store_operations.mounts())

    def usage(self, *, timeout: float | None = None) -> dict[str, int | None]:
        """Return the bytes that each read-write layer has for itself, by name, ordered.

        As the file system's quotas count them, so that nothing is walked; None for a layer that
        nobody counts. What isn't on the disk yet may be missing. `timeout` is in seconds; raises
        CallTimeout, DriverError.
        """
        return self.core.ask(store_operations.usage(), timeout)

    def drain(self, *, timeout: float | None = None) -> None:
        """Wait until everything removed is deleted from the disk; `timeout` in seconds.

        Raises CallTimeout, or DriverError where something can't be deleted.
        """
        self.core.ask(store_operations.drain(), timeout)
