"""What tests of images load, and how they see what a store has of it afterwards."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from layerstore import LayerStore
from tests.support.archives import as_tar, digest_of, docker_archive
from tests.support.homes import directories_of, home_of
from tests.support.tars import layer_tar

BASE = layer_tar({"etc": None, "etc/name": b"base", "bin": None, "bin/sh": b"#!", "gone": b"x"})
TOP = layer_tar({"etc/name": b"top", ".wh.gone": b""})
LAYERS = [BASE, TOP]

Members = dict[str, bytes]


def load(store: LayerStore, members: dict[str, bytes]) -> str:
    (image,) = store.images.load(io.BytesIO(as_tar(members)))
    return image.id


def files_of(store: LayerStore, image: str) -> dict[str, bytes]:
    """Return the regular files of an image by path."""
    rw = store.images.create("looking", image)
    found = {}
    with rw.mounted() as path:
        for place, _, names in os.walk(path):
            for name in names:
                file = Path(place, name)
                found[str(file.relative_to(path))] = file.read_bytes()
    rw.release()
    return found


def disk(store: LayerStore) -> list[str]:
    """Name what layers and images take on the disk."""
    store.drain()
    home = Path(store.root, "image", store.driver_name)
    driver = home_of(store.root, store.driver_name)
    places = ["layerdb/sha256", "layerdb/tmp", "imagedb/content/sha256", "imagedb/metadata/sha256"]
    found = [path for place in places for path in (home / place).iterdir()]
    found += [driver / name for name in directories_of(store)]
    found += Path(store.root, "layerstore/tmp").glob("*")
    return sorted(str(path) for path in found)


def docker(change: Callable[[dict[str, Any]], object] = lambda _: None) -> Members:
    """Return a docker archive whose manifest entry was changed."""
    members = docker_archive(LAYERS)
    (entry,) = json.loads(members["manifest.json"])
    change(entry)
    return {**members, "manifest.json": json.dumps([entry]).encode()}


def together(*layouts: Members) -> Members:
    """Return one layout with the images of several."""
    members: Members = {}
    listed: list[Any] = []
    for layout in layouts:
        members |= layout
        listed += json.loads(layout["index.json"])["manifests"]
    members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": listed}).encode()
    return members


def blob(content: bytes) -> str:
    return "blobs/sha256/" + digest_of(content)[7:]


def described(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def changed(members: Members, change: Any) -> Members:
    """Return a layout whose one descriptor and manifest were changed, digests made to fit."""
    index = json.loads(members["index.json"])
    (descriptor,) = index["manifests"]
    manifest = json.loads(members["blobs/sha256/" + descriptor["digest"][7:]])
    change(descriptor, manifest, members)
    content = json.dumps(manifest).encode()
    descriptor |= {"digest": digest_of(content), "size": len(content)}
    members["blobs/sha256/" + descriptor["digest"][7:]] = content
    members["index.json"] = json.dumps(index).encode()
    return members
