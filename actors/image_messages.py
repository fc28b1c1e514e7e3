"""The part of the protocol that is about images: messages to the ImageRegistry.

The rest, and the rules for all messages, stand in actors/messages.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from layerstore.actors.messages import LayerMetadata, Message
from layerstore.drivers.ids import ChainID
from layerstore.drivers.image_config import ImageFacts, ImageID

# What images look like from outside


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMetadata:
    """Facts of one image."""

    facts: ImageFacts
    names: tuple[str, ...]
    """Full references, ordered."""
    parent: ImageID | None
    """The image it was made from, where that is recorded."""
    size: int
    """Bytes of all its layers."""
    missing: ChainID | None
    """Chain ID of its top layer where that is not in the store, so that it can't be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedImage:
    """What a RemoveImage took away."""

    untagged: tuple[str, ...]
    deleted: ImageID | None
    layers: tuple[LayerMetadata, ...]
    """The layers that went with it, top first."""
    parents: tuple[ImageID, ...] = ()
    """Nameless images that it was made from and that went with it, nearest first."""


# Asked of the ImageRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class AddImage(Message):
    """Keep an image whose layers are in the store, and give it names; ImageMetadata."""

    public: ClassVar[bool] = True

    facts: ImageFacts
    config: bytes = field(repr=False)
    parent: ImageID | None
    names: Mapping[str, str]
    """Full reference -> its repository."""
    last_updated: str
    """RFC 3339."""

    def summary(self) -> str:
        """Return the image ID."""
        return self.facts.image_id[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuery:
    """How an image was asked for: by full ID or name, else by the start of its ID."""

    asked: str
    """As the caller wrote it, for errors."""
    name: str | None
    """The full reference, if it can be one."""
    digits: str | None
    """The ID's first hex digits, if it can be an ID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindImage(Message):
    """Answered with ImageMetadata."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    query: ImageQuery

    def summary(self) -> str:
        """Return what was asked for."""
        return self.query.asked


@dataclass(frozen=True, slots=True, kw_only=True)
class ListImages(Message):
    """Answered with a list of ImageMetadata, ordered by image ID."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TagImage(Message):
    """Give an image one more name, taking it from another that has it; ImageMetadata."""

    public: ClassVar[bool] = True

    query: ImageQuery
    name: str
    repository: str

    def summary(self) -> str:
        """Return the image and the name."""
        return f"{self.query.asked} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveImage(Message):
    """Take a name away, and with the last one the image; answered with RemovedImage.

    An image that is asked for by its ID loses all names, if `force` or all are of one repository.
    """

    public: ClassVar[bool] = True

    query: ImageQuery
    force: bool
    used_by: tuple[str, ...]
    """Read-write layers made from it, which keep it unless `force`."""
    nameless: bool = False
    """Only where it has no name; else it is in use."""

    def summary(self) -> str:
        """Return what was asked for."""
        return self.query.asked


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadImageConfig(Message):
    """Answered with the verified configuration of an image, as a string."""

    public: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    image_id: ImageID

    def summary(self) -> str:
        """Return the image ID."""
        return self.image_id[:19]
