"""Layers that aren't passed on: docker's foreign ones, OCI's nondistributable ones.

Owns what is kept of such a layer's descriptor, as docker keeps it with the layer, and how it is
written again. Sources: moby's layer.DescribableStore and image/tarexport ("LayerSources"); the OCI
image specification's "Non-Distributable Layers".
"""

from __future__ import annotations

import re

import msgspec

from layerstore.drivers.errors import InvalidImage, InvalidName, LimitExceeded
from layerstore.drivers.model.ids import blob_digest

_MAX_KEPT = 1 << 16
_TYPE = re.compile(
    r"(application/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.tar"
    r"|docker\.image\.rootfs\.foreign\.diff\.tar))(?:[.+](?:gzip|zstd))?\Z"
)


class LayerSource(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """What is kept of a descriptor, in the order in which docker writes it."""

    media_type: str = ""
    size: int = 0
    digest: str = ""
    urls: tuple[str, ...] | None = None

    @property
    def is_worth_keeping(self) -> bool:
        """Whether it says more than where the blob lay in the archive."""
        return bool(self.urls) or _TYPE.match(self.media_type) is not None

    @property
    def plain_type(self) -> str | None:
        """The media type of such a layer when it isn't compressed; None for other layers."""
        match = _TYPE.match(self.media_type)
        return match[1] if match is not None else None

    def encoded(self, label: str) -> str:
        """Return it as it is kept with a layer. Raises InvalidImage, LimitExceeded."""
        try:
            blob_digest(self.digest)
        except InvalidName as error:
            reason = f"{self.digest[:100]!r} is no digest: {error.grammar}"
            raise InvalidImage(label, reason) from error
        text = msgspec.json.encode(self).decode()
        if len(text) > _MAX_KEPT:
            raise LimitExceeded(f"the descriptor in bytes of a layer in {label}", _MAX_KEPT)
        return text


def source_kept(descriptor: str | None) -> LayerSource | None:
    """Read what is kept with a layer; None where that is nothing, or none of these."""
    try:
        source = msgspec.json.decode(descriptor or "{}", type=LayerSource)
        blob_digest(source.digest)
    except (msgspec.MsgspecError, RecursionError, InvalidName):
        return None
    return source
