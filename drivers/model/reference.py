"""Names of images: docker's reference grammar, `repository[:tag][@digest]`, and its normal form.

The normal form is docker's familiar one, in which its roots keep names: what docker takes for
granted (its own host, and `library/` there) is left out. `example.org/team/app:1` and `team/app:1`
are two names, though the second finds the first where nothing has just that name. Grammar and
normal form: distribution/reference.
"""

from __future__ import annotations

import re

from msgspec import Struct

from layerstore.drivers.errors import InvalidName

DEFAULT_TAG = "latest"
DEFAULT_HOST = "docker.io"
_OLD_HOST = f"index.{DEFAULT_HOST}"
_LIBRARY = "library/"
_MAX_REPOSITORY = 255
"""Characters, with all that the normal form leaves out."""

_COMPONENT = r"[a-z0-9]+(?:(?:[_.]|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])"
_REPOSITORY = re.compile(rf"(?:{_HOST}(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*\Z")
_TAG = re.compile(r"\w[\w.-]{0,127}\Z", re.ASCII)
_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})\Z")
_HEX_ID = re.compile(r"[0-9a-f]{64}\Z")
_GRAMMAR = (
    "an image name is a repository of lower-case words, digits and separators, "
    "then :tag or @sha256:digest or neither"
)


class Reference(Struct, frozen=True):
    """A parsed name; both `tag` and `digest` may be missing."""

    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def is_repository(self) -> bool:
        """Whether it says no more than the repository."""
        return self.tag is None and self.digest is None

    def looked_up(self) -> Reference:
        """Return the name as it is looked up: a digest decides, else the tag, else the default."""
        if self.digest is not None:
            return Reference(self.repository, digest=self.digest)
        return Reference(self.repository, self.tag or DEFAULT_TAG)

    def canonical(self) -> str:
        """Return the name with all that its normal form leaves out."""
        return _canonical(self.repository) + str(self).removeprefix(self.repository)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.repository}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """Parse a name, and bring it into its normal form; raises InvalidName."""
    rest, at, digest = text.partition("@")
    repository, tag = _split_tag(normal(rest))
    if (
        len(_canonical(repository)) > _MAX_REPOSITORY
        or repository
        == "sha256"  # its tags would look like image IDs; moby: reference.addReference
        or not _REPOSITORY.match(repository)
        or _HEX_ID.match(repository)
        or (tag is not None and not _TAG.match(tag))
        or (at and not _DIGEST.match(digest))
    ):
        raise InvalidName(text, _GRAMMAR)
    return Reference(repository, tag, digest if at else None)


def parse_tag(text: str) -> str:
    """Parse the name that an image is given, with the default tag where it has none.

    Raises InvalidName, for a name with a digest too: that is not anybody's to choose.
    """
    reference = parse_reference(text)
    if reference.digest is not None:
        raise InvalidName(text, "an image is named by a tag, not by a digest")
    return str(reference.looked_up())


def normal(name: str) -> str:
    """Leave out of a name, or of a pattern of names, what docker takes for granted.

    What could be read as the name of another host without that is left as it is.
    """
    host, slash, path = name.partition("/")
    if not slash or not _is_host(host):
        path = name
    elif host not in (DEFAULT_HOST, _OLD_HOST):
        return name
    short = path.removeprefix(_LIBRARY)
    if "/" not in short:
        return short
    return f"{DEFAULT_HOST}/{path}" if _is_host(path.partition("/")[0]) else path


def says_host(name: str) -> bool:
    """Whether a name, as it is given, says which host it is from."""
    host, slash, _ = name.partition("/")
    return bool(slash) and _is_host(host)


def repository_of(name: str) -> str:
    """Return the repository of a full reference."""
    return _split_tag(name.partition("@")[0])[0]


def is_bare_word(text: str) -> bool:
    """Whether the text could be a tag as well as a repository."""
    return "/" not in text and ":" not in text and _TAG.match(text) is not None


def _canonical(repository: str) -> str:
    if says_host(repository):
        return repository
    return f"{DEFAULT_HOST}/{'' if '/' in repository else _LIBRARY}{repository}"


def _is_host(word: str) -> bool:
    return "." in word or ":" in word or word == "localhost" or word != word.lower()


def _split_tag(text: str) -> tuple[str, str | None]:
    # A colon before the last slash belongs to a port.
    head, colon, tag = text.rpartition(":")
    if colon and "/" not in tag:
        return head, tag
    return text, None
