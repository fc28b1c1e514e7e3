"""The face for actors: a store whose methods return futures at once.

An actor calls `.tell(self.actor_ref, tag)` on what it gets and finds an Outcome with that tag in
its mailbox.
"""

# Written by `python -m tools.faces`; edit what it is made from instead.

from __future__ import annotations

from collections.abc import Mapping

from layerstore.actors.messages import LayerMetadata, MountMetadata
from layerstore.asking.later import Later
from layerstore.asking.requests import Compression
from layerstore.asking.source import File
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.tree import Change
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.work import Init
from layerstore.operations.declared import layer as layer_operations
from layerstore.operations.declared import rwlayer as rwlayer_operations
from layerstore.operations.declared import store as store_operations
from layerstore.operations.face import DeferredFace
from layerstore.operations.handles import LayerHandle, RWLayerHandle


class LaterLayer(LayerHandle):
    """A retained read-only layer; see Layer."""

    __slots__ = ()

    def metadata(self) -> Later[dict[str, str]]:
        """Return the graph driver's own facts of the layer. moby: Layer.Metadata.

        See Layer.metadata.
        """
        return self._core.begin(layer_operations.metadata(self))

    def release(self, *, keep: bool = False) -> Later[list[LayerMetadata]]:
        """Give the reference back; see LayerStore.release.

        See Layer.release.
        """
        return self._core.begin(layer_operations.release(self, keep=keep))


class LaterRWLayer(RWLayerHandle):
    """A held read-write layer; see RWLayer."""

    __slots__ = ()

    def mount(self, mount_label: str = "") -> Later[str]:
        """Mount it once more and return its path; each mount wants one unmount.

        See RWLayer.mount.
        """
        return self._core.begin(rwlayer_operations.mount(self, mount_label))

    def unmount(self) -> Later[None]:
        """Undo one mount; the last one unmounts. Raises NotMounted. moby: RWLayer.Unmount.

        See RWLayer.unmount.
        """
        return self._core.begin(rwlayer_operations.unmount(self))

    def changes(self) -> Later[list[Change]]:
        """Return every path that differs from the parent (from the init layer, if there is one).

        See RWLayer.changes.
        """
        return self._core.begin(rwlayer_operations.changes(self, self._number()))

    def size(self) -> Later[int]:
        """Return the bytes of its own files, each inode counted once.

        See RWLayer.size.
        """
        return self._core.begin(rwlayer_operations.size(self, self._number()))

    def fork(self, name: str) -> Later[LaterRWLayer]:
        """Make a read-write layer with the content that this one has now, and hold it.

        See RWLayer.fork.
        """
        return self._core.begin(rwlayer_operations.fork(self, self._new(LaterRWLayer), name))

    def reset(self) -> Later[None]:
        """Have it show its parent's content again (and its init layer's), as when it was made.

        See RWLayer.reset.
        """
        return self._core.begin(rwlayer_operations.reset(self))

    def apply_diff(self, source: File) -> Later[int]:
        """Unpack a layer tar (plain, gzip or zstd) over it and return its size in bytes.

        See RWLayer.apply_diff; `source` is a path, a descriptor, a Region or bytes.
        """
        return self._core.begin_handing_in(
            rwlayer_operations.apply_diff(self, self._number(), source)
        )

    def metadata(self) -> Later[dict[str, str]]:
        """Return the graph driver's own facts of it. moby: RWLayer.Metadata.

        See RWLayer.metadata.
        """
        return self._core.begin(rwlayer_operations.metadata(self, self._number()))

    def release(self) -> Later[list[LayerMetadata]]:
        """Give the reference back; see LayerStore.release_rw_layer.

        See RWLayer.release.
        """
        return self._core.begin(rwlayer_operations.release(self))


