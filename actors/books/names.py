"""The book of the images' names: whose is which, and which of them a query can mean.

Owns the names, and finds them in a time that doesn't grow with how many there are. Whether a name
may go is decided by the book of the images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct, field

from layerstore.actors.books.index import take_out
from layerstore.actors.messages import ImageQuery
from layerstore.drivers.errors import AmbiguousName
from layerstore.drivers.model.image_config import ImageID, Repositories
from layerstore.drivers.model.reference import normal


class NamesChange(Struct, frozen=True, kw_only=True):
    """What all names are to become, and how that differs from what they are."""

    repositories: Repositories
    given: Mapping[str, tuple[str, ImageID]] = field(default_factory=dict)
    """Name -> its repository, its image."""
    gone: tuple[str, ...] = ()


class NameBook:
    """All names: by themselves, by image, and by how they end."""

    def __init__(self, repositories: Repositories) -> None:
        """Fill the book from what the disk has."""
        self._repositories = repositories
        """Repository -> full reference -> image; never changed but replaced."""
        self._places: dict[str, tuple[str, ImageID]] = {}
        self._by_image: dict[ImageID, set[str]] = {}
        self._names_ending: dict[str, set[str]] = {}
        self._repositories_ending: dict[str, set[str]] = {}
        for repository, names in repositories.items():
            for name, image_id in names.items():
                self._enter(name, repository, image_id)

    def of(self, image_id: ImageID) -> tuple[str, ...]:
        """Return an image's names, ordered."""
        return tuple(sorted(self._by_image.get(image_id, ())))

    def any_of(self, image_id: ImageID) -> bool:
        """Whether an image has a name."""
        return image_id in self._by_image

    def image(self, name: str) -> ImageID:
        """Return whose a name is."""
        return self._places[name][1]

    def repository(self, name: str) -> str:
        """Return the repository that a name is kept in."""
        return self._places[name][0]

    def beside(self, name: str) -> Mapping[str, ImageID]:
        """Return the names in the same repository, and whose they are."""
        return self._repositories[self.repository(name)]

    def meant(self, query: ImageQuery) -> tuple[str, ...]:
        """Return the names that a query can mean: itself, else all that only add where it is from.

        `team/app:1` means `example.org/team/app:1` where there is no `team/app:1`, as with podman.
        """
        if query.name is None:
            return ()
        return _fitting(self._names_ending, query.name, short=query.short)

    def tags_meant(self, query: ImageQuery) -> list[str]:
        """Return the tags that a query means, ordered: of a repository without a tag all it has.

        Raises AmbiguousName where several repositories fit.
        """
        if query.repository is None:
            return [name for name in self.meant(query) if "@" not in name]
        fitting = _fitting(self._repositories_ending, query.repository, short=query.short)
        if len(fitting) > 1:
            raise AmbiguousName(query.asked, f"it can mean {', '.join(fitting)}")
        return sorted(n for known in fitting for n in self._repositories[known] if "@" not in n)

    # Changing

    def with_names(self, names: Mapping[str, str], image_id: ImageID) -> NamesChange:
        """Return the change that gives names (name -> repository) to an image."""
        changed = dict(self._repositories)
        for name, repository in names.items():
            changed[repository] = {**changed.get(repository, {}), name: image_id}
        given = {name: (repository, image_id) for name, repository in names.items()}
        return NamesChange(repositories=changed, given=given)

    def without_names(self, gone: tuple[str, ...]) -> NamesChange:
        """Return the change that takes names away."""
        changed = dict(self._repositories)
        lost = set(gone)
        for repository in {self.repository(name) for name in gone}:
            left = {n: image for n, image in changed.pop(repository).items() if n not in lost}
            if left:
                changed[repository] = left
        return NamesChange(repositories=changed, gone=gone)

    def make(self, change: NamesChange) -> None:
        """Make a change, the only one since it was planned."""
        self._repositories = change.repositories
        for name in change.gone:
            self._strike(name)
        for name, (repository, image_id) in change.given.items():
            if name in self._places:
                self._strike(name)
            self._enter(name, repository, image_id)

    def _enter(self, name: str, repository: str, image_id: ImageID) -> None:
        self._places[name] = (repository, image_id)
        self._by_image.setdefault(image_id, set()).add(name)
        for end in _ends(name):
            self._names_ending.setdefault(end, set()).add(name)
        for end in _ends(repository):
            self._repositories_ending.setdefault(end, set()).add(repository)

    def _strike(self, name: str) -> None:
        repository, image_id = self._places.pop(name)
        take_out(self._by_image, image_id, name)
        for end in _ends(name):
            take_out(self._names_ending, end, name)
        if repository not in self._repositories:
            for end in _ends(repository):
                take_out(self._repositories_ending, end, repository)


def _fitting(ending: Mapping[str, Collection[str]], asked: str, *, short: bool) -> tuple[str, ...]:
    fitting = ending.get(asked, ())
    if asked in fitting:
        return (asked,)
    # Roots that others wrote can have names that aren't in their normal form.
    same = tuple(sorted(one for one in fitting if normal(one) == asked))
    return same or (tuple(sorted(fitting)) if short else ())


def _ends(name: str) -> Iterator[str]:
    """Yield a name, and what follows each of its slashes."""
    yield name
    for at, letter in enumerate(name):
        if letter == "/":
            yield name[at + 1 :]
