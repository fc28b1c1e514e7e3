"""What a repository of a registry is asked: manifests, blobs, tags.

Owns the paths of the distribution specification and the order of places: mirrors first, which are
passed over where they fail, then the registry itself. What is pushed goes there only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import structs
from urllib3 import HTTPHeaderDict

from layerstore.asking.progress import Notice
from layerstore.drivers.errors import (
    IntegrityError,
    InvalidName,
    LayerStoreError,
    LimitExceeded,
    NotInRegistry,
    RegistryError,
)
from layerstore.drivers.model.reference import Reference, is_bare_word
from layerstore.images.registry.asker import Asker, Question
from layerstore.images.registry.download import BlobStream
from layerstore.images.registry.manifests import (
    ACCEPT,
    MAX_MANIFEST,
    Described,
    Fetched,
    digest_of,
    is_digest,
    plain_type,
    verified,
)
from layerstore.images.registry.places import Place
from layerstore.images.registry.upload import Uploader
from layerstore.images.registry.wire.answers import BrokenAnswer, TooLong
from layerstore.images.registry.wire.documents import NotAsExpected, parsed
from layerstore.images.registry.wire.links import next_link
from layerstore.images.registry.wire.urls import is_web, joined, origin_of, path_of

__all__ = ["MAX_MANIFEST", "Described", "Fetched", "Repository"]

_T = TypeVar("_T")
_MAX_TAGS = 32 << 20
"""Bytes of all lists of tags: some registries send everything at once."""
_MAX_URLS = 8
"""Other places that a layer is asked for at: whoever writes them needn't have anything there."""
_NO_HEAD = frozenset({405, 501})
"""What registries answer that take no HEAD."""
_PATH = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*\Z")


