"""The books of the images: what is there, who is meant by a query, and what a removal comes to.

Owns the entries and decides on them; it sends nothing and does no work. No decision takes longer
because there are more images, names or layers. The semantics are those of moby's image and
reference stores, and of `docker rmi`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from layerstore.actors.books.index import OrderedIds, only, take_out
from layerstore.actors.books.names import NameBook
from layerstore.actors.messages import FindOrigin, ImageMetadata, ImageQuery, RemoveImage
from layerstore.drivers.errors import AmbiguousName, ImageDoesNotExist, ImageInUse
from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.ids import ChainID, hex_of
from layerstore.drivers.model.image_config import ImageFacts, ImageID, Repositories, StoredImage


class ImageEntry(Struct, kw_only=True):
    """One image's page."""

    facts: ImageFacts
    parent: ImageID | None
    size: int
    missing: ChainID | None
    annotations: tuple[Annotations, ...]


class Removal(Struct, frozen=True, kw_only=True):
    """What a RemoveImage comes to."""

    entry: ImageEntry
    names: tuple[str, ...]
    """Names to take away."""
    delete: bool
    """The image goes too."""


class ImageBooks:
    """All images: by ID, by the image they were made from, and by their top layer."""

    def __init__(
        self,
        stored: Iterable[StoredImage],
        repositories: Repositories,
        sizes: Mapping[ChainID, int],
    ) -> None:
        """Fill the books from disk; `sizes` has the bytes of every chain of layers there is."""
        self.names = NameBook(repositories)
        self._entries: dict[ImageID, ImageEntry] = {}
        self._children: dict[ImageID, set[ImageID]] = {}
        self._on_layer: dict[ChainID, set[ImageID]] = {}
        known = list(stored)
        self._ids = OrderedIds(image.facts.image_id for image in known)
        for image in known:
            chain = image.facts.chain_id
            entry = ImageEntry(
                facts=image.facts,
                parent=image.parent,
                size=sizes.get(chain, 0) if chain is not None else 0,
                missing=chain if chain is not None and chain not in sizes else None,
                annotations=image.annotations,
            )
            self.enter(entry)

    def get(self, image_id: ImageID) -> ImageEntry | None:
        """Return an image's entry by its full ID."""
        return self._entries.get(image_id)

    def enter(self, entry: ImageEntry) -> None:
        """Write an entry, replacing one of the same image."""
        image_id = entry.facts.image_id
        if image_id in self._entries:
            self.strike(self._entries[image_id])
        self._entries[image_id] = entry
        self._ids.enter(image_id)
        if entry.parent is not None:
            self._children.setdefault(entry.parent, set()).add(image_id)
        chain = entry.facts.chain_id
        if chain is not None:
            self._on_layer.setdefault(chain, set()).add(image_id)

    def strike(self, entry: ImageEntry) -> None:
        """Strike an entry out."""
        image_id = entry.facts.image_id
        del self._entries[image_id]
        self._ids.strike(image_id)
        if entry.parent is not None:
            take_out(self._children, entry.parent, image_id)
        chain = entry.facts.chain_id
        if chain is not None:
            take_out(self._on_layer, chain, image_id)

    def count(self) -> int:
        """Return how many there are."""
        return len(self._entries)

    def all(self) -> list[ImageMetadata]:
        """Return every image, ordered by ID."""
        return [self.metadata(self._entries[image_id]) for image_id in self._ids]

    def metadata(self, entry: ImageEntry) -> ImageMetadata:
        """Return the facts for the outside."""
        return ImageMetadata(
            facts=entry.facts,
            names=self.names.of(entry.facts.image_id),
            parent=entry.parent,
            size=entry.size,
            missing=entry.missing,
            annotations=entry.annotations,
        )

    def find(self, query: ImageQuery) -> ImageEntry:
        """Return the image that is meant: by full ID, else by name, else by the ID's start.

        Raises ImageDoesNotExist, or AmbiguousName where several names or IDs fit. moby:
        ImageService.GetImage.
        """
        full = ImageID(f"sha256:{query.digits}")
        if full in self._entries:
            return self._entries[full]
        meant = self.names.meant(query)
        named = {self.names.image(name) for name in meant}
        if len(named) > 1:
            raise AmbiguousName(query.asked, f"it can mean {', '.join(meant)}")
        if named and not named.isdisjoint(self._entries):
            return self._entries[named.pop()]
        if query.digits:
            found = only(self._ids.beginning(full), query.asked, "images")
            if found is not None:
                return self._entries[found]
        raise ImageDoesNotExist(query.asked)

    def origin(self, message: FindOrigin) -> ImageMetadata | None:
        """Return the image that a read-write layer was made from, or the likeliest one."""
        if message.recorded_image in self._entries:
            return self.metadata(self._entries[message.recorded_image])
        if message.on_layer is None:
            return None
        fitting = [self._entries[i] for i in self._on_layer.get(message.on_layer, ())]
        likeliest = max(fitting, key=self._likelihood, default=None)
        return self.metadata(likeliest) if likeliest is not None else None

    def _likelihood(self, entry: ImageEntry) -> tuple[bool, str, str]:
        image_id = entry.facts.image_id
        return self.names.any_of(image_id), entry.facts.created, image_id

    def _digests_left_alone(self, image_id: ImageID, gone: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names by digest that go with the last tag of their repository, as in moby."""
        found: dict[str, None] = {}
        for name in gone:
            beside = self.names.beside(name)
            left = [n for n in self.names.of(image_id) if n in beside and n not in gone]
            if all("@" in one for one in left):
                found |= dict.fromkeys(left)
        return tuple(found)

    def plan_removal(self, message: RemoveImage) -> Removal | None:
        """Decide what a RemoveImage takes away; None where that hangs on who uses the image.

        Raises ImageDoesNotExist, or ImageInUse without force where read-write layers would lose
        their image, or an ID stands for names of several repositories; with force too where an ID
        stands for an image that others were made from. Such a one loses its names only.
        """
        entry = self.find(message.query)
        image_id, asked = entry.facts.image_id, message.query.asked
        names = self.names.of(image_id)
        if message.nameless and names:
            raise ImageInUse(asked, f"it is named {', '.join(names)}")
        children = sorted(self._children.get(image_id, ()))
        gone: tuple[str, ...] = ()
        if message.query.digits != hex_of(image_id):
            gone = tuple(name for name in self.names.meant(message.query) if name in names)
        if not gone:
            if children:
                raise ImageInUse(asked, f"{', '.join(children)} is made from it")
            gone = names
            owners = {self.names.repository(name) for name in names}
            if len(owners) > 1 and not message.force:
                raise ImageInUse(asked, f"it is named {', '.join(names)}")
        gone += self._digests_left_alone(image_id, gone)
        if set(names) - set(gone):
            return Removal(entry=entry, names=gone, delete=False)
        if message.used_by is None:
            return None
        if message.used_by and not message.force:
            raise ImageInUse(asked, f"{', '.join(message.used_by)} is made from it")
        return Removal(entry=entry, names=names, delete=not children)
