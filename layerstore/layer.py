"""A read-only layer, as one reference to it sees it."""

from __future__ import annotations

from layerstore import requests
from layerstore.actors import messages as m
from layerstore.handles import LayerHandle
from layerstore.stream import TarStream


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
        return self._core.stream(requests.read(self._reference, self.chain_id))

    def tar_stream_from(self, ancestor: str | None) -> TarStream:
        """Stream the difference to an ancestor's chain ID, or to nothing.

        Raises LayerDoesNotExist where that is no ancestor. moby: Layer.TarStreamFrom.
        """
        return self._core.stream(requests.read_from(self._reference, self.chain_id, ancestor))

    def metadata(self) -> dict[str, str]:
        """Return the graph driver's own facts of the layer. moby: Layer.Metadata."""
        return self._core.ask(requests.inspect(self._reference, self.chain_id))

    def release(self) -> list[m.LayerMetadata]:
        """Give the reference back; see LayerStore.release."""
        return self._core.ask(requests.release(self._reference, self.chain_id))