class _Whole(NamedTuple):
    """An answer that was read."""

    headers: HTTPHeaderDict
    content: bytes
    url: str


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class Repository:
    """One repository, wherever it is to be had."""

    def __init__(
        self,
        asker: Asker,
        reference: Reference,
        places: Sequence[Place],
        notice: Notice,
        actions: str = "pull",
    ) -> None:
        for place in places:
            if not _PATH.match(place.repository):
                raise InvalidName(place.repository, "a repository is of lower-case words, and /")
        self.reference = reference
        self.places = list(places)
        self._asker = asker
        self._notice = notice
        self._actions = actions
        self._passed: list[Place] = []

    @property
    def own(self) -> Place:
        """The registry itself."""
        return self.places[-1]

    def question(
        self, place: Place, path: str, what: str, *, accept: str | None = None, method: str = "GET"
    ) -> Question:
        """Return a question about the repository at a place; `path` begins after its name."""
        return Question(
            place=place,
            path=f"/v2/{place.repository}/{path}",
            what=f"{what} of {place.repository}",
            method=method,
            headers={"Accept": accept} if accept else {},
            scopes=frozenset({f"repository:{place.repository}:{self._actions}"}),
        )

    def manifest(self, wanted: str, limit: int = MAX_MANIFEST) -> Fetched:
        """Fetch a manifest by its tag or digest, and verify it.

        Raises NotInRegistry, AccessDenied, RegistryUnreachable, RegistryError, IntegrityError,
        LimitExceeded, JobCancelled. OCI distribution specification, pulling manifests.
        """
        path = f"manifests/{_checked(wanted)}"

        def fetch(place: Place) -> Fetched:
            question = self.question(place, path, f"manifest {wanted}", accept=ACCEPT)
            got = self._whole(question, limit)
            said_digest = got.headers.get("Docker-Content-Digest", "")
            said_type = got.headers.get("Content-Type", "")
            what = question.what
            return verified(place.registry, what, wanted, got.content, said_digest, said_type)

        return self._somewhere(fetch)

    def described(self, wanted: str) -> Described | None:
        """Ask what a tag or digest is; None if it isn't there. Raises as `manifest`."""
        path = f"manifests/{_checked(wanted)}"

        def describe(place: Place) -> Described:
            what = f"manifest {wanted}"
            question = _by_head(self.question(place, path, what, accept=ACCEPT))
            with self._asker.ask(question) as answer:
                told = answer.status == 200
                digest = answer.headers.get("Docker-Content-Digest", "") if told else ""
                media_type = plain_type(answer.headers.get("Content-Type", ""))
                size = answer.length
            if size is None or not is_digest(digest):
                whole = self.manifest(wanted)
                return Described(whole.digest, whole.media_type, len(whole.content))
            if is_digest(wanted) and digest != wanted and _algorithm(digest) == _algorithm(wanted):
                raise IntegrityError(f"{what} from registry {place.registry}", wanted, digest)
            return Described(wanted if is_digest(wanted) else digest, media_type, size)

        try:
            return self._somewhere(describe)
        except NotInRegistry:
            return None

    def blob(self, digest: str, size: int | None, limit: int) -> bytes:
        """Fetch a small blob, and verify it; raises as `manifest`."""
        path = f"blobs/{_checked_digest(digest)}"
        if size is not None and size > limit:
            raise LimitExceeded(f"blob {digest} of {self.reference.repository}", limit)

        def fetch(place: Place) -> bytes:
            question = self.question(place, path, f"blob {digest}")
            content = self._whole(question, limit).content
            what = f"{question.what} from registry {place.registry}"
            if size is not None and len(content) != size:
                raise IntegrityError(what, f"of {size} bytes", f"of {len(content)}")
            if (actual := digest_of(content, digest)) != digest:
                raise IntegrityError(what, digest, actual)
            return content

        return self._somewhere(fetch)

    def open_blob(self, digest: str, size: int, urls: Sequence[str] = ()) -> BlobStream:
        """Open a blob to read it once; what comes isn't verified, but is `size` bytes or an error.

        `urls` are where it may be had if the registry hasn't got it, by HTTP, from strangers.
        """
        path = f"blobs/{_checked_digest(digest)}"
        what = f"blob {digest}"
        sources = [self.question(place, path, what) for place in self._left()]
        sources += [_elsewhere(url, what) for url in [*filter(is_web, urls)][:_MAX_URLS]]
        return BlobStream(self._asker, sources, size, self.pass_over)

    def has_blob(self, digest: str) -> int | None:
        """Ask for a blob's size; None if it isn't there.

        Where a HEAD isn't taken, or doesn't tell, the blob itself is asked for, and not read.
        """
        path = f"blobs/{_checked_digest(digest)}"

        def ask(place: Place) -> int:
            question = self.question(place, path, f"blob {digest}")
            for asked in (_by_head(question), question):
                with self._asker.ask(asked) as answer:
                    if answer.status == 200 and answer.length is not None:
                        return answer.length
            raise RegistryError(place.registry, question.what, "its size isn't told")

        try:
            return self._somewhere(ask)
        except NotInRegistry:
            return None

    def tags(self) -> list[str]:
        """List the tags, as the registry itself has them; raises as `manifest`.

        OCI distribution specification, listing tags.
        """
        question = self.question(self.own, "tags/list", "tags")
        registry, what = self.own.registry, question.what
        found: list[str] = []
        size = 0
        for _ in range(self._asker.patience.pages):
            page = self._whole(question, _MAX_TAGS)
            size += len(page.content)
            if size > _MAX_TAGS:
                raise LimitExceeded(what, _MAX_TAGS)
            try:
                found += parsed(page.content, _Tags).tags or []
            except NotAsExpected:
                raise RegistryError(registry, what, "the answer isn't a list of tags") from None
            following = next_link(page.headers.getlist("Link"))
            if following is None:
                return [tag for tag in found if is_bare_word(tag)]
            url = joined(page.url, following)
            if url is None or origin_of(url) != origin_of(page.url):
                raise RegistryError(registry, what, "it says that another host has more")
            question = structs.replace(question, path=path_of(url))
        raise LimitExceeded(f"the number of pages of {what}", self._asker.patience.pages)

    def uploader(self) -> Uploader:
        """Return what sends blobs and manifests to the registry itself."""
        return Uploader(self._asker, partial(self.question, self.own), self.has_blob)

    def _whole(self, question: Question, limit: int) -> _Whole:
        """Ask for something small."""

        def fetch() -> _Whole:
            with self._asker.once(question) as answer:
                try:
                    content = answer.read_all(limit)
                except TooLong:
                    raise LimitExceeded(question.what, limit) from None
                except BrokenAnswer as error:
                    raise self._asker.broken(question.place, question.what, error) from error
                # Where nothing says how long it is, what was ended looks like a whole answer.
                self._asker.stop.check(question.what)
                return _Whole(answer.headers, content, answer.url)

        return self._asker.patiently(fetch, question.what, question.place)

    def _somewhere(self, action: Callable[[Place], _T]) -> _T:
        """Do something at the first place where it goes well."""
        for place in self._left()[:-1]:
            try:
                return action(place)
            except (RegistryError, IntegrityError, LimitExceeded) as error:
                self.pass_over(place, error)
        return action(self.own)

    def _left(self) -> list[Place]:
        """Return where it may be had, but for mirrors that have failed before."""
        return [place for place in self.places if place not in self._passed]

    def pass_over(self, place: Place, error: LayerStoreError) -> None:
        """Ask a mirror no more, unless it only hasn't got something, and tell of that once."""
        if place.is_mirror and not isinstance(error, NotInRegistry) and place not in self._passed:
            self._passed.append(place)
            self._notice(f"mirror {place.host} is passed over: {error}")


def _by_head(question: Question) -> Question:
    """Return a question for the head of an answer alone; that it isn't taken is no error."""
    return structs.replace(question, method="HEAD", fine=frozenset({200}) | _NO_HEAD)


def _checked(wanted: str) -> str:
    if is_digest(wanted) or is_bare_word(wanted):
        return wanted
    raise InvalidName(wanted, "a manifest is asked for by a tag or a digest")


def _checked_digest(digest: str) -> str:
    if not is_digest(digest):
        raise InvalidName(digest, "a blob is asked for by its digest")
    return digest


def _elsewhere(url: str, what: str) -> Question:
    """Return the question for a blob that isn't the registry's, of a host that we are nobody to."""
    scheme, host = origin_of(url)
    place = Place(registry=host, host=host, repository="", schemes=(scheme,))
    return Question(place=place, path=url, what=what, is_anonymous=True)


def _algorithm(digest: str) -> str:
    return digest.partition(":")[0]
