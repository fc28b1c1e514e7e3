"""Writing images to what a transport says.

Owns what an image is called there, and how it is added to a layout that has others. Sources: the
OCI image specification's "Image Layout"; containers-transports(5); what skopeo and umoci do with
names that are there already.
"""

# ruff: noqa: PLC0415 - who writes a file waits for no daemon's code

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import IO, Any, cast

import msgspec

from layerstore.archive.engines.staged import Staged, staged_in
from layerstore.archive.engines.transport import Given, is_image_id
from layerstore.archive.layout import INDEX
from layerstore.archive.write import (
    LAYOUT,
    ImageWriter,
    SavedImage,
    Tar,
    encoded_index,
    tar_written,
)
from layerstore.drivers.errors import DriverError, InvalidArgument, InvalidImage
from layerstore.drivers.model.annotations import NAMING
from layerstore.drivers.model.ids import hex_of
from layerstore.drivers.model.image_config import MAX_CONFIG, parse_json
from layerstore.drivers.model.reference import parse_tag

_MANIFEST = "manifest.json"
_VERSION = ("version", b"Directory Transport Version: 1.1\n")
_OF_A_DIR = re.compile(
    r"(?:version|manifest\.json|signature-[0-9]+|[0-9a-f]{64,128}(?:\.manifest\.json)?)\Z"
)


def as_called(given: Given, images: Sequence[SavedImage]) -> list[SavedImage]:
    """Return images with the names that they are to have there. Raises InvalidArgument."""
    reference = given.reference
    if given.transport == "containers-storage":
        reason = "containers-storage is only read; save to oci:DIR, and skopeo copies it there"
        raise InvalidArgument(given.text, reason)
    if reference is None and given.transport != "dir":
        return list(images)
    if len(images) != 1:
        raise InvalidArgument(given.text, f"one image can be called so, not {len(images)}")
    (image,) = images
    if reference is None:
        return [image]
    if given.transport in ("oci", "oci-archive"):
        if reference.startswith("@"):
            raise InvalidArgument(given.text, "what is written gets a name, not a place in a list")
        return [replace(image, names=[], annotations=({NAMING[1]: reference},))]
    if given.transport == "docker-daemon" and is_image_id(reference):
        raise InvalidArgument(given.text, "an image is given a name there, not an ID")
    return [replace(image, names=[parse_tag(reference)], annotations=())]


@contextlib.contextmanager
def written_to_daemon(spool: str) -> Iterator[ImageWriter]:
    """Give what writes images that are handed to the docker daemon if the block ends well.

    `spool` is a directory for a nameless file. Raises EngineError, DriverError.
    """
    from layerstore.archive.engines.daemon import Daemon

    daemon = Daemon()
    daemon.ping()
    try:
        with tempfile.TemporaryFile(dir=spool) as raw:
            archive = cast("IO[bytes]", raw)
            with tar_written(archive) as writer:
                yield writer
            size = archive.seek(0, io.SEEK_END)
            archive.seek(0)
            daemon.load(archive, size)
    except OSError as error:
        raise DriverError.from_os_error("write", "an archive for the daemon", error) from error


# OCI layouts


@contextlib.contextmanager
def added_to_layout(given: Given) -> Iterator[ImageWriter]:
    """Give what writes images into an OCI layout, new or not, if the block ends well.

    An image that was called as one of them isn't listed any more; blobs stay. Raises DriverError,
    InvalidArgument for a directory that has other things, InvalidImage.
    """
    with staged_in(given.path) as staged:
        names = staged.names()
        if names and INDEX not in names and LAYOUT[0] not in names:
            raise InvalidArgument(given.text, "something lies there that is no OCI layout")
        writer = ImageWriter(staged)
        yield writer
        staged.alone()
        staged.small(INDEX, _index_with(writer.descriptors, staged, given.text))
        if LAYOUT[0] not in names:
            staged.small(*LAYOUT)
        staged.place(LAYOUT[0], INDEX)


def _index_with(new: list[dict[str, Any]], staged: Staged, label: str) -> bytes:
    content = staged.there(INDEX, MAX_CONFIG + 1)
    if content is None:
        return encoded_index(new)
    document = parse_json(content, f"{INDEX} of {label}")
    listed = document.get("manifests") if isinstance(document, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise InvalidImage(label, f"its {INDEX} lists no manifests")
    for descriptor in new:
        _list(descriptor, listed)
    return msgspec.json.encode({**document, "manifests": listed})


def _list(new: dict[str, Any], listed: list[dict[str, Any]]) -> None:
    """Put a descriptor in the place of what was called so, else at the end."""
    called = _called(new)
    alike = [one for one in listed if one.get("digest") == new["digest"]]
    if not called and alike:
        return
    for number, old in enumerate(listed):
        if _is_called_so(old, new, called) or (not _called(old) and old in alike):
            listed[number] = new
            return
    listed.append(new)


def _is_called_so(old: dict[str, Any], new: dict[str, Any], called: dict[str, Any]) -> bool:
    theirs = _called(old)
    both = [key for key in NAMING if key in called and key in theirs]
    same_platform = old.get("platform") in (None, new.get("platform"))
    return bool(both) and called[both[0]] == theirs[both[0]] and same_platform


def _called(descriptor: dict[str, Any]) -> dict[str, Any]:
    annotations = descriptor.get("annotations")
    found = annotations if isinstance(annotations, dict) else {}
    return {key: found[key] for key in NAMING if found.get(key)}


# `dir:`


class _Flat:
    """Blobs named by the hex digits of their digests alone."""

    def __init__(self, staged: Staged) -> None:
        self._staged = staged

    def small(self, name: str, content: bytes) -> None:
        self._staged.small(name.rpartition("/")[2], content)

    def stream(self, name: str, tar: Tar) -> int:
        return self._staged.stream(name.rpartition("/")[2], tar)


@contextlib.contextmanager
def written_flat(given: Given) -> Iterator[ImageWriter]:
    """Give what writes one image into a directory of its own, if the block ends well.

    An image that was there is replaced. Raises DriverError, InvalidArgument for a directory that
    has other things.
    """
    with staged_in(given.path) as staged:
        old = staged.names()
        if old and (_VERSION[0] not in old or not all(map(_OF_A_DIR.match, old))):
            raise InvalidArgument(given.text, "something lies there that is no image of dir:")
        writer = ImageWriter(_Flat(staged))
        yield writer
        staged.alone()
        staged.rename(hex_of(writer.descriptors[0]["digest"]), _MANIFEST)
        if _VERSION[0] not in old:
            staged.small(*_VERSION)
        new = staged.place(_VERSION[0], _MANIFEST)
        for name in sorted({*staged.names()} - {*new, _VERSION[0]}):
            staged.remove(name)