class LaterStore(DeferredFace):
    """An open LayerStore whose calls return futures; see LayerStore.later."""

    def register(
        self,
        source: File,
        parent: str | None = None,
        *,
        descriptor: str | None = None,
        expected_diff_id: str | None = None,
        expected_digest: str | None = None,
        compression: Compression = "none",
    ) -> Later[LaterLayer]:
        """Make a layer from a tar on `parent`'s chain ID, and retain it. moby: Store.Register.

        See LayerStore.register; `source` is a path, a descriptor, a Region or bytes.
        """
        return self.core.begin_handing_in(
            store_operations.register(
                self._new(LaterLayer),
                source,
                parent,
                descriptor=descriptor,
                expected_diff_id=expected_diff_id,
                expected_digest=expected_digest,
                compression=compression,
            )
        )

    def get(self, chain: str) -> Later[LaterLayer]:
        """Retain a layer by its chain ID. Raises LayerDoesNotExist. moby: Store.Get.

        See LayerStore.get.
        """
        return self.core.begin(store_operations.get(self._new(LaterLayer), chain))

    def release(self, layer: LaterLayer, *, keep: bool = False) -> Later[list[LayerMetadata]]:
        """Give a reference back, and remove what nothing keeps any more. moby: Store.Release.

        See LayerStore.release.
        """
        return self.core.begin(store_operations.release(self._mine(layer), keep=keep))

    def find_layer(self, start: str) -> Later[LayerMetadata]:
        """Return the facts of the layer whose chain ID begins so, with or without its `sha256:`.

        See LayerStore.find_layer.
        """
        return self.core.begin(store_operations.find_layer(start))

    def count_layers(self) -> Later[int]:
        """Return how many layers there are, with those being made or removed; none is listed.

        See LayerStore.count_layers.
        """
        return self.core.begin(store_operations.count_layers())

    def map(self) -> Later[dict[ChainID, LayerMetadata]]:
        """Return every layer by its chain ID. moby: Store.Map.

        See LayerStore.map.
        """
        return self.core.begin(store_operations.map())

    def create_rw_layer(
        self,
        name: str,
        parent: str | None = None,
        *,
        mount_label: str = "",
        storage_opt: Mapping[str, str] | None = None,
        init: Init | None = None,
        id_map: str | IdMap | None = None,
    ) -> Later[LaterRWLayer]:
        """Make a read-write layer on `parent`'s chain ID and hold it. moby: Store.CreateRWLayer.

        See LayerStore.create_rw_layer.
        """
        return self.core.begin(
            store_operations.create_rw_layer(
                self._new(LaterRWLayer),
                name,
                parent,
                mount_label=mount_label,
                storage_opt=storage_opt,
                init=init,
                id_map=id_map,
            )
        )

    def get_rw_layer(self, name: str) -> Later[LaterRWLayer]:
        """Hold a read-write layer once more. Raises MountDoesNotExist. moby: Store.GetRWLayer.

        See LayerStore.get_rw_layer.
        """
        return self.core.begin(store_operations.get_rw_layer(self._new(LaterRWLayer), name))

    def get_mount_id(self, name: str) -> Later[str]:
        """Return the graph driver's ID of a read-write layer. moby: Store.GetMountID.

        See LayerStore.get_mount_id.
        """
        return self.core.begin(store_operations.get_mount_id(name))

    def release_rw_layer(self, layer: LaterRWLayer) -> Later[list[LayerMetadata]]:
        """Give a reference back; the last one removes the layer. moby: Store.ReleaseRWLayer.

        See LayerStore.release_rw_layer.
        """
        return self.core.begin(store_operations.release_rw_layer(self._mine(layer)))

    def find_rw_layer(self, start: str) -> Later[MountMetadata]:
        """Return the facts of the read-write layer whose ID begins so.

        See LayerStore.find_rw_layer.
        """
        return self.core.begin(store_operations.find_rw_layer(start))

    def count_rw_layers(self) -> Later[int]:
        """Return how many read-write layers there are, with those being made or removed.

        See LayerStore.count_rw_layers.
        """
        return self.core.begin(store_operations.count_rw_layers())

    def mounts(self) -> Later[list[MountMetadata]]:
        """Return every read-write layer, ordered by name, with those being made or removed.

        See LayerStore.mounts.
        """
        return self.core.begin(store_operations.mounts())

    def usage(self) -> Later[dict[str, int | None]]:
        """Return the bytes that each read-write layer has for itself, by name, ordered.

        See LayerStore.usage.
        """
        return self.core.begin(store_operations.usage())

    def drain(self) -> Later[None]:
        """Wait until everything removed is deleted from the disk; `timeout` in seconds.

        See LayerStore.drain.
        """
        return self.core.begin(store_operations.drain())
