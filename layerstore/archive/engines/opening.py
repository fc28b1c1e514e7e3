"""Opening what a transport says, and reading the images that are meant there.

Owns which kind of archive each transport is, and that nothing gets a name that wasn't asked for.
"""

# ruff: noqa: PLC0415 - who loads a file waits for no daemon's code

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from layerstore.archive.archive import Archive, DirectoryArchive, StreamingArchive
from layerstore.archive.docker import MANIFEST, read_docker_archive
from layerstore.archive.engines.documents import ManifestDirectory
from layerstore.archive.engines.transport import Given, given_transport, is_image_id
from layerstore.archive.image import Found
from layerstore.archive.legacy import read_legacy_archive
from layerstore.archive.oci import read_oci_layout
from layerstore.archive.open import ArchiveSource, Spooled, open_archive
from layerstore.archive.read import read_images
from layerstore.archive.wanted import Wanted
from layerstore.drivers.errors import InvalidArgument, InvalidImage
from layerstore.drivers.model.limits import Limits

_Reader = Callable[[Archive, Wanted, Limits], Found]


@dataclass(frozen=True, slots=True)
class Opened:
    """An archive, and how what is wanted of it is read."""

    archive: Archive
    wanted: Wanted
    limits: Limits
    reader: _Reader
    layers: StreamingArchive | None = None
    """The archive, where its layers come as streams."""

    def images(self) -> Found:
        """Read the images that are wanted. Raises InvalidImage, IntegrityError, LimitExceeded."""
        return self.reader(self.archive, self.wanted, self.limits)


def open_images(
    source: ArchiveSource,
    wanted: Wanted,
    spool: str,
    limits: Limits,
    spooled: Spooled | None = None,
) -> Opened:
    """Open a path, a stream, or what a text with a transport says; see open_archive.

    Raises what that does, InvalidArgument for a transport that isn't known or what it doesn't
    take, EngineError where a daemon has no such image.
    """
    given = given_transport(source)
    if given is None:
        archive = open_archive(source, spool, limits, spooled)
        return Opened(archive, wanted, limits, read_images)
    if given.reference is not None and wanted.reference is not None:
        reason = f"it says which image itself, and {wanted.reference!r} is another word of it"
        raise InvalidArgument(given.text, reason)
    if given.transport == "docker-daemon":
        return _from_daemon(given, wanted, spool, limits, spooled)
    if given.transport == "containers-storage":
        from layerstore.archive.engines.storage import StorageArchive

        storage = StorageArchive(given, spool, limits.max_bytes)
        return Opened(storage, wanted, limits, read_images, storage)
    meant = replace(wanted, reference=given.reference or wanted.reference)
    if given.transport == "dir":
        return Opened(ManifestDirectory(given.path), meant, limits, _read_layout)
    if given.transport == "oci":
        return Opened(DirectoryArchive(given.path), meant, limits, _read_layout)
    reader = _read_layout if given.transport == "oci-archive" else _read_docker
    # A path, however it looks, from here on.
    return Opened(open_archive(given.path, spool, limits, spooled), meant, limits, reader)


def _read_layout(archive: Archive, wanted: Wanted, _limits: Limits) -> Found:
    return read_oci_layout(archive, wanted)


def _read_docker(archive: Archive, wanted: Wanted, limits: Limits) -> Found:
    if archive.size(MANIFEST) is not None:
        return read_docker_archive(archive, wanted)
    return read_legacy_archive(archive, wanted, limits)


def _from_daemon(
    given: Given, wanted: Wanted, spool: str, limits: Limits, spooled: Spooled | None
) -> Opened:
    from layerstore.archive.engines.daemon import Daemon

    asked = given.reference or ""
    with Daemon().saved(asked) as answer:
        archive = open_archive(answer, spool, limits, spooled, given.text)
    name = None if is_image_id(asked) or "@" in asked else asked

    def reader(archive: Archive, wanted: Wanted, limits: Limits) -> Found:
        return _named_only(read_images(archive, wanted, limits), name, given.text)

    return Opened(archive, wanted, limits, reader)


def _named_only(found: Found, name: str | None, label: str) -> Found:
    """Keep the images of a name, and of their names this; all of them, nameless, for None."""
    kept = []
    for image in found.images:
        if name is None or name in image.names:
            names = () if name is None else (name,)
            kept.append(replace(image, names=names, refused=(), annotations=()))
    if not kept:
        raise InvalidImage(label, "the daemon gave no image of that name")
    found.images = kept
    return found
