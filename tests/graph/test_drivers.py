"""What every graph driver does, on every file system: the protocol's manual as a test."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import DriverError, InvalidName
from layerstore.drivers.graph.choose import open_driver
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.root.trash import prepare_trash, trash_path
from layerstore.drivers.upkeep.recovery import prepare_root
from tests.support.tars import Content, layer_tar
from tests.support.trees import in_whole_seconds, read_tree

pytestmark = [pytest.mark.root, pytest.mark.each_driver]

FILE_SYSTEMS = ("ext4", "xfs", "btrfs", "tmpfs")


@pytest.fixture(scope="module", params=FILE_SYSTEMS)
def place(request: pytest.FixtureRequest, make_file_system: Callable[[str, int], Path]) -> Path:
    return make_file_system(request.param, 512)


@pytest.fixture(params=["overlay2", "vfs"])
def driver(place: Path, request: pytest.FixtureRequest) -> Iterator[GraphDriver]:
    root = str(place / request.param)
    prepare_root(root, durable=True)
    prepare_trash(trash_path(root))
    found, _ = open_driver(request.param, root, durable=False)
    found.prepare()
    yield found
    for layer_id in found.mounted():
        found.put(layer_id)
    found.cleanup()


@pytest.fixture
def trash(driver: GraphDriver, place: Path) -> str:
    return trash_path(str(place / driver.name))


def make_layer(
    driver: GraphDriver, parent: str | None, files: dict[str, Content], **fields: int
) -> str:
    layer_id = new_id()
    driver.create(layer_id, parent)
    driver.apply_diff(layer_id, parent, io.BytesIO(layer_tar(files, **fields)))
    return layer_id


def make_read_write(driver: GraphDriver, parent: str | None) -> str:
    layer_id = new_id()
    driver.create_read_write(layer_id, parent)
    return layer_id


def changes(driver: GraphDriver, layer_id: str, parent: str | None) -> list[str]:
    return [str(change) for change in driver.changes(layer_id, parent)]


def names(path: str) -> list[str]:
    return sorted(os.listdir(path))


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


def carried_over(driver: GraphDriver, path: str, layer: str, base: str) -> tuple[str, str]:
    """Put a layer that is mounted at `path`, and apply its diff to a new one, which shows the same.

    Returns a read-write layer on the new one, and that.
    """
    expected = in_whole_seconds(read_tree(path))
    out = io.BytesIO()
    driver.diff(layer, base, out)
    driver.put(layer)
    again = new_id()
    driver.create(again, base)
    driver.apply_diff(again, base, io.BytesIO(out.getvalue()))
    shown = make_read_write(driver, again)
    actual = in_whole_seconds(read_tree(driver.get(shown)))
    del actual["."], expected["."]  # a diff holds what is in the root, not the root itself
    assert actual == expected
    driver.put(shown)
    return shown, again


def test_a_directory_made_again_hides_what_was_in_it(driver: GraphDriver) -> None:
    base = make_layer(driver, None, {"dir": None, "dir/old": b"1", "dir/kept": b"1"})
    layer = make_read_write(driver, base)
    path = driver.get(layer)
    os.unlink(f"{path}/dir/old")
    os.unlink(f"{path}/dir/kept")
    os.rmdir(f"{path}/dir")
    os.mkdir(f"{path}/dir")
    Path(path, "dir/kept").write_bytes(b"22")
    carried_over(driver, path, layer, base)


def test_an_opaque_directory_in_a_tar_hides_the_parents(driver: GraphDriver) -> None:
    base = make_layer(driver, None, {"dir": None, "dir/a": b"1", "dir/b": b"1"})
    top = make_layer(driver, base, {"dir": None, "dir/.wh..wh..opq": b"", "dir/c": b"1"})
    layer = make_read_write(driver, top)
    assert names(f"{driver.get(layer)}/dir") == ["c"]
    driver.put(layer)


def test_directories_that_a_tar_does_not_hold_stay_as_they_are(driver: GraphDriver) -> None:
    inside = layer_tar({"home": None, "home/user": None}, uid=1000, gid=1001, mode=0o700)
    base = new_id()
    driver.create(base, None)
    driver.apply_diff(base, None, io.BytesIO(inside))
    middle = make_layer(driver, base, {"home/user/new": b"1"})
    top = make_layer(driver, middle, {"home/user/.wh.new": b""})
    layer = make_read_write(driver, top)
    shown = read_tree(driver.get(layer))
    driver.put(layer)
    for name in ("home", "home/user"):
        assert (shown[name].uid, shown[name].gid, shown[name].mode) == (1000, 1001, 0o700)
        assert shown[name].mtime == 1_600_000_000 * 10**9


def test_a_renamed_directory_survives_diff_and_apply(driver: GraphDriver) -> None:
    base = make_layer(driver, None, {"old": None, "old/sub": None, "old/sub/file": b"1"})
    layer = make_read_write(driver, base)
    path = driver.get(layer)
    # rename(2) of a directory that the parent has fails on overlayfs, so mv copies it.
    try:
        os.rename(f"{path}/old", f"{path}/new")
    except OSError:
        os.makedirs(f"{path}/new/sub")
        Path(path, "new/sub/file").write_bytes(b"1")
        os.unlink(f"{path}/old/sub/file")
        os.rmdir(f"{path}/old/sub")
        os.rmdir(f"{path}/old")
    assert changes(driver, layer, base) == ["A /new", "A /new/sub", "A /new/sub/file", "D /old"]
    driver.put(layer)


def test_everything_a_file_can_be_survives_diff_and_apply(driver: GraphDriver) -> None:
    base = make_layer(driver, None, {"etc": None, "etc/shared": b"base"})
    layer = make_read_write(driver, base)
    path = driver.get(layer)
    make_one_of_each(path)
    shown, again = carried_over(driver, path, layer, base)
    assert changes(driver, shown, again) == []


def make_one_of_each(path: str) -> None:
    """Make every kind of file, with whole seconds as times: a layer's tar holds no finer ones."""
    whole = (1_500_000_000, 1_500_000_000)
    Path(path, "setuid").write_bytes(b"#!")
    os.chown(f"{path}/setuid", 1234, 4321)
    os.chmod(f"{path}/setuid", 0o6755)
    os.link(f"{path}/setuid", f"{path}/linked")
    os.link(f"{path}/etc/shared", f"{path}/etc/linked")
    os.symlink("/etc/shadow", f"{path}/absolute")
    os.symlink("../" * 20 + "etc", f"{path}/upwards")
    os.mkfifo(f"{path}/fifo", 0o640)
    os.mknod(f"{path}/device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(f"{path}/block", 0o600 | stat.S_IFBLK, os.makedev(7, 300))
    os.mkdir(f"{path}/sticky")
    os.chmod(f"{path}/sticky", 0o1777)
    name = "ü" * 120
    Path(path, name).write_bytes(b"long")
    Path(os.fsdecode(os.fsencode(path) + b"/\xff\xfe")).write_bytes(b"not utf-8")
    with open(f"{path}/sparse", "wb") as file:
        file.seek(5 << 20)
        file.write(b"end")
    capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    os.setxattr(f"{path}/sparse", "security.capability", capability)
    for place, directories, files in os.walk(path, topdown=False):
        for entry in directories + files:
            os.utime(f"{place}/{entry}", whole, follow_symlinks=False)
    os.utime(path, whole)


def test_a_diff_may_be_taken_against_any_ancestor(driver: GraphDriver) -> None:
    base = make_layer(driver, None, {"a": b"1"})
    middle = make_layer(driver, base, {"b": b"1"})
    top = make_layer(driver, middle, {"c": b"1", ".wh.a": b""})
    assert changes(driver, top, middle) == ["D /a", "A /c"]
    assert changes(driver, top, base) == ["D /a", "A /b", "A /c"]
    assert changes(driver, top, None) == ["A /b", "A /c"]


def test_sizes_count_each_inode_once(driver: GraphDriver) -> None:
    base = make_layer(driver, None, {"a": b"x" * 100})
    layer = make_read_write(driver, base)
    path = driver.get(layer)
    Path(path, "one").write_bytes(b"x" * 1000)
    os.link(f"{path}/one", f"{path}/two")
    driver.put(layer)
    assert driver.diff_size(layer, base) == 1000


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
    assert driver.mounted() == ({layer} if driver.name == "overlay2" else set())
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
