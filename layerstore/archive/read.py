"""Reading an archive whatever its kind.

Owns the choice: a `manifest.json` is docker's, and has the names where both are there; else an
`index.json` is an OCI layout's.
"""

from __future__ import annotations

from layerstore.archive.archive import Archive
from layerstore.archive.docker import MANIFEST, read_docker_archive
from layerstore.archive.image import Found
from layerstore.archive.layout import INDEX
from layerstore.archive.oci import read_oci_layout
from layerstore.archive.wanted import Wanted
from layerstore.drivers.errors import InvalidImage


def read_images(archive: Archive, wanted: Wanted) -> Found:
    """Read the images that are wanted; see read_docker_archive and read_oci_layout."""
    if archive.size(MANIFEST) is not None:
        return read_docker_archive(archive, wanted)
    if archive.size(INDEX) is not None:
        return read_oci_layout(archive, wanted)
    reason = f"neither {MANIFEST} of docker nor {INDEX} of an OCI layout is in it"
    raise InvalidImage(archive.label, reason)
