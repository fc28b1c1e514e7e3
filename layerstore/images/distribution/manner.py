"""How an image is pushed: in which format, how its layers are compressed, and what comes of it."""

from __future__ import annotations

from typing import get_args

from msgspec import Struct

from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.tar.compress import Way, checked_level
from layerstore.images.distribution.policy import PushFormat


class Pushed(Struct, frozen=True):
    """What a registry has been given."""

    name: str
    """`repository:tag`."""
    digest: str
    """Of the manifest, or index."""
    size: int
    """Bytes of that."""


class Manner(Struct, frozen=True, kw_only=True):
    """How layers and manifests are written."""

    format: PushFormat | None = None
    """None is docker's, unless a layer is compressed as docker has no media type for."""
    compression: Way | None = None
    """None is as it was, and gzip for what never was."""
    level: int
    """Of compression, where that is done here."""
    foreign: bool = False
    """Layers that are to be fetched from elsewhere are pushed like any other."""

    @property
    def way(self) -> Way:
        """How layers are compressed here."""
        return self.compression or "gzip"


def make_manner(
    *, format: PushFormat | None, compression: Way | None, level: int | None, foreign: bool
) -> Manner:
    """Check how an image is to be pushed. Raises InvalidArgument."""
    check_format(format)
    way = compression or "gzip"
    checked = checked_level(way, level)
    if format == "docker" and compression == "zstd":
        raise InvalidArgument(compression, "docker's format knows only gzip; oci knows it")
    return Manner(format=format, compression=compression, level=checked, foreign=foreign)


def check_format(format: str | None) -> None:
    """Raise InvalidArgument for what is none."""
    if format not in (None, *get_args(PushFormat)):
        raise InvalidArgument(str(format), f"it is one of {', '.join(get_args(PushFormat))}")
