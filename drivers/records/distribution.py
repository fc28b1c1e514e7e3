"""Which blob of a registry holds which layer: `image/<driver>/distribution` in Docker's format.

Owns two maps: `diffid-by-digest/<algorithm>/<hex>` has the diff ID of a blob's content, and
`v2metadata-by-diffid/<algorithm>/<hex>` the blobs that a layer was seen as, with the repository of
each, the newest last. Both only save work: whatever is wrong with a record, it is as if there were
none. moby's equivalent is distribution/metadata.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable

import msgspec
from msgspec import Struct

from layerstore.drivers.errors import DriverError, InvalidMetadata, InvalidName
from layerstore.drivers.model.ids import DiffID, blob_digest, diff_id
from layerstore.drivers.model.reference import parse_reference
from layerstore.drivers.system.durable import make_directories, remove_temporaries, write_file
from layerstore.drivers.system.small_file import names_in, read_metadata

_log = logging.getLogger("layerstore")
_MAX_BLOBS = 50
"""Of one layer; the oldest is forgotten first. moby: maxMetadata."""
_MAX_RECORD = 256 << 10
_MAX_DIFF_ID = 128
_DIFF_BY_BLOB = "diffid-by-digest"
_BLOBS_BY_DIFF = "v2metadata-by-diffid"
_MODE = 0o644
_DIRECTORY_MODE = 0o755


class KnownBlob(Struct, frozen=True):
    """A blob that a layer was pulled or pushed as."""

    digest: str
    source_repository: str
    """Where it was seen, with its host, as in `docker.io/library/alpine`."""


class _Entry(Struct, frozen=True):
    """A blob as docker records it; an HMAC tells dockerd by whose credentials it was seen."""

    digest: str = msgspec.field(name="Digest")
    source_repository: str = msgspec.field(name="SourceRepository", default="")
    hmac: str = msgspec.field(name="HMAC", default="")


class DistributionRecords:
    """The records beneath one root, for one driver; `durable` asks for fsync on writes.

    Threads and processes that learn of one layer at once may forget what one of them has learnt.
    """

    def __init__(self, root: str, driver: str, *, durable: bool) -> None:
        self.home = f"{root}/image/{driver}/distribution"
        self._durable = durable

    def diff_of(self, blob: str) -> DiffID | None:
        """Return the diff ID of a blob's content, where it is known. Raises InvalidName."""
        content = self._read(_DIFF_BY_BLOB, blob_digest(blob), _MAX_DIFF_ID)
        try:
            return diff_id(content.decode("ascii")) if content is not None else None
        except (InvalidName, UnicodeDecodeError):
            return None

    def blobs_of(self, diff: DiffID) -> list[KnownBlob]:
        """Return the blobs that a layer is known as, the newest first."""
        found: dict[KnownBlob, None] = {}
        for entry in reversed(self._entries(diff)):
            with contextlib.suppress(InvalidName):
                blob_digest(entry.digest)
                if parse_reference(entry.source_repository).is_repository:
                    found[KnownBlob(entry.digest, entry.source_repository)] = None
        return list(found)

    def learn(self, diff: DiffID, blob: str, source_repository: str) -> None:
        """Record that a repository has a layer as this blob, as the newest one. Idempotent.

        `source_repository` is a canonical name. Raises InvalidName, InvalidMetadata, DriverError.
        """
        new = _Entry(blob_digest(blob), source_repository)
        others = [entry for entry in self._entries(diff) if entry != new]
        kept = [*others, new][-_MAX_BLOBS:]
        self._write(_BLOBS_BY_DIFF, diff, msgspec.json.encode(kept))
        self._write(_DIFF_BY_BLOB, blob, diff.encode())
        for digest in {entry.digest for entry in others} - {entry.digest for entry in kept}:
            self._remove_blob(digest)

    def forget(self, diff: DiffID, blob: KnownBlob) -> None:
        """Take away that a repository has a layer as this blob: it hasn't any more.

        What dockerd has recorded by credentials stays, as they may see more. Idempotent. Raises
        InvalidMetadata, DriverError.
        """
        entries = self._entries(diff)
        gone = _Entry(blob.digest, blob.source_repository)
        if gone in entries:
            entries.remove(gone)
            self._write(_BLOBS_BY_DIFF, diff, msgspec.json.encode(entries))

    def tidy(self, is_there: Callable[[DiffID], bool]) -> None:
        """Remove what a crash has left, and what is recorded of layers that are gone.

        What can't be read or removed stays, and is logged.
        """
        try:
            for kind in (_BLOBS_BY_DIFF, _DIFF_BY_BLOB):
                directories = self._directories(kind)
                if not _linked(directories):
                    with contextlib.suppress(FileNotFoundError):
                        remove_temporaries(directories[-1])
            for name in names_in(self._directories(_BLOBS_BY_DIFF)[-1]):
                self._tidy_layer(f"sha256:{name}", is_there)
        except (OSError, DriverError) as error:
            _log.warning("records of what registries have stay as they are: %s", error)

    def _tidy_layer(self, text: str, is_there: Callable[[DiffID], bool]) -> None:
        try:
            diff = diff_id(text)
        except InvalidName:
            return  # somebody else's file
        if not is_there(diff):
            for entry in self._entries(diff):
                self._remove_blob(entry.digest)
            self._unlink(_BLOBS_BY_DIFF, diff)

    # Files

    def _entries(self, diff: DiffID) -> list[_Entry]:
        content = self._read(_BLOBS_BY_DIFF, diff, _MAX_RECORD)
        if content is None:
            return []
        try:
            return msgspec.json.decode(content, type=list[_Entry])[-_MAX_BLOBS:]
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return []

    def _remove_blob(self, digest: str) -> None:
        with contextlib.suppress(InvalidName):
            self._unlink(_DIFF_BY_BLOB, blob_digest(digest))

    def _directories(self, kind: str, digest: str = "sha256:") -> tuple[str, str, str]:
        algorithm = digest.partition(":")[0]
        return self.home, f"{self.home}/{kind}", f"{self.home}/{kind}/{algorithm}"

    def _read(self, kind: str, digest: str, limit: int) -> bytes | None:
        directories = self._directories(kind, digest)
        path = f"{directories[-1]}/{digest.partition(':')[2]}"
        try:
            return None if _linked(directories) else read_metadata(path, limit)
        except (InvalidMetadata, DriverError) as error:
            _log.warning("a record of what registries have can't be used: %s", error)
            return None

    def _write(self, kind: str, digest: str, content: bytes) -> None:
        directories = self._directories(kind, digest)
        if link := _linked(directories):
            raise InvalidMetadata(link, "a symbolic link")
        make_directories(self.home, durable=self._durable)
        make_directories(directories[-1], durable=self._durable, mode=_DIRECTORY_MODE)
        path = f"{directories[-1]}/{digest.partition(':')[2]}"
        write_file(path, content, durable=self._durable, mode=_MODE)

    def _unlink(self, kind: str, digest: str) -> None:
        directories = self._directories(kind, digest)
        if _linked(directories):
            return
        try:
            os.unlink(f"{directories[-1]}/{digest.partition(':')[2]}")
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("a record of what registries have stays: %s", error)


def _linked(paths: tuple[str, ...]) -> str | None:
    """Return the first that is a symbolic link, which is none of docker's making."""
    return next((path for path in paths if os.path.islink(path)), None)
