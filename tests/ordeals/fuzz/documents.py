"""Images: configurations, manifests and indexes, alone and in archives of every layout."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from layerstore.archive.foreign import source_kept
from layerstore.archive.v1_config import config_of_v1, read_v1, step_of
from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.model.image_config import EMPTY_LAYER, image_id_of, parse_config, parse_json
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
    for version in ("1.8.2", "1.9.1"):
        process: dict[str, object] = {
            "Cmd": ["a"],
            "Env": None,
            "ExposedPorts": {"80/tcp": {}},
            "Tty": True,
        }
        old = {"id": "0", "parent": "1", "created": "2015-01-02T03:04:05.600Z", "author": "<&>"}
        both = {"config": process, "container_config": process, "docker_version": version}
        yield json.dumps({**old, **both}).encode()
    yield b'{"mediaType": "x", "size": 1, "digest": "sha256:0", "urls": ["https://example.org"]}'
    yield b"[" * 1000
    yield json.dumps({"rootfs": {"diff_ids": ["sha256:" + "0" * 64]}, "config": None}).encode()


def prepare(directory: Path) -> None:
    """Need nothing."""


def run(data: bytes) -> None:
    """Parse a configuration, and a layer's of old docker, of which one is made that is accepted."""
    with contextlib.suppress(LayerStoreError):
        parse_json(data, "a document")
    source_kept(data.decode(errors="replace"))
    with contextlib.suppress(LayerStoreError):
        image = read_v1(data, "a layer")
        made = parse_config(config_of_v1(data, image, [EMPTY_LAYER], [step_of(image)]), "made")
        assert made.diff_ids == (EMPTY_LAYER,)
        assert len(made.history) == 1
    try:
        facts = parse_config(data, "fuzz")
    except LayerStoreError:
        return
    assert facts.image_id == image_id_of(data)
    assert all(len(diff_id) == 71 for diff_id in facts.diff_ids)
