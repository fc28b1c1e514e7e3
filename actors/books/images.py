"""The books of the images: what is there, under which names, and who is meant by a query.

Owns the entries and the names and decides on them; it sends nothing and does no work. The
semantics are those of moby's image and reference stores, and of `docker rmi`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from layerstore.actors.messages import ImageMetadata, ImageQuery, RemoveImage
from layerstore.drivers.errors import ImageDoesNotExist, ImageInUse, InvalidName
from layerstore.drivers.model.ids import ChainID, hex_of
from layerstore.drivers.model.image_config import ImageFacts, ImageID, Repositories, StoredImage


def names_meant(asked: str, names: Iterable[str]) -> list[str]:
    """Return the names that `asked` can mean: itself, else all that only add where it is from.

    `team/app:1` means `example.org/team/app:1` where there is no `team/app:1`, as with podman.
    All are full references.
    """
    known = list(names)
    if asked in known:
        return [asked]
    return [name for name in known if name.endswith("/" + asked)]


@dataclass(slots=True, kw_only=True)
class ImageEntry:
    """One image's page."""

    facts: ImageFacts
    parent: ImageID | None
    size: int
    missing: ChainID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What a RemoveImage comes to."""

    entry: ImageEntry
    names: tuple[str, ...]
    """Names to take away."""
    delete: bool
    """The image goes too."""


class ImageBooks:
    """All images by ID, and all names."""

    def __init__(
        self,
        stored: Iterable[StoredImage],
        repositories: Repositories,
        sizes: Mapping[ChainID, int],
    ) -> None:
        """Fill the books from disk; `sizes` has the bytes of every chain of layers there is."""
        self._entries: dict[ImageID, ImageEntry] = {}
        self.repositories = repositories
        for image in stored:
            chain = image.facts.chain_id
            self._entries[image.facts.image_id] = ImageEntry(
                facts=image.facts,
                parent=image.parent,
                size=sizes.get(chain, 0) if chain is not None else 0,
                missing=chain if chain is not None and chain not in sizes else None,
            )

    def get(self, image_id: ImageID) -> ImageEntry | None:
        """Return an image's entry by its full ID."""
        return self._entries.get(image_id)

    def enter(self, entry: ImageEntry) -> None:
        """Write an entry, replacing one of the same image."""
        self._entries[entry.facts.image_id] = entry

    def strike(self, entry: ImageEntry) -> None:
        """Strike an entry out."""
        del self._entries[entry.facts.image_id]

    def all(self) -> list[ImageMetadata]:
        """Return every image, ordered by ID."""
        return [self.metadata(self._entries[image_id]) for image_id in sorted(self._entries)]

    def metadata(self, entry: ImageEntry) -> ImageMetadata:
        """Return the facts for the outside."""
        return ImageMetadata(
            facts=entry.facts,
            names=self.names_of(entry.facts.image_id),
            parent=entry.parent,
            size=entry.size,
            missing=entry.missing,
        )

    def names_of(self, image_id: ImageID) -> tuple[str, ...]:
        """Return an image's names, ordered."""
        return tuple(
            sorted(
                name
                for names in self.repositories.values()
                for name, named in names.items()
                if named == image_id
            )
        )

    def find(self, query: ImageQuery) -> ImageEntry:
        """Return the image that is meant: by full ID, else by name, else by the ID's start.

        Raises ImageDoesNotExist, or InvalidName where several names or IDs fit.
        """
        full = ImageID(f"sha256:{query.digits}")
        if full in self._entries:
            return self._entries[full]
        named = self._named(query)
        if named is not None and named in self._entries:
            return self._entries[named]
        if query.digits:
            found = [i for i in self._entries if hex_of(i).startswith(query.digits)]
            if len(found) > 1:
                raise InvalidName(query.asked, f"{len(found)} images have IDs that start so")
            if found:
                return self._entries[found[0]]
        raise ImageDoesNotExist(query.asked)

    def _named(self, query: ImageQuery) -> ImageID | None:
        if query.name is None:
            return None
        all_names = {
            name: image for names in self.repositories.values() for name, image in names.items()
        }
        meant = names_meant(query.name, all_names)
        if len({all_names[name] for name in meant}) > 1:
            raise InvalidName(query.asked, f"it can mean {', '.join(sorted(meant))}")
        return all_names[meant[0]] if meant else None

    def with_names(self, names: Mapping[str, str], image_id: ImageID) -> Repositories:
        """Return what the names would be with these (name -> repository) given to an image."""
        changed = {repository: dict(names) for repository, names in self.repositories.items()}
        for name, repository in names.items():
            changed.setdefault(repository, {})[name] = image_id
        return changed

    def without_names(self, gone: tuple[str, ...]) -> Repositories:
        """Return what the names would be without these."""
        changed = {
            repository: {name: image for name, image in names.items() if name not in gone}
            for repository, names in self.repositories.items()
        }
        return {repository: names for repository, names in changed.items() if names}

    def _digests_left_alone(self, image_id: ImageID, gone: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names by digest that go with the last tag of their repository, as in moby."""
        found: list[str] = []
        for known in self.repositories.values():
            left = [n for n, image in known.items() if image == image_id and n not in gone]
            if set(known) & set(gone) and all("@" in name for name in left):
                found += left
        return tuple(found)

    def plan_removal(self, message: RemoveImage) -> Removal:
        """Decide what a RemoveImage takes away.

        Raises ImageDoesNotExist, or ImageInUse without force where read-write layers would lose
        their image, or an ID stands for names of several repositories; with force too where an ID
        stands for an image that others were made from. Such a one loses its names only.
        """
        entry = self.find(message.query)
        image_id, asked = entry.facts.image_id, message.query.asked
        names = self.names_of(image_id)
        if message.nameless and names:
            raise ImageInUse(asked, f"it is named {', '.join(names)}")
        children = [str(e.facts.image_id) for e in self._entries.values() if e.parent == image_id]
        gone: tuple[str, ...] = ()
        if message.query.name is not None and message.query.digits != hex_of(image_id):
            gone = tuple(names_meant(message.query.name, names))
        if not gone:
            if children:
                raise ImageInUse(asked, f"{', '.join(children)} is made from it")
            gone = names
            owners = {repo for repo, known in self.repositories.items() if set(known) & set(names)}
            if len(owners) > 1 and not message.force:
                raise ImageInUse(asked, f"it is named {', '.join(names)}")
        gone += self._digests_left_alone(image_id, gone)
        if set(names) - set(gone):
            return Removal(entry=entry, names=gone, delete=False)
        if message.used_by and not message.force:
            raise ImageInUse(asked, f"{', '.join(message.used_by)} is made from it")
        return Removal(entry=entry, names=names, delete=not children)
