"""What can be asked of a read-only layer that somebody holds."""

from __future__ import annotations

from layerstore.actors import messages as m
from layerstore.actors.messages import LayerMetadata
from layerstore.asking.requests import Reading, Request
from layerstore.drivers.model.ids import ChainID, chain_id
from layerstore.operations.declared import store
from layerstore.operations.declared.terms import Layer


def tar_stream(layer: Layer) -> Reading:
    """Stream the tar that was registered, to the bit.

    Its last read raises IntegrityError where the disk no longer holds what was registered.
    moby: TarStreamer.TarStream.
    """
    return _read(layer, against=None, whole=False, sparse=False)


def tar_stream_from(layer: Layer, ancestor: str | None, sparse: bool = False) -> Reading:
    """Stream the difference to an ancestor's chain ID, or to nothing.

    With `sparse` files that are mostly holes are sparse members, as GNU tar writes them.
    Raises LayerDoesNotExist where that is no ancestor. moby: Layer.TarStreamFrom.
    """
    against = chain_id(ancestor) if ancestor is not None else None
    return _read(layer, against=against, whole=against is None, sparse=sparse)


def _read(layer: Layer, *, against: ChainID | None, whole: bool, sparse: bool) -> Reading:
    reference, chain = layer.reference, layer.chain_id
    return Reading(
        "layers",
        lambda descriptors: m.ReadLayer(
            reference=reference,
            chain_id=chain,
            against=against,
            whole=whole,
            sparse=sparse,
            descriptors=descriptors,
        ),
    )


def metadata(layer: Layer) -> Request[dict[str, str]]:
    """Return the graph driver's own facts of the layer. moby: Layer.Metadata."""
    message = m.InspectLayer(reference=layer.reference, chain_id=layer.chain_id)
    return Request("layers", message)


def release(layer: Layer, *, keep: bool = False) -> Request[list[LayerMetadata]]:
    """Give the reference back; see LayerStore.release."""
    return store.release(layer, keep=keep)
