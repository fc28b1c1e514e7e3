"""Messages to the ImageRegistry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from layerstore.actors.messages.metadata import ImageMetadata, RemovedImage
from layerstore.actors.runtime.message import Message, Shared
from layerstore.actors.watching.facts import plain
from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.image_config import ImageFacts, ImageID


class ImageQuery(Struct, frozen=True, kw_only=True):
    """How an image was asked for: by full ID or name, else by the start of its ID."""

    asked: str
    """As the caller wrote it, for errors."""
    name: str | None
    """The full reference, if it can be one."""
    digits: str | None
    """The ID's first hex digits, if it can be an ID."""
    repository: str | None = None
    """The repository, if it says no more than that."""
    short: bool = True
    """It doesn't say which host it is from."""

    def for_journal(self) -> Mapping[str, Any]:
        """Return all of it as plain data."""
        return {
            "asked": plain(self.asked),
            "digits": self.digits,
            "query_name": plain(self.name),
            "repository": plain(self.repository),
            "short": self.short,
        }


class AboutImage(Message, frozen=True, kw_only=True):
    """What requests have in common that ask for one image."""

    query: ImageQuery

    def summary(self) -> str:
        """Return what was asked for."""
        return self.query.asked

    def for_journal(self) -> Mapping[str, Any]:
        """See Message."""
        return {**Message.for_journal(self), **self.query.for_journal()}


class AddImage(Message, frozen=True, kw_only=True):
    """Keep an image whose layers are in the store, and give it names; ImageMetadata."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(ImageMetadata, ("images",))
    recorded: ClassVar[tuple[str, ...] | None] = ("names", "parent", "annotations")

    facts: ImageFacts
    config: bytes
    parent: ImageID | None
    names: Mapping[str, str]
    """Full reference -> its repository."""
    last_updated: str
    """RFC 3339."""
    annotations: tuple[Annotations, ...] = ()
    """Of a layout's, those that call it what is no name here."""

    def summary(self) -> str:
        """Return the image ID."""
        return self.facts.image_id[:19]

    def for_journal(self) -> Mapping[str, Any]:
        """See Message."""
        facts = self.facts
        ids = {"image_id": facts.image_id, "diff_ids": plain(facts.diff_ids)}
        return {**Message.for_journal(self), **ids}


class FindImage(AboutImage, frozen=True, kw_only=True):
    """Answered with ImageMetadata."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(ImageMetadata, ("images",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ()


class ListTags(AboutImage, frozen=True, kw_only=True):
    """Answered with a list of the tags that are meant, of a repository without one all it has."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(list[str], ("images",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ()


class FindOrigin(Message, frozen=True, kw_only=True):
    """Answered with the ImageMetadata of what a read-write layer was made from, None for none.

    That is the recorded image; where there is none, one with the same top layer, if there is one.
    """

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(ImageMetadata | None, ("images",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("recorded_image", "on_layer")

    recorded_image: ImageID | None
    on_layer: ChainID | None

    def summary(self) -> str:
        """Return the recorded image's ID."""
        return (self.recorded_image or "")[:19]


class ListImages(Message, frozen=True, kw_only=True):
    """Answered with a list of ImageMetadata, ordered by image ID."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(list[ImageMetadata], ("images",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ()


class TagImage(AboutImage, frozen=True, kw_only=True):
    """Give an image one more name, taking it from another that has it; ImageMetadata."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(ImageMetadata, ("images",))
    recorded: ClassVar[tuple[str, ...] | None] = ("name", "repository")

    name: str
    repository: str

    def summary(self) -> str:
        """Return the image and the name."""
        return f"{self.query.asked} {self.name}"


class RemoveImage(AboutImage, frozen=True, kw_only=True):
    """Take a name away, and with the last one the image; answered with RemovedImage.

    An image that is asked for by its ID loses all names, if `force` or all are of one repository.
    Where the image would go before it is known who uses it, nothing is done, and the answer None.
    """

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(RemovedImage | None, ("images",))
    recorded: ClassVar[tuple[str, ...] | None] = ("force", "used_by", "nameless")

    force: bool
    used_by: tuple[str, ...] | None
    """Read-write layers made from it, which keep it unless `force`; None before they are known."""
    nameless: bool = False
    """Only where it has no name; else it is in use."""


class ReadImageConfig(Message, frozen=True, kw_only=True):
    """Answered with the verified configuration of an image, as a string."""

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(str, ("images",))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ("image_id",)

    image_id: ImageID

    def summary(self) -> str:
        """Return the image ID."""
        return self.image_id[:19]
