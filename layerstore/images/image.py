"""An image as seen from outside, how one is asked for, and how large layers are."""

from __future__ import annotations

import re
from collections.abc import Iterable

from layerstore.actors.messages import ImageMetadata, ImageQuery
from layerstore.drivers.errors import InvalidName
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.image_config import HistoryEntry
from layerstore.drivers.model.platform import Platform
from layerstore.drivers.model.reference import parse_reference, says_host
from layerstore.operations.blocking import BlockingStore

_DIGITS = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})\Z")


class Image:
    """One image of a store, as it was when it was asked for."""

    __slots__ = ("_loaded_as", "_metadata")

    def __init__(self, metadata: ImageMetadata, loaded_as: Iterable[str] = ()) -> None:
        self._metadata = metadata
        self._loaded_as = tuple(sorted(loaded_as))

    @property
    def id(self) -> str:
        """`sha256:<hex>` of its configuration."""
        return self._metadata.facts.image_id

    @property
    def names(self) -> tuple[str, ...]:
        """Its names (`repository:tag`, `repository@sha256:...`), ordered."""
        return self._metadata.names

    @property
    def tags(self) -> tuple[str, ...]:
        """Those of its names that say a tag, ordered."""
        return tuple(name for name in self.names if "@" not in name)

    @property
    def digests(self) -> tuple[str, ...]:
        """Those of its names that say the digest of a manifest or index, ordered."""
        return tuple(name for name in self.names if "@" in name)

    @property
    def loaded_as(self) -> tuple[str, ...]:
        """The tags that it got by being loaded or pulled; empty otherwise."""
        return tuple(name for name in self._loaded_as if "@" not in name)

    @property
    def loaded_by(self) -> tuple[str, ...]:
        """The names with digests that it got by being loaded or pulled; empty otherwise."""
        return tuple(name for name in self._loaded_as if "@" in name)

    @property
    def parent(self) -> str | None:
        """ID of the image it was made from, where that is recorded."""
        return self._metadata.parent

    @property
    def created(self) -> str:
        """When it was made, RFC 3339; empty where its configuration doesn't say."""
        return self._metadata.facts.created

    @property
    def os(self) -> str:
        """Operating system, as in `linux`."""
        return self._metadata.facts.os

    @property
    def architecture(self) -> str:
        """Architecture, as in `amd64`."""
        return self._metadata.facts.architecture

    def fits(self, platform: Platform) -> bool:
        """Whether it is for a platform, or doesn't say what it is for."""
        facts = self._metadata.facts
        own = Platform(facts.os or "linux", facts.architecture, facts.variant)
        return not facts.architecture or platform.rank(own) is not None

    @property
    def chain_id(self) -> ChainID | None:
        """Its top layer, to make read-write layers on; None for an image without layers."""
        return self._metadata.facts.chain_id

    @property
    def layers(self) -> list[ChainID]:
        """The chain ID of every layer, the base first."""
        return self._metadata.facts.chain_ids()

    @property
    def history(self) -> tuple[HistoryEntry, ...]:
        """The steps that made it, the first one first."""
        return self._metadata.facts.history

    @property
    def size(self) -> int:
        """Bytes of all its layers."""
        return self._metadata.size

    @property
    def annotations(self) -> tuple[dict[str, str], ...]:
        """Of layouts that it was loaded from, those that call it what is no name here."""
        return self._metadata.annotations

    @property
    def missing(self) -> ChainID | None:
        """Its top layer where that is not in the store; then only `remove` and a load help."""
        return self._metadata.missing

    def __repr__(self) -> str:
        return f"<Image {self.names[0] if self.names else self.id}>"


Images = list[Image]


def make_query(text: str) -> ImageQuery:
    """Say what `text` may mean: a name, the start of an ID, or either. Raises InvalidName."""
    digits = _DIGITS.match(text)
    hex_digits = digits[1] if digits is not None else None
    try:
        reference = parse_reference(text)
    except InvalidName:
        if digits is None:
            raise
        return ImageQuery(asked=text, name=None, digits=hex_digits)
    return ImageQuery(
        asked=text,
        name=str(reference.looked_up()),
        digits=hex_digits,
        repository=str(reference) if reference.is_repository else None,
        short=not says_host(text),
    )


def sizes_of(store: BlockingStore, chain: str | None) -> tuple[int, int]:
    """Return a layer's bytes, alone and with those beneath it; 0 for none.

    However many other layers there are. Raises LayerDoesNotExist.
    """
    if chain is None:
        return 0, 0
    layer = store.get(chain)
    try:
        return layer.diff_size, layer.size
    finally:
        layer.release(keep=True)
