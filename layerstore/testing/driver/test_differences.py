"""What differs between layers: told, written as a tar, and made again from that."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.ids import new_id
from layerstore.testing.driver.making import changes, make_layer, make_read_write, names
from layerstore.testing.driver.tars import layer_tar
from layerstore.testing.driver.trees import in_whole_seconds, read_tree


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


def test_a_deep_tree_is_read_changed_and_written(driver: GraphDriver) -> None:
    deep = "/".join("d" for _ in range(200))
    base = make_layer(driver, None, {f"{deep}/file": b"1", f"{deep}/gone": b"1"})
    layer = make_read_write(driver, base)
    path = driver.get(layer)
    Path(path, deep, "file").write_bytes(b"22")
    os.unlink(f"{path}/{deep}/gone")
    found = changes(driver, layer, base)
    assert found[-2:] == [f"C /{deep}/file", f"D /{deep}/gone"]
    carried_over(driver, path, layer, base)
