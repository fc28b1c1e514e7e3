"""What lies in a layer's subvolume goes with it, whatever its user has made of it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from layerstore import DriverError, DriverNotSupported, InvalidMetadata
from layerstore.drivers.graph.btrfs.driver import BtrfsDriver
from layerstore.drivers.graph.choose import open_driver
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.root.trash import prepare_trash, sweep, trash_path
from layerstore.drivers.system.mountinfo import mount_paths
from layerstore.drivers.tree.subvolumes import fill_in
from layerstore.drivers.upkeep.recovery import prepare_root
from tests.graph.btrfs import layers

pytestmark = pytest.mark.root


def test_a_layer_is_a_subvolume_and_shares_what_it_has(driver: BtrfsDriver) -> None:
    base = layers.image_of(driver, {"big": b"x" * (4 * layers.MIB)})
    _, path = layers.layer_on(driver, base)
    assert os.stat(path).st_ino == 256
    assert os.stat(path).st_dev != os.stat(driver.tree(base).root).st_dev
    layers.commit(path)
    told = subprocess.run(
        ["btrfs", "filesystem", "du", "-s", "--raw", path],
        capture_output=True,
        text=True,
        check=True,
    )
    total, exclusive = map(int, told.stdout.splitlines()[-1].split()[:2])
    assert (total, exclusive) == (4 * layers.MIB, 0)


def test_all_that_is_in_a_removed_layer_goes(driver: BtrfsDriver, place: Path, trash: str) -> None:
    before = layers.subvolumes_of(str(place))
    base = layers.image_of(driver, {"dir": None, "dir/file": b"1"})
    layer, path = layers.layer_on(driver, base)
    deepest = path
    for _ in range(5):
        deepest = layers.make_subvolume(f"{deepest}/nested")
        os.mkdir(f"{deepest}/directory")
        deepest += "/directory"
    layers.make_snapshot(path, f"{path}/dir/snapshot")
    layers.make_read_only(f"{path}/dir/snapshot")
    for layer_id in (layer, base):
        driver.remove(layer_id, trash)
    sweep(trash)
    assert os.listdir(trash) == []
    assert layers.subvolumes_of(str(place)) == before


def test_a_sweep_takes_nothing_that_lies_elsewhere(
    driver: BtrfsDriver, place: Path, trash: str
) -> None:
    outside = Path(layers.make_subvolume(str(place / "outside")))
    (outside / "file").write_bytes(b"1")
    layer, path = layers.layer_on(driver, None)
    _, other_path = layers.layer_on(driver, None)
    Path(other_path, "file").write_bytes(b"2")
    layers.make_subvolume(f"{other_path}/nested")
    layers.make_snapshot(str(outside), f"{path}/of-outside")
    os.symlink(outside, f"{path}/link")
    os.symlink(other_path, f"{path}/of-outside/link")
    driver.remove(layer, trash)
    sweep(trash)
    assert (outside / "file").read_bytes() == b"1"
    assert sorted(os.listdir(other_path)) == ["file", "nested"]
    shutil.rmtree(outside)


def test_a_layer_that_its_user_made_read_only_can_be_removed(
    driver: BtrfsDriver, trash: str
) -> None:
    layer, path = layers.layer_on(driver, None)
    layers.make_read_only(path)
    with pytest.raises(OSError, match="Read-only"):
        Path(path, "file").touch()
    driver.remove(layer, trash)
    sweep(trash)
    assert os.listdir(trash) == []
    assert not driver.exists(layer)


def test_subvolumes_in_a_layer_are_directories_to_its_diff(driver: BtrfsDriver) -> None:
    base = layers.image_of(driver, {"a": b"1"})
    layer, path = layers.layer_on(driver, base)
    Path(layers.make_subvolume(f"{path}/nested"), "file").write_bytes(b"2")
    found = [str(change) for change in driver.changes(layer, base)]
    assert found == ["A /nested", "A /nested/file"]


def test_no_file_is_linked_or_renamed_from_one_layer_to_another(driver: BtrfsDriver) -> None:
    _, one = layers.layer_on(driver, None)
    _, other = layers.layer_on(driver, None)
    Path(one, "file").touch()
    for call in (os.link, os.rename):
        with pytest.raises(OSError, match="cross-device") as caught:
            call(f"{one}/file", f"{other}/file")
        assert caught.value.errno == errno.EXDEV


def test_a_root_that_was_copied_by_files_is_gone_on_with(
    driver: BtrfsDriver, place: Path, root: str
) -> None:
    base = layers.image_of(driver, {"a": b"1", "dir": None, "dir/b": b"2"})
    subprocess.run(["cp", "-a", root, place / "copied"], check=True)
    copy, _ = open_driver("btrfs", str(place / "copied"), durable=False)
    copy.prepare()
    layer = new_id()
    copy.create_read_write(layer, base)
    path = copy.get(layer)
    assert os.stat(path).st_ino == 256
    assert Path(path, "dir/b").read_bytes() == b"2"
    assert list(copy.changes(layer, base)) == []
    shutil.rmtree(place / "copied")


def test_a_home_that_is_mounted_on_itself_is_laid_bare(
    driver: BtrfsDriver, root: str, trash: str
) -> None:
    layer, _ = layers.layer_on(driver, None)
    home = f"{root}/btrfs"
    for _ in range(2):
        subprocess.run(["mount", "--bind", home, home], check=True)
    with pytest.raises(DriverError, match="cross-device"):
        driver.remove(layer, trash)
    driver.prepare()
    assert home not in mount_paths()
    driver.remove(layer, trash)


def test_another_file_system_on_the_home_is_left_and_refused(
    driver: BtrfsDriver, root: str
) -> None:
    home = f"{root}/btrfs"
    subprocess.run(["mount", "-t", "tmpfs", "none", home], check=True)
    try:
        with pytest.raises(DriverError, match="another file system is mounted there"):
            driver.prepare()
        assert home in mount_paths()
    finally:
        subprocess.run(["umount", home], check=True)


@pytest.mark.parametrize("content", [b"", b"0", b"much", b"-1", b"9" * 100])
def test_a_bound_that_is_none_is_told(driver: BtrfsDriver, root: str, content: bytes) -> None:
    layer, _ = layers.layer_on(driver, None)
    os.makedirs(f"{root}/btrfs/quotas", exist_ok=True)
    Path(root, "btrfs/quotas", layer).write_bytes(content)
    with pytest.raises(InvalidMetadata, match=layer):
        driver.get(layer)


def test_elsewhere_it_is_refused_with_the_reason(root_dir: Path) -> None:
    root = str(root_dir / "root")
    prepare_root(root, durable=False)
    prepare_trash(trash_path(root))
    with pytest.raises(DriverNotSupported, match="doesn't lie on btrfs"):
        open_driver("btrfs", root)


def test_a_fork_has_what_is_in_the_subvolumes_of_its_source(
    driver: BtrfsDriver, trash: str
) -> None:
    layer, path = layers.layer_on(driver, None)
    os.makedirs(f"{path}/a/b")
    upper = layers.make_subvolume(f"{path}/a/b/upper")
    os.mkdir(f"{upper}/c")
    lower = layers.make_subvolume(f"{upper}/c/lower")
    for place in (path, upper, lower):
        Path(place, "file").write_bytes(place.encode())
    layers.make_read_only(lower)
    fork = new_id()
    driver.fork(fork, layer, None)
    forked = driver.get(fork)
    assert Path(forked, "a/b/upper/c/lower/file").read_bytes() == lower.encode()
    Path(forked, "a/b/upper/c/lower/file").write_bytes(b"changed")
    assert Path(lower, "file").read_bytes() == lower.encode()
    assert list(driver.changes(fork, layer)) != []
    driver.remove(layer, trash)
    sweep(trash)
    assert Path(forked, "a/b/upper/file").read_bytes() == upper.encode()


def test_a_layer_that_its_user_made_read_only_is_forked_and_reset(
    driver: BtrfsDriver, trash: str
) -> None:
    layer, path = layers.layer_on(driver, None)
    Path(path, "file").touch()
    layers.make_read_only(path)
    fork = new_id()
    driver.fork(fork, layer, None)
    Path(driver.get(fork), "own").touch()
    driver.reset(layer, new_id(), None, trash)
    Path(path, "own").touch()
    assert os.listdir(path) == ["own"]
    assert len(list(driver.ids())) == 2
    sweep(trash)
    assert os.listdir(trash) == []


def test_what_others_make_of_a_subvolume_meanwhile_fails_no_fork(
    driver: BtrfsDriver, tmp_path: Path
) -> None:
    """As seen by a fork whose snapshot was taken when these were something else."""
    _, source = layers.layer_on(driver, None)
    _, made = layers.layer_on(driver, None)
    for name in ("full", "link", "file", "gone", "empty"):
        layers.make_subvolume(f"{source}/{name}")
        Path(source, name, "inner").touch()
    Path(made, "full").mkdir()
    Path(made, "full/file").touch()
    Path(made, "empty").mkdir()
    Path(made, "link").symlink_to(tmp_path)
    Path(made, "file").touch()
    with layers.opened(source) as above, layers.opened(made) as below:
        fill_in(above, below)
    assert sorted(os.listdir(made)) == ["empty", "file", "full", "link"]
    assert os.listdir(f"{made}/empty") == ["inner"]
    assert os.listdir(f"{made}/full") == ["file"]
    assert os.listdir(tmp_path) == []
