"""The read-only layers of a store: register, get, release, map and reopening."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import threading
from pathlib import Path

import pytest

from layerstore import (
    CallerError,
    DriverError,
    IntegrityError,
    InvalidTar,
    Layer,
    LayerDoesNotExist,
    LayerNotRetained,
    LayerStore,
    Limits,
    MaxDepthExceeded,
    Region,
)
from tests.conftest import OpenStore
from tests.support.homes import directories_of
from tests.support.tars import layer_tar, many_files
from tests.support.ways.fixtures import WAYS

NO_LAYER = "sha256:" + "0" * 64
MAX_DEPTH = Limits().max_layers


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def chain(parent: Layer, tar: bytes) -> str:
    return digest(f"{parent.chain_id} {digest(tar)}".encode())


def test_a_base_layer_is_named_by_the_digest_of_its_tar(store: LayerStore) -> None:
    tar = layer_tar({"file": b"content"})
    layer = store.register(tar)
    assert str(layer.diff_id) == str(layer.chain_id) == digest(tar)
    assert layer.parent is None
    assert layer.size == layer.diff_size == len(b"content")


def test_a_chain_id_is_the_digest_of_the_parents_and_the_diff_id(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"}))
    tar = layer_tar({"b": b"22"})
    layer = store.register(tar, base.chain_id)
    assert layer.chain_id == chain(base, tar)
    assert layer.parent == base.chain_id
    assert (layer.diff_size, layer.size) == (2, 3)


def test_the_registered_tar_comes_back_to_the_bit(store: LayerStore) -> None:
    tar = many_files(250)
    layer = store.register(tar)
    with layer.tar_stream() as stream:
        assert stream.read() == tar


def test_a_layer_keeps_the_descriptor_it_was_registered_with(open_store: OpenStore) -> None:
    store = open_store()
    layer = store.register(layer_tar({}), descriptor='{"size":1}')
    assert layer.descriptor == '{"size":1}'
    store.close()
    assert open_store().get(layer.chain_id).descriptor == '{"size":1}'


def test_registering_what_is_there_returns_the_existing_layer(store: LayerStore) -> None:
    tar = many_files(20)
    first, second = store.register(tar), store.register(tar)
    facts = store.map()
    assert list(facts) == [first.chain_id]
    assert facts[first.chain_id].references == 2
    assert second.chain_id == first.chain_id
    store.drain()
    assert len(directories_of(store)) == 1


def test_the_same_layer_registered_at_once_is_made_once(store: LayerStore) -> None:
    tar = many_files(50)
    layers: list[Layer] = []
    threads = [
        threading.Thread(target=lambda: layers.append(store.register(tar))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {layer.chain_id for layer in layers} == {digest(tar)}
    assert store.map()[layers[0].chain_id].references == 8
    store.drain()
    assert len(directories_of(store)) == 1


def test_an_unknown_parent_is_refused(store: LayerStore) -> None:
    with pytest.raises(LayerDoesNotExist) as caught:
        store.register(layer_tar({}), NO_LAYER)
    assert caught.value.name == NO_LAYER
    assert directories_of(store) == set()


def test_a_chain_can_be_125_layers_deep_and_no_deeper(open_store: OpenStore) -> None:
    store = open_store(durability="relaxed")
    layer = store.register(layer_tar({"f0": b"0"}))
    for number in range(1, MAX_DEPTH):
        layer = store.register(layer_tar({f"f{number}": b"x"}), layer.chain_id)
    with pytest.raises(MaxDepthExceeded):
        store.register(layer_tar({"more": b""}), layer.chain_id)
    with store.create_rw_layer("deep", layer.chain_id) as rw, rw.mounted() as path:
        assert len(os.listdir(path)) == MAX_DEPTH


def test_each_get_is_a_reference_of_its_own(store: LayerStore) -> None:
    first = store.register(layer_tar({"f": b"1"}))
    second = store.get(first.chain_id)
    assert store.release(first) == []
    with pytest.raises(LayerNotRetained):
        store.release(first)
    removed = store.release(second)
    assert [layer.chain_id for layer in removed] == [first.chain_id]
    assert store.map() == {}


def test_releasing_what_is_gone_returns_nothing(store: LayerStore) -> None:
    layer = store.register(layer_tar({"f": b"1"}))
    store.release(layer)
    assert store.release(layer) == []


def test_the_last_release_removes_the_chain_top_first(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"}))
    middle = store.register(layer_tar({"b": b"1"}), base.chain_id)
    top = store.register(layer_tar({"c": b"1"}), middle.chain_id)
    assert store.release(base) == []
    assert store.release(middle) == []
    removed = store.release(top)
    assert [layer.chain_id for layer in removed] == [
        top.chain_id,
        middle.chain_id,
        base.chain_id,
    ]
    store.drain()
    assert directories_of(store) == set()


def test_a_failed_removal_leaves_the_layer_retained(store: LayerStore) -> None:
    layer = store.register(layer_tar({"a": b"1"}))
    trash = Path(store.root, "layerstore/trash")
    store.drain()
    trash.rmdir()
    trash.write_bytes(b"no directory")
    with pytest.raises(DriverError):
        layer.release()
    trash.unlink()
    trash.mkdir()
    with layer.tar_stream() as stream:
        assert stream.read()
    with store.create_rw_layer("web", layer.chain_id) as rw, rw.mounted() as path:
        assert os.listdir(path) == ["a"]
    assert [found.chain_id for found in layer.release()] == [layer.chain_id]
    assert store.map() == {}


def test_a_removal_without_a_trash_fails_too(store: LayerStore) -> None:
    layer = store.register(layer_tar({"a": b"1"}))
    store.drain()
    trash = Path(store.root, "layerstore/trash")
    trash.rmdir()
    with pytest.raises(DriverError):
        layer.release()
    trash.mkdir()
    assert [found.chain_id for found in layer.release()] == [layer.chain_id]
    assert directories_of(store) == set()


def test_a_parent_that_is_retained_stays(store: LayerStore) -> None:
    base = store.register(layer_tar({"a": b"1"}))
    top = store.register(layer_tar({"b": b"1"}), base.chain_id)
    assert [layer.chain_id for layer in store.release(top)] == [top.chain_id]
    assert store.map()[base.chain_id].references == 1


def test_a_reference_of_another_store_is_not_held(
    store: LayerStore, tmp_path_factory: pytest.TempPathFactory
) -> None:
    layer = store.register(layer_tar({"a": b"1"}))
    with (
        LayerStore(tmp_path_factory.mktemp("other"), driver="vfs") as other,
        pytest.raises(LayerNotRetained),
    ):
        other.release(layer)


def test_layers_survive_reopening_without_references(open_store: OpenStore) -> None:
    store = open_store()
    base = store.register(layer_tar({"a": b"1"}))
    tar = layer_tar({"b": b"22"})
    top = store.register(tar, base.chain_id)
    store.close()
    store = open_store()
    facts = store.map()
    assert {name: layer.references for name, layer in facts.items()} == {
        base.chain_id: 1,
        top.chain_id: 0,
    }
    again = store.get(top.chain_id)
    assert (again.size, again.diff_size, again.parent) == (3, 2, base.chain_id)
    with again.tar_stream() as stream:
        assert stream.read() == tar
    assert len(store.release(again)) == 2


@pytest.mark.ways(*WAYS, why="a tar goes another way to the owner from each", variants=5)
@pytest.mark.parametrize("kind", ["path", "descriptor", "file", "stream", "region"])
def test_a_tar_may_come_from(kind: str, store: LayerStore, tmp_path: object) -> None:
    tar = many_files(30)
    path = os.path.join(str(tmp_path), "layers")
    with open(path, "wb") as file:
        file.write(b"skip" + tar + b"rest" if kind == "region" else tar)
    with open(path, "rb") as file:
        sources = {
            "path": path,
            "descriptor": file.fileno(),
            "file": file,
            "stream": io.BytesIO(tar),
            "region": Region(path, 4, len(tar)),
        }
        assert store.register(sources[kind]).diff_id == digest(tar)  # type: ignore[arg-type]


def test_a_file_is_read_from_where_it_stands(store: LayerStore, tmp_path: object) -> None:
    tar = layer_tar({"f": b"1"})
    path = os.path.join(str(tmp_path), "layers")
    with open(path, "wb") as file:
        file.write(b"head" + tar)
    with open(path, "rb") as file:
        assert file.read(4) == b"head"
        assert store.register(file).diff_id == digest(tar)


def test_one_layers_stream_can_feed_another_store(
    store: LayerStore, tmp_path_factory: pytest.TempPathFactory
) -> None:
    layer = store.register(many_files(30))
    with (
        LayerStore(tmp_path_factory.mktemp("other"), driver="vfs") as other,
        layer.tar_stream() as stream,
    ):
        assert other.register(stream).diff_id == layer.diff_id


def test_more_streams_than_workers_can_be_read_side_by_side(open_store: OpenStore) -> None:
    store = open_store(workers=1)
    tars = [many_files(40, size=size) for size in range(1, 7)]
    streams = [store.register(tar).tar_stream() for tar in tars]
    read = [bytearray() for _ in streams]
    while any(not stream.closed for stream in streams):
        for stream, content in zip(streams, read, strict=True):
            if not stream.closed:
                chunk = stream.read(1000)
                content.extend(chunk)
                if not chunk:
                    stream.close()
    assert [bytes(content) for content in read] == tars


def test_a_stream_that_is_not_read_to_its_end_can_be_closed(store: LayerStore) -> None:
    layer = store.register(many_files(500, size=500))
    with layer.tar_stream() as stream:
        assert stream.read(100)
    assert [found.chain_id for found in store.release(layer)] in ([layer.chain_id], [])


def test_a_stream_is_read_in_pieces_of_any_size(store: LayerStore) -> None:
    tar = many_files(40, size=3000)
    layer = store.register(tar)
    with layer.tar_stream() as stream:
        assert stream.read(0) == b""
        assert stream.read(1) + stream.read(512) + stream.read() == tar
        assert (stream.read(5), stream.read(), stream.readinto(bytearray(3))) == (b"", b"", 0)
    with pytest.raises(ValueError, match="closed"):
        stream.read(1)


def test_a_stream_ends_in_an_error_when_the_disk_has_changed(store: LayerStore) -> None:
    layer = store.register(layer_tar({"dir/file": b"content"}))
    place = layer.metadata().get("UpperDir") or layer.metadata()["Dir"]
    with open(f"{place}/dir/file", "wb") as file:
        file.write(b"CONTENT")
    for size in (-1, 1 << 16):
        with layer.tar_stream() as stream, pytest.raises(IntegrityError) as caught:
            shutil.copyfileobj(stream, io.BytesIO(), size)
    assert layer.chain_id in str(caught.value) or "dir/file" in str(caught.value)


@pytest.mark.parametrize("content", [b"garbage" * 1000, many_files(20)[:5000]])
def test_what_is_no_whole_tar_is_refused_and_leaves_nothing(
    content: bytes, store: LayerStore
) -> None:
    with pytest.raises(InvalidTar):
        store.register(content)
    store.drain()
    assert store.map() == {}
    assert directories_of(store) == set()
    assert _transactions(store) == []


def test_a_source_that_fails_leaves_nothing(store: LayerStore) -> None:
    tar = many_files(200, size=100)

    class Failing:
        position = 0

        def read(self, _size: int, /) -> bytes:
            if self.position > len(tar) // 2:
                raise ValueError("the line is cut")
            chunk = tar[self.position : self.position + 1000]
            self.position += len(chunk)
            return chunk

    with pytest.raises(CallerError, match="the line is cut"):
        store.register(Failing())
    assert store.map() == {}
    assert directories_of(store) == set()


def test_an_unexpected_digest_is_refused_and_leaves_nothing(store: LayerStore) -> None:
    tar = many_files(20)
    with pytest.raises(IntegrityError) as caught:
        store.register(tar, expected_diff_id=NO_LAYER)
    assert (caught.value.expected, caught.value.actual) == (NO_LAYER, digest(tar))
    with pytest.raises(IntegrityError):
        store.register(tar, expected_digest=NO_LAYER)
    store.drain()
    assert store.map() == {}
    assert directories_of(store) == set()
    assert store.register(tar, expected_diff_id=digest(tar), expected_digest=digest(tar))


def _transactions(store: LayerStore) -> list[str]:
    return os.listdir(f"{store.root}/image/{store.driver_name}/layerdb/tmp")
