"""An image of one layer shows what its many layers showed, and fails without leaving anything."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from layerstore import (
    CallerError,
    ImageDoesNotExist,
    InvalidName,
    LayerStore,
    Limits,
    MaxDepthExceeded,
    RWLayer,
)
from layerstore.images.export import export
from tests.conftest import OpenStore
from tests.images.samples import disk
from tests.support.tars import layer_tar
from tests.support.waiting import wait_until

CHANGES = ("ENV A=b", 'CMD ["sh"]', "USER 7", "LABEL l=m", "WORKDIR /srv", "ONBUILD RUN x")
CAPABILITY = b"\x01\x00\x00\x02\x00\x20\x00\x00" + bytes(12)
HOLE = 8 << 20
MADE = "2026-01-01T00:00:00Z"


def shown(store: LayerStore, image: str) -> bytes:
    """Return the tar of the tree that is seen when an image is mounted."""
    with store.images.create("looking", image) as rw:
        export(store, rw, out := io.BytesIO())
    return out.getvalue()


def commit(store: LayerStore, base: str, name: str) -> None:
    """Add a layer with a file."""
    with store.images.create("adding", base) as rw:
        rw.apply_diff(layer_tar({name.replace(":", "-"): b"more"}))
        store.images.commit(rw, name)


@pytest.fixture
def odd(store: LayerStore) -> str:
    """An image of three layers with all that is odd in layers."""
    base = layer_tar({"etc": None, "etc/gone": b"x", "opaque": None, "opaque/old": b"y"})
    store.images.import_tar(io.BytesIO(base), "odd:1", changes=CHANGES, platform="linux/arm64/v8")
    with store.images.create("odd", "odd:1") as rw:
        with rw.mounted() as path:
            fill(Path(path))
        store.images.commit(rw, "odd:2")
    with store.images.create("odd", "odd:2") as rw:
        covered = {"etc/.wh.gone": b"", "opaque/.wh..wh..opq": b"", "opaque/new": b"z"}
        rw.apply_diff(layer_tar(covered))
        store.images.commit(rw, "odd:3")
    return "odd:3"


def fill(root: Path) -> None:
    (root / "one").write_bytes(b"linked")
    os.link(root / "one", root / "opaque/two")
    os.link(root / "one", root / "etc/three")
    with open(root / "holes", "wb") as file:
        file.truncate(HOLE)
        file.write(b"x")
    os.chown(root / "one", 1234, 5678)
    os.setxattr(root / "one", "security.capability", CAPABILITY)
    os.symlink("/nowhere", root / "link")
    os.mkfifo(root / "fifo", 0o4640)


@pytest.mark.root
@pytest.mark.each_driver
def test_a_flat_image_shows_the_same(store: LayerStore, odd: str) -> None:
    if store.driver_name == "fuse-overlayfs":
        pytest.skip("fuse-overlayfs copies up one name of a file that has several")
    seen: list[tuple[str, int, int]] = []
    flat = store.images.flatten(odd, "flat:1", progress=lambda *told: seen.append(told))
    assert len(flat.layers) == 1
    assert (flat.names, flat.parent) == (("flat:1",), None)
    assert shown(store, "flat:1") == shown(store, odd)
    assert seen[-1][0] == "Flattening"
    assert 0 < seen[-1][1] <= seen[-1][2]
    layer = store.get(flat.layers[0])
    with store.create_rw_layer("looking", layer.chain_id) as rw, rw.mounted() as path:
        assert os.stat(f"{path}/holes").st_blocks * 512 < HOLE / 2
        assert os.stat(f"{path}/one").st_nlink == 2
    layer.release()
    assert store.check(full=True) == []


def test_configuration_and_history_are_kept(store: LayerStore) -> None:
    base = io.BytesIO(layer_tar({"f": b"1"}))
    store.images.import_tar(base, "odd:1", changes=CHANGES, platform="linux/arm64/v8")
    commit(store, "odd:1", "odd:2")
    before = store.images.config("odd:2")
    flat = store.images.flatten("odd:2", created=MADE)
    after = store.images.config(flat.id)
    changed = ("rootfs", "history", "created")
    assert {key: after[key] for key in after if key not in changed} == {
        key: before[key] for key in before if key not in changed
    }
    steps = [{**step, "empty_layer": True} for step in before["history"]]
    said = f"create new from {store.images.get('odd:2').id}"
    last = {"created": MADE, "created_by": "layerstore flatten", "comment": said}
    assert after["history"] == [*steps, last]
    assert flat.created == MADE


def test_equal_content_is_an_equal_layer(store: LayerStore) -> None:
    store.images.import_tar(io.BytesIO(layer_tar({"b": b"1", "a": b"2"})), "one:1")
    store.images.import_tar(io.BytesIO(layer_tar({"b": b"1"})), "two:1")
    with store.images.create("two", "two:1") as rw:
        rw.apply_diff(layer_tar({"a": b"2"}))
        store.images.commit(rw, "two:2")
    flat = store.images.flatten("one:1")
    assert store.images.flatten("two:2").layers == flat.layers
    assert store.images.flatten(flat.id).layers == flat.layers
    with store.images.create("two", "two:2") as rw:
        assert store.images.flatten_rw_layer(rw).layers == flat.layers


def test_a_chain_without_room_goes_on(open_store: OpenStore) -> None:
    store = open_store(limits=Limits(max_layers=2))
    store.images.import_tar(io.BytesIO(layer_tar({"f": b"1"})), "deep:1")
    commit(store, "deep:1", "deep:2")
    with pytest.raises(MaxDepthExceeded):
        commit(store, "deep:2", "deep:3")
    store.images.flatten("deep:2", "deep:2")
    commit(store, "deep:2", "deep:3")
    with store.images.create("adding", "deep:3") as rw:
        rw.apply_diff(layer_tar({"last": b"4"}))
        store.images.flatten_rw_layer(rw, "deep:4")
    assert len(store.images.get("deep:4").layers) == 1
    for name in (b"f\0", b"deep-2\0", b"deep-3\0", b"last\0"):
        assert name in shown(store, "deep:4")


def test_what_is_empty_has_no_layer(store: LayerStore) -> None:
    store.images.import_tar(io.BytesIO(bytes(1024)), "empty:1")
    none = store.images.flatten("empty:1")
    assert none.layers == []
    assert store.images.flatten(none.id).history[-1].empty_layer is True
    with store.create_rw_layer("empty") as rw:
        assert store.images.flatten_rw_layer(rw).layers == []


def test_what_fails_leaves_nothing(store: LayerStore, tmp_path: Path) -> None:
    store.images.import_tar(io.BytesIO(layer_tar({"f": b"1", "g": b"2"})), "app:1")
    before = disk(store)

    def stop(*_told: object) -> None:
        raise ZeroDivisionError("no more")

    with pytest.raises(CallerError, match="no more"):
        store.images.flatten("app:1", "flat:1", progress=stop)
    with pytest.raises(ImageDoesNotExist):
        store.images.flatten("none:1")
    with pytest.raises(InvalidName):
        store.images.flatten("app:1", "UPPER")
    assert [image.names for image in store.images.list()] == [("app:1",)]
    assert disk(store) == before


def interrupted(rw: RWLayer, store: LayerStore) -> None:
    def stop(*_told: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.images.flatten_rw_layer(rw, "flat:1", progress=stop)


def test_an_interrupt_leaves_nothing(store: LayerStore) -> None:
    store.images.import_tar(io.BytesIO(layer_tar({"f": b"1"})), "app:1")
    with store.images.create("web", "app:1") as rw:
        before = disk(store)
        interrupted(rw, store)
        wait_until(lambda: disk(store) == before)  # an engine of its own undoes it by itself
    assert [image.names for image in store.images.list()] == [("app:1",)]
