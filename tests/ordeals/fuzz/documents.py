"""Images: configurations, manifests and indexes, alone and in archives of every layout."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.model.image_config import image_id_of, parse_config, parse_json
from tests.support.archives import config_of, docker_archive, oci_layout
from tests.support.tars import layer_tar

LONGEST = 4096


def seeds() -> Iterator[bytes]:
    layer = layer_tar({"f": b"1"})
    yield config_of([layer])
    yield config_of([], history=[{"created_by": "x", "empty_layer": True}], variant="v8")
    for members in (docker_archive([layer]), oci_layout([layer])):
        for content in members.values():
            if content.startswith((b"{", b"[")):
                yield content
    yield b"[" * 1000
    yield json.dumps({"rootfs": {"diff_ids": ["sha256:" + "0" * 64]}, "config": None}).encode()


def prepare(directory: Path) -> None:
    """Need nothing."""


def run(data: bytes) -> None:
    """Parse a configuration; what is accepted has a child that is accepted."""
    with contextlib.suppress(LayerStoreError):
        parse_json(data, "a document")
    try:
        facts = parse_config(data, "fuzz")
    except LayerStoreError:
        return
    assert facts.image_id == image_id_of(data)
    assert all(len(diff_id) == 71 for diff_id in facts.diff_ids)
