"""The front door for actors: every call returns a future at once.

The names are those of LayerStore, Layer and RWLayer, where each is documented. An actor calls
`.tell(self.actor_ref, tag)` on what it gets and finds an Outcome with that tag in its mailbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from layerstore import requests
from layerstore.actors import messages as m
from layerstore.drivers.ids import ChainID
from layerstore.drivers.protocol import Change
from layerstore.drivers.work import Init
from layerstore.handles import LayerHandle, RWLayerHandle
from layerstore.later import Later
from layerstore.source import File

if TYPE_CHECKING:
    from layerstore.core import Core
    from layerstore.store import LayerStore


class LaterLayer(LayerHandle):
    """A retained read-only layer; see Layer."""

    __slots__ = ()

    def metadata(self) -> Later[dict[str, str]]:
        """See Layer.metadata."""
        return self._core.begin(requests.inspect(self._reference, self.chain_id))

    def release(self) -> Later[list[m.LayerMetadata]]:
        """See LayerStore.release."""
        return self._core.begin(requests.release(self._reference, self.chain_id))


class LaterRWLayer(RWLayerHandle):
    """A held read-write layer; see RWLayer."""

    __slots__ = ()

    def mount(self, mount_label: str = "") -> Later[str]:
        """See RWLayer.mount."""
        return self._core.begin(requests.mount(self._reference, self.name, mount_label))

    def unmount(self) -> Later[None]:
        """See RWLayer.unmount."""
        return self._core.begin(requests.unmount(self._reference, self.name))

    def changes(self) -> Later[list[Change]]:
        """See RWLayer.changes."""
        number = self._core.new_reference()
        return self._core.begin(requests.changes(self._reference, number, self.name))

    def size(self) -> Later[int]:
        """See RWLayer.size."""
        number = self._core.new_reference()
        return self._core.begin(requests.size(self._reference, number, self.name))

    def apply_diff(self, source: File) -> Later[int]:
        """See RWLayer.apply_diff; `source` is one that a worker can read by itself."""
        number = self._core.new_reference()
        request = requests.apply_diff(self._reference, number, self.name, source)
        return self._core.begin_handing_in(request)

    def metadata(self) -> Later[dict[str, str]]:
        """See RWLayer.metadata."""
        number = self._core.new_reference()
        return self._core.begin(requests.inspect_rw(self._reference, number, self.name))

    def release(self) -> Later[list[m.LayerMetadata]]:
        """See LayerStore.release_rw_layer."""
        return self._core.begin(requests.release_rw(self._reference, self.name))


class LaterStore:
    """An open LayerStore whose calls return futures; see LayerStore.later."""

    def __init__(self, store: LayerStore) -> None:
        self._store = store

    @property
    def _core(self) -> Core:
        return self._store.core

    def register(
        self,
        source: File,
        parent: str | None = None,
        *,
        descriptor: str | None = None,
        expected_diff_id: str | None = None,
        expected_digest: str | None = None,
        compression: requests.Compression = "none",
    ) -> Later[LaterLayer]:
        """See LayerStore.register; `source` is a path, a descriptor, a Region or bytes."""
        core, store = self._core, self._store
        reference = core.new_reference()
        request = requests.register(
            reference,
            source,
            parent,
            descriptor=descriptor,
            expected_diff_id=expected_diff_id,
            expected_digest=expected_digest,
            compression=compression,
            take=lambda facts: LaterLayer(core, facts, reference, store),
        )
        return core.begin_handing_in(request)

    def get(self, chain: str) -> Later[LaterLayer]:
        """See LayerStore.get."""
        core, store = self._core, self._store
        reference = core.new_reference()
        return core.begin(
            requests.get(reference, chain, lambda facts: LaterLayer(core, facts, reference, store))
        )

    def release(self, layer: LaterLayer) -> Later[list[m.LayerMetadata]]:
        """See LayerStore.release."""
        return layer.release()

    def map(self) -> Later[dict[ChainID, m.LayerMetadata]]:
        """See LayerStore.map."""
        return self._core.begin(requests.map_layers())

    def create_rw_layer(
        self,
        name: str,
        parent: str | None = None,
        *,
        mount_label: str = "",
        storage_opt: Mapping[str, str] | None = None,
        init: Init | None = None,
    ) -> Later[LaterRWLayer]:
        """See LayerStore.create_rw_layer."""
        core, store = self._core, self._store
        reference = core.new_reference()
        request = requests.create_rw_layer(
            reference,
            name,
            parent,
            mount_label=mount_label,
            storage_opt=storage_opt,
            init=init,
            take=lambda facts: LaterRWLayer(core, facts, reference, store),
        )
        return core.begin(request)

    def get_rw_layer(self, name: str) -> Later[LaterRWLayer]:
        """See LayerStore.get_rw_layer."""
        core, store = self._core, self._store
        reference = core.new_reference()
        return core.begin(
            requests.get_rw_layer(
                reference, name, lambda facts: LaterRWLayer(core, facts, reference, store)
            )
        )

    def get_mount_id(self, name: str) -> Later[str]:
        """See LayerStore.get_mount_id."""
        return self._core.begin(requests.get_mount_id(name))

    def release_rw_layer(self, layer: LaterRWLayer) -> Later[list[m.LayerMetadata]]:
        """See LayerStore.release_rw_layer."""
        return layer.release()

    def mounts(self) -> Later[list[m.MountMetadata]]:
        """See LayerStore.mounts."""
        return self._core.begin(requests.list_mounts())

    def drain(self) -> Later[None]:
        """See LayerStore.drain."""
        return self._core.begin(requests.drain())
