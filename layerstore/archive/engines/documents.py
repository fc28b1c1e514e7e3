"""Archives that nobody wrote as one: a document or two of ours over files that lie there.

Owns such documents, and an image of `dir:` shown as an OCI layout. Source: containers-transports(5)
of "dir:path": a manifest in `manifest.json` (those that an index lists in `HEX.manifest.json`), and
blobs named by the hex digits of their digests.
"""

from __future__ import annotations

import contextlib
import hashlib

import msgspec

from layerstore.archive.archive import DirectoryArchive, read_blob
from layerstore.archive.layout import INDEX
from layerstore.asking.source import Region, in_memory
from layerstore.drivers.model.image_config import MAX_CONFIG

MANIFEST = "manifest.json"


class ManifestDirectory:
    """What lies at `dir:DIR`, as an Archive with the layout of OCI."""

    def __init__(self, path: str) -> None:
        """Open the directory and read its manifest. Raises DriverError, InvalidImage."""
        self._files = DirectoryArchive(path)
        self.label = f"dir:{path}"
        self._files.label = self.label
        try:
            manifest = read_blob(self._files, MANIFEST, MAX_CONFIG)
        except BaseException:
            self.close()
            raise
        digest = hashlib.sha256(manifest).hexdigest()
        self._manifest = f"blobs/sha256/{digest}"
        described = {"digest": f"sha256:{digest}", "size": len(manifest)}
        self._index = msgspec.json.encode({"schemaVersion": 2, "manifests": [described]})

    def size(self, name: str) -> int | None:
        """See Archive."""
        return len(self._index) if name == INDEX else self._files.size(self._file(name))

    def open(self, name: str) -> contextlib.AbstractContextManager[Region]:
        """See Archive."""
        return in_memory(self._index) if name == INDEX else self._files.open(self._file(name))

    def folders(self) -> list[str]:
        """See Archive."""
        return []

    def close(self) -> None:
        """See Archive."""
        self._files.close()

    def _file(self, name: str) -> str:
        """Return the file of a blob."""
        if name == self._manifest:
            return MANIFEST
        digits = name.rpartition("/")[2]
        listed = f"{digits}.{MANIFEST}"
        return listed if self._files.size(listed) is not None else digits
