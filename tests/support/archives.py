"""Image archives for tests: docker archives and OCI layouts, as tars or directories."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

NAME = "test/app:1"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def config_of(layers: Sequence[bytes], **fields: Any) -> bytes:
    """Return the configuration of an image with these (uncompressed) layer tars."""
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-02T03:04:05.678Z",
        "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        **fields,
    }
    return json.dumps(document).encode()


def docker_archive(
    layers: Sequence[bytes],
    names: Sequence[str] = (NAME,),
    *,
    compress: Callable[[bytes], bytes] = bytes,
    **config: Any,
) -> dict[str, bytes]:
    """Return the members of a docker archive with one image."""
    content = config_of(layers, **config)
    config_name = digest_of(content).removeprefix("sha256:") + ".json"
    members = {config_name: content}
    blobs = []
    for number, layer in enumerate(layers):
        blobs.append(f"{number}/layer.tar")
        members[blobs[-1]] = compress(layer)
    entry = {"Config": config_name, "RepoTags": list(names), "Layers": blobs}
    members["manifest.json"] = json.dumps([entry]).encode()
    return members


def oci_layout(
    layers: Sequence[bytes],
    annotations: Mapping[str, str] | None = None,
    *,
    compress: Callable[[bytes], bytes] = bytes,
    suffix: str = "",
    **config: Any,
) -> dict[str, bytes]:
    """Return the files of an OCI layout with one image; `suffix` ends its layers' media type."""
    members = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def add(content: bytes, media_type: str) -> dict[str, Any]:
        digest = digest_of(content)
        members["blobs/sha256/" + digest.removeprefix("sha256:")] = content
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    manifest = {
        "schemaVersion": 2,
        "config": add(config_of(layers, **config), _CONFIG),
        "layers": [add(compress(layer), _LAYER + suffix) for layer in layers],
    }
    described = add(json.dumps(manifest).encode(), _MANIFEST)
    if annotations is not None:
        described["annotations"] = dict(annotations)
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [described]}
    members["index.json"] = json.dumps(index).encode()
    return members


def as_tar(members: Mapping[str, bytes]) -> bytes:
    """Pack members into a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def as_directory(members: Mapping[str, bytes], place: Path) -> Path:
    """Write members into a directory."""
    for name, content in members.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place
