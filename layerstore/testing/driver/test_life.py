"""The life of layers: made, shown, changed, removed, several at once, with IDs that are none."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore.drivers.errors import DriverError, InvalidArgument, InvalidName
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.ids import new_id
from layerstore.testing.driver.making import changes, make_layer, make_read_write, names
from layerstore.testing.driver.trees import read_tree


def test_the_life_cycle_of_the_manual(driver: GraphDriver, trash: str) -> None:
    base = make_layer(driver, None, {"a": b"1", "dir": None, "dir/b": b"2"})
    top = make_layer(driver, base, {"c": b"3", "dir/.wh.b": b""})
    layer = make_read_write(driver, top)
    path = driver.get(layer)
    assert names(path) == ["a", "c", "dir"]
    assert names(f"{path}/dir") == []
    Path(path, "new").write_bytes(b"4")
    os.unlink(f"{path}/a")
    assert changes(driver, layer, top) == ["D /a", "A /new"]
    driver.put(layer)
    assert changes(driver, layer, top) == ["D /a", "A /new"]
    for layer_id in (layer, top, base):
        assert driver.exists(layer_id)
        driver.remove(layer_id, trash)
        assert not driver.exists(layer_id)
        assert layer_id not in set(driver.ids())
        driver.remove(layer_id, trash)


def test_a_parent_is_never_changed(driver: GraphDriver) -> None:
    base = make_layer(driver, None, {"dir": None, "dir/file": b"base", "gone": b"1"})
    before = read_tree(driver.tree(base).root)
    layer = make_read_write(driver, base)
    path = driver.get(layer)
    Path(path, "dir/file").write_bytes(b"changed")
    os.unlink(f"{path}/gone")
    os.chmod(f"{path}/dir", 0o700)
    driver.put(layer)
    assert read_tree(driver.tree(base).root) == before


def test_a_chain_of_126_layers_is_mounted(driver: GraphDriver, trash: str) -> None:
    parent = make_layer(driver, None, {"file-0": b"0"})
    chain = [parent]
    for number in range(1, 126):
        parent = make_layer(driver, parent, {f"file-{number}": b"x"})
        chain.append(parent)
    layer = make_read_write(driver, parent)
    path = driver.get(layer)
    assert len(names(path)) == 126
    Path(path, "file-0").write_bytes(b"changed")
    assert changes(driver, layer, parent) == ["C /file-0"]
    driver.put(layer)
    for layer_id in [layer, *reversed(chain)]:
        driver.remove(layer_id, trash)


def test_different_layers_may_be_used_at_once(driver: GraphDriver, trash: str) -> None:
    base = make_layer(driver, None, {f"file-{number}": b"x" for number in range(50)})

    def use(number: int) -> list[str]:
        layer = make_read_write(driver, base)
        path = driver.get(layer)
        Path(path, f"own-{number}").write_bytes(b"1")
        found = changes(driver, layer, base)
        driver.put(layer)
        driver.remove(layer, trash)
        return found

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(use, range(40)))
    assert found == [[f"A /own-{number}"] for number in range(40)]
    assert driver.mounted() == set()


def test_what_is_mounted_is_told(driver: GraphDriver) -> None:
    base = make_layer(driver, None, {"a": b"1"})
    layer = make_read_write(driver, base)
    assert not driver.may_be_mounted(layer)
    driver.get(layer)
    assert driver.mounted() == ({layer} if "MergedDir" in driver.metadata(layer) else set())
    assert driver.may_be_mounted(layer) == (layer in driver.mounted())
    driver.put(layer)
    driver.put(layer)
    assert driver.mounted() == set()
    assert not driver.may_be_mounted(layer)


def test_the_same_id_twice_is_an_error(driver: GraphDriver) -> None:
    layer = make_layer(driver, None, {"a": b"1"})
    with pytest.raises(DriverError) as caught:
        driver.create(layer, None)
    assert caught.value.path.endswith(layer)
    assert names(driver.tree(layer).root) == ["a"]


def test_an_unknown_parent_leaves_nothing(driver: GraphDriver) -> None:
    layer = new_id()
    with pytest.raises(Exception, match=r"[0-9a-f]{64}"):
        driver.create(layer, new_id())
    assert not driver.exists(layer)


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".", "l", "A" * 64, "a" * 63])
def test_what_is_no_id_never_becomes_a_path(name: str, driver: GraphDriver, trash: str) -> None:
    uses: tuple[Callable[[], object], ...] = (
        lambda: driver.create(name, None),
        lambda: driver.get(name),
        lambda: driver.put(name),
        lambda: driver.remove(name, trash),
        lambda: driver.tree(name),
        lambda: driver.exists(name),
    )
    for use in uses:
        with pytest.raises(InvalidName):
            use()


def test_what_a_crash_left_is_among_the_ids(driver: GraphDriver) -> None:
    home = Path(driver.home)
    half_made = new_id()
    (home / half_made).mkdir()
    assert half_made in set(driver.ids())
    (home / half_made).rmdir()


def test_what_is_removed_lies_in_the_trash_whole(driver: GraphDriver, trash: str) -> None:
    layer = make_layer(driver, None, {"dir": None, "dir/file": b"content"})
    inode = os.stat(driver.tree(layer).root).st_ino
    before = set(os.listdir(trash))
    driver.remove(layer, trash)
    (moved,) = set(os.listdir(trash)) - before
    inodes = {os.stat(path).st_ino for path, _, _ in os.walk(f"{trash}/{moved}")}
    assert inode in inodes  # renamed, not copied
    assert layer not in set(driver.ids())


def test_what_is_still_mounted_is_removed_with_its_mount(driver: GraphDriver, trash: str) -> None:
    base = make_layer(driver, None, {"a": b"1"})
    layer = make_read_write(driver, base)
    driver.get(layer)
    driver.remove(layer, trash)
    assert driver.mounted() == set()
    assert not driver.exists(layer)


def test_what_was_written_is_there_when_it_is_mounted_again(driver: GraphDriver) -> None:
    base = make_layer(driver, None, {"a": b"1", "b": b"1"})
    layer = make_read_write(driver, base)
    for number in range(3):
        path = Path(driver.get(layer))
        assert len(names(str(path))) == 2 + number
        (path / f"new-{number}").write_bytes(b"1" * 100_000)
        driver.put(layer)
    assert changes(driver, layer, base) == ["A /new-0", "A /new-1", "A /new-2"]


def test_another_object_on_the_same_home_is_the_same_driver(
    driver: GraphDriver, opened: Callable[[], GraphDriver]
) -> None:
    base = make_layer(driver, None, {"a": b"1"})
    layer = make_read_write(driver, base)
    path = driver.get(layer)
    other = opened()
    assert (other.name, other.home, other.copies) == (driver.name, driver.home, driver.copies)
    assert other.mounted() == driver.mounted()
    assert set(other.ids()) == set(driver.ids())
    Path(path, "b").write_bytes(b"1")
    assert changes(other, layer, base) == ["A /b"]
    other.put(layer)
    assert driver.mounted() == set()


def test_a_root_is_prepared_and_tidied_again_and_again(driver: GraphDriver) -> None:
    layer = make_layer(driver, None, {"a": b"1"})
    for _ in range(2):
        driver.prepare()
        driver.tidy()
        assert names(driver.tree(layer).root) == ["a"]
    assert list(driver.faults({layer: None})) == []


def test_many_layers_are_made_and_removed_near(driver: GraphDriver, trash: str) -> None:
    base = make_layer(driver, None, {"a": b"1"})
    made = [new_id() for _ in range(5)]
    with driver.near() as near:
        for layer in made:
            for path in near.create_read_write(layer, base):
                assert os.path.lexists(path)
        for layer in made[1:]:
            near.remove(layer, trash)
    assert set(made) & set(driver.ids()) == {made[0]}
    assert names(driver.get(made[0])) == ["a"]
    driver.put(made[0])


@pytest.mark.parametrize("key", ["unheard-of", "size,x", "../x", ""])
def test_a_storage_option_that_nobody_knows_is_refused(driver: GraphDriver, key: str) -> None:
    layer = new_id()
    with pytest.raises(InvalidArgument):
        driver.create_read_write(layer, None, storage_opt={key: "1"})
    assert not driver.exists(layer)


def test_what_is_told_of_a_driver_is_text(driver: GraphDriver) -> None:
    layer = make_layer(driver, None, {"a": b"1"})
    assert all(isinstance(text, str) for pair in driver.status() for text in pair)
    assert all(isinstance(text, str) for pair in driver.metadata(layer).items() for text in pair)
