"""Reading an archive whatever its kind.

Owns the choice: a `manifest.json` is docker's, and has the names where both are there; else an
`index.json` is an OCI layout's; else folders with a `json` each are what docker wrote before 1.10.
"""

from __future__ import annotations

from layerstore.archive.archive import Archive
from layerstore.archive.docker import MANIFEST, read_docker_archive
from layerstore.archive.image import Found
from layerstore.archive.layout import INDEX
from layerstore.archive.legacy import is_legacy, read_legacy_archive
from layerstore.archive.oci import read_oci_layout
from layerstore.archive.wanted import Wanted
from layerstore.drivers.errors import InvalidImage
from layerstore.drivers.model.limits import Limits


def read_images(archive: Archive, wanted: Wanted, limits: Limits) -> Found:
    """Read the images that are wanted; see the functions that it calls."""
    if archive.size(MANIFEST) is not None:
        return read_docker_archive(archive, wanted)
    if archive.size(INDEX) is not None:
        return read_oci_layout(archive, wanted)
    if is_legacy(archive):
        return read_legacy_archive(archive, wanted, limits)
    reason = f"neither {MANIFEST} of docker nor {INDEX} of an OCI layout is in it"
    raise InvalidImage(archive.label, reason)
