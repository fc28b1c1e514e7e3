"""Names of images: docker's reference grammar, `repository[:tag][@digest]`.

Names are kept as they are given. No default registry is known here, so none is added or stripped:
`example.org/team/app:1` and `team/app:1` are two names, though the second finds the first where
nothing has just that name. Grammar: distribution/reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from layerstore.drivers.errors import InvalidName

DEFAULT_TAG = "latest"
_MAX_REPOSITORY = 255

_COMPONENT = r"[a-z0-9]+(?:(?:[_.]|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])"
_REPOSITORY = re.compile(rf"(?:{_HOST}(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*\Z")
_TAG = re.compile(r"\w[\w.-]{0,127}\Z", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_HEX_ID = re.compile(r"[0-9a-f]{64}\Z")
_GRAMMAR = (
    "an image name is a repository of lower-case words, digits and separators, "
    "then :tag or @sha256:digest or neither"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed name; both `tag` and `digest` may be missing."""

    repository: str
    tag: str | None = None
    digest: str | None = None

    def tagged(self) -> Reference:
        """Return the name with the default tag where it has neither tag nor digest."""
        if self.tag is None and self.digest is None:
            return Reference(self.repository, DEFAULT_TAG)
        return self

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.repository}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """Parse a name as it is given; raises InvalidName."""
    rest, at, digest = text.partition("@")
    repository, tag = _split_tag(rest)
    if (
        len(repository) > _MAX_REPOSITORY
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
    return str(reference.tagged())


def repository_of(name: str) -> str:
    """Return the repository of a full reference."""
    return _split_tag(name.partition("@")[0])[0]


def is_bare_word(text: str) -> bool:
    """Whether the text could be a tag as well as a repository."""
    return "/" not in text and ":" not in text and _TAG.match(text) is not None


def _split_tag(text: str) -> tuple[str, str | None]:
    # A colon before the last slash belongs to a port.
    head, colon, tag = text.rpartition(":")
    if colon and "/" not in tag:
        return head, tag
    return text, None
