"""A sandbox becomes an image of one layer, whatever its chain, and nothing else is left."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import (
    AsyncLayerStore,
    InvalidImage,
    InvalidName,
    LayerStore,
    Limits,
    MaxDepthExceeded,
    Sandbox,
)
from tests.sandbox.boxes.looking import noted
from tests.support.busybox import NAME, image_tar

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]
ENV = {"PATH": "/bin"}
_OPTIONS = {"driver": "overlay2", "workers": 0, "durability": "relaxed"}


@pytest.fixture
def store(base_directory: Path) -> Iterator[LayerStore]:
    """One whose image has as many layers as there may be."""
    root = tempfile.mkdtemp(prefix="flat-", dir=base_directory)
    with LayerStore(root, limits=Limits(max_layers=1), **_OPTIONS) as opened:  # type: ignore[arg-type]
        opened.images.load(io.BytesIO(image_tar()))
        yield opened


@pytest.fixture
def box(store: LayerStore) -> Iterator[Sandbox]:
    with store.sandbox(NAME, env=ENV, name="agent") as made:
        yield made


def test_it_is_flattened_where_it_can_not_be_committed(store: LayerStore, box: Sandbox) -> None:
    box.exec(["sh", "-c", "echo state > /srv/state; rm /etc/group; sleep 60 >/dev/null 2>&1 &"])
    with pytest.raises(MaxDepthExceeded):
        box.commit("state:1")
    image = box.flatten("state:1")
    assert len(image.layers) == 1
    assert [mount.name for mount in store.mounts()] == ["agent"]
    assert noted(store) == ["agent"]
    assert b"sleep" in (box.exec(["ps"]).stdout or b"")
    with store.sandbox("state:1", env=ENV) as again:
        assert again.read_file("/srv/state") == b"state\n"
        assert "group" not in {entry.name for entry in again.list_directory("/etc")}
        again.write_file("/srv/state", b"more")
        assert again.flatten("state:2").layers != image.layers
    assert store.images.config("state:2")["config"] == store.images.config(NAME)["config"]


def test_mount_points_are_no_part_of_it(store: LayerStore, box: Sandbox) -> None:
    flat = store.images.flatten(NAME, "flat:1")
    same = box.flatten("same:1")
    assert same.layers == flat.layers


def test_what_fails_leaves_nothing(store: LayerStore, box: Sandbox) -> None:
    with pytest.raises(InvalidName):
        box.flatten("UPPER")
    box.write_file("/srv/.wh.name", b"")
    with pytest.raises(InvalidName, match=r"\.wh\.name"):
        box.flatten("state:1")
    assert [mount.name for mount in store.mounts()] == ["agent"]
    assert noted(store) == ["agent"]
    assert len(store.images.list()) == 1
    assert len(store.map()) == 1
    store.images.remove(NAME, force=True)
    with pytest.raises(InvalidImage, match="agent"):
        box.flatten("state:1")


def test_a_task_that_is_cancelled_leaves_one_or_none(base_directory: Path) -> None:
    async def test() -> None:
        root = tempfile.mkdtemp(prefix="aio-flat-", dir=base_directory)
        async with AsyncLayerStore(root, **_OPTIONS) as store:
            await store.images.load(io.BytesIO(image_tar()))
            async with store.sandbox(NAME, env=ENV) as box:
                task = asyncio.create_task(box.flatten("state:1"))
                while len(await store.mounts()) < 2:
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                while len(await store.mounts()) > 1:  # it goes on to its end
                    await asyncio.sleep(0)
                await box.flatten("state:2")
                assert (await box.exec(["true"])).status == 0
            names = {name for image in await store.images.list() for name in image.names}
            assert names >= {"state:2", NAME}
            assert await store.mounts() == []

    asyncio.run(test())
