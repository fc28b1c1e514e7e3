"""Configurations that docker can read, and those for which it would list no image of a root.

dockerd is asked the same in `tests/docker`.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from layerstore import InvalidArgument, InvalidImage, LayerStore
from tests.images.test_images_odd import load
from tests.support.archives import docker_archive
from tests.support.tars import layer_tar

LAYER = layer_tar({"etc": None, "etc/hostname": b"case"})
OTHER = layer_tar({"f": b"2"})

REFUSED: list[dict[str, Any]] = [
    {"created": "yesterday"},
    {"created": ""},
    {"created": "2024-01-02 03:04:05"},
    {"created": "2024-01-02t03:04:05Z"},
    {"created": "2024-01-02T03:04:05z"},
    {"created": "2024-01-02T24:00:00Z"},
    {"created": "2024-02-30T03:04:05Z"},
    {"created": "2024-01-02T03:04:05.\u0663Z"},
    {"created": 5},
    {"history": [{"created": "x"}]},
    {"history": [{"created": "2024-01-02t03:04:05z"}]},
    {"history": [{"empty_layer": "true"}]},
    {"history": {}},
    {"id": 5},
    {"parent": 5},
    {"container": 5},
    {"Size": "5"},
    {"size": 1.5},
    {"os.version": 10},
    {"os.features": "win32k"},
    {"container_config": []},
    {"config": []},
    {"config": {"ExposedPorts": ["80/tcp"]}},
    {"config": {"exposedports": ["80/tcp"]}},
    {"config": {"ExposedPorts": {"80/tcp": 1}}},
    {"config": {"Env": "A=1"}},
    {"config": {"Env": {"A": "1"}}},
    {"config": {"Volumes": ["/x"]}},
    {"config": {"Labels": ["a"]}},
    {"config": {"Labels": {"a": 1}}},
    {"config": {"User": 1000}},
    {"config": {"Cmd": [1]}},
    {"config": {"Cmd": {}}},
    {"config": {"Entrypoint": 5}},
    {"config": {"WorkingDir": ["/"]}},
    {"config": {"Hostname": 1}},
    {"config": {"Domainname": 1}},
    {"config": {"AttachStdin": "no"}},
    {"config": {"AttachStdout": 0}},
    {"config": {"AttachStderr": []}},
    {"config": {"Tty": "true"}},
    {"config": {"tty": 1}},
    {"config": {"OpenStdin": "false"}},
    {"config": {"StdinOnce": 1}},
    {"config": {"ArgsEscaped": "true"}},
    {"config": {"NetworkDisabled": "true"}},
    {"config": {"Image": 1}},
    {"config": {"MacAddress": 1}},
    {"config": {"OnBuild": "RUN x"}},
    {"config": {"Shell": 5}},
    {"config": {"StopSignal": 9}},
    {"config": {"StopTimeout": "5"}},
    {"config": {"StopTimeout": 5.5}},
    {"config": {"StopTimeout": 1 << 64}},
    {"config": {"Healthcheck": []}},
    {"config": {"Healthcheck": {"Test": "x"}}},
    {"config": {"Healthcheck": {"Interval": "5s"}}},
    {"config": {"Healthcheck": {"Retries": 1 << 63}}},
]
"""What is in the configuration; docker fails with each."""

READ: list[dict[str, Any]] = [
    {"created": None},
    {"created": "0001-01-01T00:00:00Z"},
    {"created": "2024-01-02T03:04:05.123456789+02:00"},
    {"id": "x", "parent": None, "container": "y", "Size": 5, "os.version": "1", "os.features": []},
    {"config": None},
    {"config": {"Cmd": "sh", "Entrypoint": None, "ExposedPorts": {"80/tcp": None}, "x": [1]}},
    {"config": {"Healthcheck": {"Test": ["CMD", "x"]}, "StopTimeout": -5}},
    {"config": {"Tty": True, "OpenStdin": None, "Image": "", "MacAddress": "x", "Shell": "sh"}},
    {"config": {"StopTimeout": (1 << 63) - 1}},
    {"history": [{"created": "2024-01-02T03:04:05Z", "empty_layer": True}]},
    {"history": [None]},
    {"history": [{"created_by": "x", "empty_layer": True}, None]},
]


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LayerStore]:
    """One store for all that it doesn't take, with the workers that it keeps."""
    if os.geteuid() != 0:
        pytest.skip("vfs keeps owners and device nodes, which needs root")
    root = tmp_path_factory.mktemp("refusing")
    with LayerStore(root, driver="vfs", durability="relaxed", prespawn=False) as store:
        load(store, docker_archive([LAYER], ["app:1"]))
        yield store


@pytest.mark.parametrize("fields", REFUSED, ids=str)
def test_an_image_that_docker_could_not_list_is_left_out(
    refusing: LayerStore, fields: dict[str, Any]
) -> None:
    store = refusing
    odd = docker_archive([OTHER], ["odd:1"], **fields)
    with pytest.raises(InvalidImage, match="configuration: "):
        load(store, odd)
    good = docker_archive([LAYER], ["app:1"])
    both = {**odd, **good}
    entries = [json.loads(one["manifest.json"])[0] for one in (odd, good)]
    entries[0]["Layers"], both["other.tar"] = ["other.tar"], OTHER
    both["manifest.json"] = json.dumps(entries).encode()
    images, (note,) = load(store, both)
    assert [image.tags for image in images] == [("app:1",)]
    assert "configuration: " in note
    assert [image.tags for image in store.images.list()] == [("app:1",)]


@pytest.mark.parametrize("fields", READ, ids=str)
def test_what_docker_reads_is_taken(store: LayerStore, fields: dict[str, Any]) -> None:
    (image,), notes = load(store, docker_archive([OTHER], ["odd:1"], **fields))
    assert (image.tags, notes) == (("odd:1",), [])


@pytest.mark.parametrize("created", ["yesterday", "2024-01-02t03:04:05z", "2024-01-02"])
def test_no_image_is_made_at_a_time_that_docker_could_not_read(
    store: LayerStore, created: str
) -> None:
    base = store.images.import_tar(io.BytesIO(LAYER), "base:1", created="2024-01-02T03:04:05Z")
    assert base.created == "2024-01-02T03:04:05Z"
    with pytest.raises(InvalidArgument, match="a time is of RFC 3339"):
        store.images.import_tar(io.BytesIO(LAYER), created=created)
    with pytest.raises(InvalidArgument, match="a time is of RFC 3339"):
        store.images.flatten("base:1", created=created)
    with store.images.create("rw", "base:1") as rw:
        with pytest.raises(InvalidArgument, match="a time is of RFC 3339"):
            store.images.commit(rw, created=created)
        with pytest.raises(InvalidArgument, match="a time is of RFC 3339"):
            store.images.flatten_rw_layer(rw, created=created)
    assert len(store.images.list()) == 1
