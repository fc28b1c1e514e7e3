"""A read-only layer, as one reference to it sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerstore.actors import messages as m
from layerstore.drivers.ids import ChainID, DiffID, chain_id
from layerstore.stream import TarStream

if TYPE_CHECKING:
    from layerstore.core import Core


class Layer:
    """A retained read-only layer; it stays in the store at least until it is released.

    Every `register` and `get` makes a Layer, which is one reference and can be released once.
    moby: layer.Layer.
    """

    __slots__ = ("_core", "_facts", "_owner", "_reference")

    def __init__(self, core: Core, facts: m.LayerMetadata, reference: int, owner: object) -> None:
        self._core = core
        self._owner = owner  # a store is closed when nobody has it any more
        self._facts = facts
        self._reference = reference

    @property
    def chain_id(self) -> ChainID:
        """`sha256:<hex>` that names the layer and all beneath it."""
        return self._facts.chain_id

    @property
    def diff_id(self) -> DiffID:
        """`sha256:<hex>` of the layer's own tar."""
        return self._facts.diff_id

    @property
    def parent(self) -> ChainID | None:
        """Chain ID of the layer beneath, None for a base layer."""
        return self._facts.parent

    @property
    def size(self) -> int:
        """Bytes of the layer and all its parents."""
        return self._facts.size

    @property
    def diff_size(self) -> int:
        """Bytes of the layer alone."""
        return self._facts.diff_size

    @property
    def descriptor(self) -> str | None:
        """JSON of the descriptor that the layer was registered with."""
        return self._facts.descriptor

    def tar_stream(self) -> TarStream:
        """Stream the tar that was registered, to the bit.

        Its last read raises IntegrityError where the disk no longer holds what was registered.
        moby: TarStreamer.TarStream.
        """
        return self._stream(against=None, whole=False)

    def tar_stream_from(self, ancestor: str | None) -> TarStream:
        """Stream the difference to an ancestor's chain ID, or to nothing.

        Raises LayerDoesNotExist where that is no ancestor. moby: Layer.TarStreamFrom.
        """
        against = chain_id(ancestor) if ancestor is not None else None
        return self._stream(against=against, whole=against is None)

    def _stream(self, *, against: ChainID | None, whole: bool) -> TarStream:
        return self._core.stream(
            self._core.layers,
            lambda descriptors: m.ReadLayer(
                reference=self._reference,
                chain_id=self.chain_id,
                against=against,
                whole=whole,
                descriptors=descriptors,
            ),
        )

    def metadata(self) -> dict[str, str]:
        """Return the graph driver's own facts of the layer. moby: Layer.Metadata."""
        message = m.InspectLayer(reference=self._reference, chain_id=self.chain_id)
        found: dict[str, str] = self._core.call(self._core.layers, message)
        return found

    def belongs_to(self, core: Core) -> bool:
        """Whether the reference is one of this open store's."""
        return self._core is core

    def release(self) -> list[m.LayerMetadata]:
        """Give the reference back; see LayerStore.release."""
        message = m.ReleaseLayer(reference=self._reference, chain_id=self.chain_id)
        removed: list[m.LayerMetadata] = self._core.call(self._core.layers, message)
        return removed

    def __repr__(self) -> str:
        return f"<Layer {self.chain_id}>"
