"""What the `index.json` of an archive calls images that docker's `manifest.json` lists too.

Owns that question only; such an archive is read as docker's, and what is broken in its other half
is nobody's loss. Source: `docker save` since 25, BuildKit's docker exporter, and our own save.
"""

from __future__ import annotations

from layerstore.archive.archive import Archive, read_blob
from layerstore.archive.layout import INDEX, MANIFESTS, Index, Manifest, blob_of, decode
from layerstore.drivers.errors import InvalidImage, LimitExceeded
from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.image_config import MAX_CONFIG

_MOST = 1000


def called_in_index(archive: Archive) -> dict[str, list[Annotations]]:
    """Return what annotations call each image, by the digest of its configuration."""
    found: dict[str, list[Annotations]] = {}
    configs: dict[str, str] = {}
    if archive.size(INDEX) is None:
        return found
    try:
        content = read_blob(archive, INDEX, MAX_CONFIG)
        for descriptor in decode(content, Index, INDEX).manifests[:_MOST]:
            if descriptor.naming and descriptor.media_type in MANIFESTS:
                blob = blob_of(descriptor, archive.label)
                if blob not in configs:
                    manifest = decode(read_blob(archive, blob, MAX_CONFIG), Manifest, blob)
                    configs[blob] = manifest.config.digest
                found.setdefault(configs[blob], []).append(descriptor.naming)
    except (InvalidImage, LimitExceeded):
        return {}
    return found
