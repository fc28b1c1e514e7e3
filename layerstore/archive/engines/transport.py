"""The names of transports, and what follows their colon.

Owns the grammar. It opens nothing. Source: containers-transports(5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.model.reference import parse_reference

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}\Z")
_STORAGE = re.compile(r"(?:\[([^\]]*)\])?(.*)\Z", re.DOTALL)
_ELSEWHERE = {
    "ostree": "no store of OSTree's is read",
    "sif": "no SIF file is read",
    "tarball": "`layerstore import FILE NAME` makes an image of a root file system's tar",
}
"""Those of skopeo's that there are no more words to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A transport, and what it says of where an image is."""

    text: str
    """As it was given, for errors."""
    transport: str
    path: str = ""
    """The directory or file; of containers-storage the root, empty for the machine's."""
    reference: str | None = None
    """Which image is meant there."""
    driver: str = ""
    """Of containers-storage; empty for the one that is used there."""


def given_transport(place: object) -> Given | None:
    """Return what a text with a transport says; None for paths and streams.

    A path that begins so is written as `./oci:x`, or given as an os.PathLike. Raises
    InvalidArgument.
    """
    if not isinstance(place, str):
        return None
    name, colon, rest = place.partition(":")
    if colon and name in _PARSERS:
        return _PARSERS[name](place, rest)
    if colon and name in _ELSEWHERE:
        raise InvalidArgument(place, f"{_ELSEWHERE[name]} (a path is written ./{name}:...)")
    if _SCHEME.match(place):
        if name == "docker":
            reason = f"that is a registry's: `layerstore pull {rest[2:]}` fetches it"
        else:
            reason = f"{name} is no transport; there are {', '.join(_PARSERS)}"
        raise InvalidArgument(place, reason)
    return None


def _with_reference(text: str, rest: str) -> Given:
    transport = text.partition(":")[0]
    path, colon, reference = rest.partition(":")
    if not path or (colon and not reference):
        what = "DIR" if transport == "oci" else "FILE"
        raise InvalidArgument(text, f"it is {transport}:{what} or {transport}:{what}:REF")
    return Given(text=text, transport=transport, path=path, reference=reference or None)


def _dir(text: str, rest: str) -> Given:
    if not rest:
        raise InvalidArgument(text, "it is dir:DIR")
    return Given(text=text, transport="dir", path=rest)


def _daemon(text: str, rest: str) -> Given:
    if not rest:
        raise InvalidArgument(text, "it is docker-daemon:NAME[:TAG]")
    if not _IMAGE_ID.match(rest):
        rest = str(parse_reference(rest).looked_up())
    return Given(text=text, transport="docker-daemon", reference=rest)


def _storage(text: str, rest: str) -> Given:
    match = _STORAGE.match(rest)
    store, name = (match[1], match[2]) if match is not None else (None, "")
    driver, at, root = (store or "").rpartition("@")
    root = root.partition(":")[0].partition("+")[0]
    if not name or (store is not None and not root) or (at and not driver):
        form = "containers-storage:[DRIVER@ROOT]NAME, or containers-storage:NAME"
        raise InvalidArgument(text, f"it is {form}")
    return Given(
        text=text,
        transport="containers-storage",
        path=root,
        driver=driver,
        reference=name,
    )


_PARSERS: dict[str, Callable[[str, str], Given]] = {
    "oci": _with_reference,
    "oci-archive": _with_reference,
    "docker-archive": _with_reference,
    "dir": _dir,
    "docker-daemon": _daemon,
    "containers-storage": _storage,
}


def is_image_id(reference: str) -> bool:
    """Whether a daemon takes this for an ID rather than for a name."""
    return _IMAGE_ID.match(reference) is not None
