"""Layers that are thrown away: what is in them lives as long as is told, and goes in one step."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import DriverError, InvalidArgument, InvalidMetadata, LayerDoesNotExist
from layerstore.drivers.graph.choose import open_driver
from layerstore.drivers.graph.overlay2.mount import MountOptions, mount_overlay, unmount
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.root.trash import prepare_trash, trash_path
from layerstore.drivers.system.mountinfo import MountPoint, mount_points
from layerstore.drivers.upkeep.recovery import prepare_root
from tests.support.tars import layer_tar
from tests.support.ways.opening import Opening

pytestmark = pytest.mark.root
MIB = 1 << 20
SCRATCH = ("disk", "memory")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def driver(root: Path) -> Iterator[GraphDriver]:
    prepare_root(str(root), durable=True)
    prepare_trash(trash_path(str(root)))
    found, _ = open_driver("overlay2", str(root), durable=True)
    found.prepare()
    yield found
    for layer_id in list(found.ids()):
        found.remove(layer_id, trash_path(str(root)))
    assert mounts(root) == []


@pytest.fixture
def base(driver: GraphDriver) -> str:
    layer_id = new_id()
    driver.create(layer_id, None)
    tar = layer_tar({"file": b"base", "dir": None, "dir/below": b"1"})
    driver.apply_diff(layer_id, None, io.BytesIO(tar))
    return layer_id


def mounts(root: Path) -> list[MountPoint]:
    return [point for point in mount_points() if point.path.startswith(f"{root}/")]


def make(driver: GraphDriver, parent: str | None, **options: str) -> str:
    layer_id = new_id()
    unsynced = driver.create_read_write(layer_id, parent, storage_opt=options)
    assert bool(unsynced) == ("scratch" not in options)
    return layer_id


def make_empty_files(path: str, number: int) -> None:
    for name in range(number):
        os.mknod(f"{path}/{name}")


def changes(driver: GraphDriver, layer_id: str, parent: str | None) -> list[str]:
    return [str(change) for change in driver.changes(layer_id, parent)]


@pytest.mark.parametrize("scratch", SCRATCH)
def test_what_is_written_outlives_an_unmount_but_no_removal(
    scratch: str, driver: GraphDriver, base: str, root: Path
) -> None:
    layer = make(driver, base, scratch=scratch)
    path = driver.get(layer)
    Path(path, "new").write_bytes(b"12")
    os.unlink(f"{path}/file")
    assert changes(driver, layer, base) == ["D /file", "A /new"]
    driver.put(layer)
    assert driver.mounted() == set()
    assert changes(driver, layer, base) == ["D /file", "A /new"]
    assert driver.diff_size(layer, base) == 2
    out = io.BytesIO()
    driver.diff(layer, base, out)
    assert b"new" in out.getvalue()
    assert sorted(os.listdir(driver.get(layer))) == ["dir", "new"]
    driver.put(layer)
    driver.remove(layer, trash_path(str(root)))
    assert mounts(root) == []
    assert not driver.exists(layer)


def test_a_scratch_layer_on_the_disk_is_mounted_volatile(driver: GraphDriver, base: str) -> None:
    layer = make(driver, base, scratch="disk")
    path = driver.get(layer)
    (mount,) = [point for point in mount_points() if point.path == path]
    assert {"volatile", "fsync=volatile"} & set(mount.options.split(","))
    driver.put(layer)


def test_an_init_layer_of_one_in_memory_lies_on_the_disk(
    driver: GraphDriver, base: str, root: Path
) -> None:
    layer = new_id()
    init = f"{layer}-init"
    asked = {"scratch": "memory", "size": "1m"}
    assert driver.create_read_write(init, base, storage_opt=asked) == []
    Path(driver.get(init), "made").touch()
    driver.put(init)
    assert mounts(root) == []
    driver.create_read_write(layer, init, storage_opt=asked)
    assert "made" in os.listdir(driver.get(layer))
    driver.put(layer)


@pytest.mark.parametrize("parent", [True, False], ids=["mounted", "by itself"])
def test_a_size_in_memory_is_a_bound_and_the_rest_is_unharmed(
    parent: bool, driver: GraphDriver, base: str
) -> None:
    on = base if parent else None
    layer = make(driver, on, scratch="memory", size="1m")
    path = driver.get(layer)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        Path(path, "much").write_bytes(bytes(2 * MIB))
    os.unlink(f"{path}/much")
    Path(path, "little").write_bytes(bytes(MIB // 2))
    driver.put(layer)
    assert changes(driver, layer, on) == ["A /little"]


def test_files_without_content_are_bounded_too(driver: GraphDriver, base: str) -> None:
    layer = make(driver, base, scratch="memory", size="64k")
    path = driver.get(layer)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        make_empty_files(path, 5000)
    driver.put(layer)


def test_a_layer_that_is_full_of_files_is_mounted_and_reset(
    driver: GraphDriver, base: str, root: Path
) -> None:
    layer = make(driver, base, scratch="memory", size="64k")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        make_empty_files(driver.get(layer), 5000)
    driver.put(layer)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        Path(driver.get(layer), "more").touch()
    driver.put(layer)
    driver.reset(layer, new_id(), base, trash_path(str(root)))
    assert changes(driver, layer, base) == []
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        make_empty_files(driver.get(layer), 5000)
    driver.put(layer)


def test_what_a_reset_that_was_cut_off_leaves_in_memory_goes(
    driver: GraphDriver, base: str, root: Path
) -> None:
    layer = make(driver, base, scratch="memory", size="1m")
    memory = Path(driver.home, layer, "memory")
    trash = trash_path(str(root))
    for clean in (driver.tidy, lambda: driver.reset(layer, new_id(), base, trash)):
        Path(memory, new_id()).mkdir()
        clean()
        assert sorted(os.listdir(memory)) == ["diff", "work"]


@pytest.mark.parametrize("scratch", SCRATCH)
def test_what_was_made_before_the_machine_was_started_can_only_be_removed(
    scratch: str, driver: GraphDriver, base: str, root: Path
) -> None:
    layer = make(driver, base, scratch=scratch)
    (root / "overlay2" / layer / "layerstore-boot").write_text("another life")
    for use in (
        lambda: driver.get(layer),
        lambda: driver.changes(layer, base),
        lambda: driver.diff_size(layer, base),
        lambda: driver.diff(layer, base, io.BytesIO()),
    ):
        with pytest.raises(DriverError, match=r"before the machine was started.*removed") as caught:
            use()
        assert caught.value.errno == errno.ESTALE
    assert not driver.may_be_mounted(layer) or scratch == "memory"
    assert driver.metadata(layer)["MergedDir"]


@pytest.mark.parametrize("lost", ["layerstore-options.json", "layerstore-boot", "both"])
def test_what_a_power_loss_leaves_is_never_taken_for_a_whole_layer(
    lost: str, driver: GraphDriver, base: str, root: Path
) -> None:
    layer = make(driver, base, scratch="disk")
    for name in ("layerstore-options.json", "layerstore-boot", "lower"):
        if lost in (name, "both"):
            (root / "overlay2" / layer / name).unlink()
    again, _ = open_driver("overlay2", str(root), durable=True)
    for use in (lambda: again.get(layer), lambda: again.tree(layer)):
        with pytest.raises(DriverError, match="before the machine was started"):
            use()
    assert "before the machine" in str(again.metadata(layer)) or lost == "layerstore-boot"
    again.put(layer)


def test_a_scratch_layer_of_which_nothing_is_left_is_removed(opening: Opening) -> None:
    store = opening.store(driver="overlay2")
    rw = store.create_rw_layer("job", storage_opt={"scratch": "disk"})
    shutil.rmtree(Path(store.root, "overlay2", rw.mount_id))
    assert [fault.about[0] for fault in store.check()] == [rw.mount_id] * len(store.check())
    rw.release()
    assert store.check() == []


def test_memory_that_somebody_has_unmounted_is_told_of(driver: GraphDriver, base: str) -> None:
    layer = make(driver, base, scratch="memory")
    unmount(f"{driver.home}/{layer}/memory")
    os.mkdir(f"{driver.home}/{layer}/memory")
    os.mkdir(f"{driver.home}/{layer}/memory/diff")
    with pytest.raises(DriverError, match=r"memory is gone"):
        driver.get(layer)
    assert not os.path.lexists(f"{driver.home}/{layer}/merged/file")


def test_what_is_kept_of_a_layer_may_be_unreadable_when_it_is_removed(
    driver: GraphDriver, base: str, root: Path
) -> None:
    layer = make(driver, base, scratch="memory")
    kept = root / "overlay2" / layer / "layerstore-options.json"
    kept.write_bytes(b"{")
    again, _ = open_driver("overlay2", str(root), durable=True)
    with pytest.raises(InvalidMetadata, match=kept.name):
        again.get(layer)
    again.put(layer)
    again.remove(layer, trash_path(str(root)))
    assert mounts(root) == []


def test_a_layer_that_fails_to_be_made_leaves_nothing(driver: GraphDriver, root: Path) -> None:
    before = sorted(os.listdir(driver.home)), os.listdir(f"{driver.home}/l")
    unmade = new_id()
    with pytest.raises(LayerDoesNotExist):
        driver.create_read_write(unmade, new_id(), storage_opt={"scratch": "memory"})
    with pytest.raises(InvalidArgument, match="disk, memory"):
        driver.create_read_write(unmade, None, storage_opt={"scratch": "tape"})
    assert (sorted(os.listdir(driver.home)), os.listdir(f"{driver.home}/l")) == before
    assert mounts(root) == []


@pytest.mark.parametrize("options", [{}, {"scratch": "memory"}], ids=["ordinary", "memory"])
def test_a_chain_of_300_layers_is_mounted(
    options: dict[str, str], driver: GraphDriver, root: Path
) -> None:
    parent, made = None, []
    for number in range(300):
        made.append(new_id())
        driver.create(made[-1], parent)
        Path(driver.tree(made[-1]).root, str(number)).touch()
        parent = made[-1]
    layer = make(driver, parent, **options)
    path = driver.get(layer)
    os.unlink(f"{path}/0")
    assert len(os.listdir(path)) == 299
    driver.put(layer)
    assert changes(driver, layer, parent) == ["D /0"]


def test_more_layers_than_a_page_of_options_holds_are_mounted(tmp_path: Path) -> None:
    home = tmp_path / "a,home:with\\signs"
    lowers = []
    for number in range(300):
        directory = home / f"{number:026}"
        directory.mkdir(parents=True)
        (directory / str(number)).touch()
        lowers.append(directory.name)
    for name in ("upper", "work", "merged"):
        (home / name).mkdir()
    merged, options = str(home / "merged"), MountOptions.probe()
    mount_overlay(str(home), merged, options, lowers=lowers, upper="upper", work="work")
    try:
        assert len(os.listdir(merged)) == 300
        (home / "merged" / "new").touch()
    finally:
        unmount(merged)
    assert os.listdir(home / "upper") == ["new"]
    (home / "merged").mkdir()
    with pytest.raises(DriverError, match="600 lower directories"):
        mount_overlay(str(home), merged, options, lowers=lowers * 2)
    mount_overlay(str(home), merged, options, lowers=lowers)
    unmount(merged)
