"""What a tar may hold and a file system may not: told with the path and the reason, or worked out.

Attributes that are too large, more hard links than a file can have, trees deeper than a path is
long, and files that are devices by the time they are read.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fastcrc import crc64

from layerstore import DriverError, IntegrityError, InvalidMetadata, InvalidTar, StorageFull
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import WhiteoutFormat
from layerstore.drivers.tar.split.records import file_line
from layerstore.drivers.tar.split.replay_bytes import assemble
from layerstore.drivers.tar.unpack.apply import apply_tar
from layerstore.drivers.tree.copy import copy_tree
from layerstore.drivers.tree.delete import delete_tree
from tests.ordeals.hostile.attacks import raw
from tests.tar.corpus.builder import Layer, directory, file, link, symlink, tar

pytestmark = pytest.mark.root
_DEPTH = 3000
MakeFileSystem = Callable[[str, int], Path]


@pytest.fixture(params=list(WhiteoutFormat))
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> Layer:
    return Layer(tmp_path / "layer", request.param)


@pytest.mark.parametrize("kind", ["file", "directory", "symbolic link"])
def test_an_attribute_too_large_for_a_file_system_is_named(
    kind: str, make_file_system: MakeFileSystem
) -> None:
    """ext4 has room for one block of them and says ENOSPC; others say E2BIG."""
    place = make_file_system("ext4", 24) / f"large-{kind}"
    value = {"SCHILY.xattr.trusted.small": "x", "SCHILY.xattr.trusted.large": "v" * 20_000}
    member = {
        "file": file("good/bad", pax_headers=value),
        "directory": directory("good/bad/", pax_headers=value),
        "symbolic link": symlink("good/bad", "x", pax_headers=value),
    }[kind]
    with pytest.raises(InvalidTar) as caught:
        Layer(place).apply(tar(directory("good/"), member))
    assert (caught.value.entry or "").rstrip("/") == "good/bad"
    assert "attribute 'trusted.large' of 20000 bytes can't be set" in caught.value.reason
    assert "No space left" in caught.value.reason


def test_a_full_disk_is_no_attribute_too_large(make_file_system: MakeFileSystem) -> None:
    place = make_file_system("ext4", 24)
    layer = Layer(place / "full")
    with (place / "rest").open("wb", buffering=0) as rest:
        assert _fill(rest) == errno.ENOSPC
    try:
        with pytest.raises(StorageFull):
            layer.apply(tar(file("f", pax_headers={"SCHILY.xattr.trusted.x": "v" * 3000})))
    finally:
        (place / "rest").unlink()


def _fill(file: io.FileIO) -> int | None:
    try:
        while True:
            file.write(bytes(1 << 16))
    except OSError as error:
        return error.errno


def test_more_hard_links_than_a_file_can_have_are_told_with_the_path(
    make_file_system: MakeFileSystem,
) -> None:
    place = make_file_system("ext4", 256) / "links"
    links = (raw.block(b"l%d" % number, b"1", link=b"f") for number in range(65_001))
    with pytest.raises(DriverError) as caught:
        Layer(place).apply(raw.member(b"f", b"x") + b"".join(links) + raw.END)
    assert caught.value.errno == errno.EMLINK
    assert caught.value.path == str(place / "l64999")
    delete_tree(str(place))


def test_a_tree_of_any_depth_is_copied_and_deleted(tmp_path: Path) -> None:
    """Deeper than the interpreter recurses, than a path is long, than descriptors are allowed."""
    source, target = tmp_path / "source", tmp_path / "target"
    fd = _make_chain(source, _DEPTH)
    deep = os.open("f", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=fd)
    os.write(deep, b"deep")
    os.close(deep)
    os.close(fd)
    target.mkdir()
    copy_tree(str(source), str(target))
    fd = os.open(target, os.O_RDONLY)
    for _ in range(_DEPTH):
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    assert os.listdir(fd) == ["f"]
    status = os.stat("f", dir_fd=fd)
    assert (status.st_size, status.st_mode & 0o777) == (4, 0o640)
    os.close(fd)
    for tree in (source, target):
        delete_tree(str(tree))
        assert not tree.exists()


def _make_chain(top: Path, depth: int) -> int:
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd


def test_hard_links_and_metadata_are_copied_across_directories(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a/b").mkdir(parents=True)
    (source / "a/b/one").write_bytes(b"1")
    (source / "z").mkdir()
    os.link(source / "a/b/one", source / "z/two")
    os.link(source / "a/b/one", source / "three")
    for name in ("a/b", "a", "z", "."):
        os.utime(source / name, ns=(5, 7))
    target.mkdir()
    copy_tree(str(source), str(target))
    inodes = {(target / name).stat().st_ino for name in ("a/b/one", "z/two", "three")}
    assert len(inodes) == 1
    assert {(target / name).stat().st_mtime_ns for name in ("a/b", "a", "z", ".")} == {7}


def test_what_comes_into_a_directory_that_a_whiteout_hid_makes_it_anew(
    layer: Layer, tmp_path: Path
) -> None:
    if layer.tree.whiteouts is not WhiteoutFormat.REMOVE:
        base = Layer(tmp_path / "below", layer.tree.whiteouts)
        base.apply(tar(file("d/e/a", b"old")))
        layer = Layer(tmp_path / "above", layer.tree.whiteouts, base)
    layer.apply(tar(file(".wh.d"), file("d/e/b", b"new")))
    assert (layer.root / "d/e/b").read_bytes() == b"new"
    if layer.tree.whiteouts is not WhiteoutFormat.REMOVE:
        (name,) = os.listxattr(layer.root / "d")
        assert name.endswith("overlay.opaque")
        assert os.listxattr(layer.root / "d/e") == []


def test_a_device_in_the_way_is_no_whiteout(layer: Layer) -> None:
    with pytest.raises(InvalidTar, match="Not a directory"):
        layer.apply(tar(file("d", type=b"3"), file("d/b", b"x")))


def test_content_that_cannot_be_kept_is_told_where_it_begins(layer: Layer) -> None:
    first = tar(directory("a/"), directory("b/"), symlink("s", "a"))[: 3 * 512]
    rest = tar(file("s/f", b"one"), symlink("s", "b"), file("b/f", b"two"))
    with pytest.raises(InvalidTar, match="cannot be kept") as caught:
        layer.apply(first + rest)
    assert (caught.value.offset, caught.value.entry) == (len(first) + 512, "s/f")


def test_contents_of_one_size_and_crc_are_not_taken_for_each_other(layer: Layer) -> None:
    """CRC-64 is no digest: anyone can make two contents that have the same."""
    one = b"the first content" + bytes(8)
    other = _with_same_crc(b"another, as long!", one)
    assert one != other
    data = tar(file("f", one), file("f", other))
    with pytest.raises(InvalidTar, match="members of one size and CRC-64") as caught:
        layer.apply(data)
    assert caught.value.offset == len(data)


def _with_same_crc(start: bytes, target: bytes) -> bytes:
    """Append eight bytes that give the CRC-64 of `target`, by elimination over its linear map."""
    wanted = crc64.go_iso(target) ^ crc64.go_iso(start + bytes(8))
    rows: dict[int, tuple[int, int]] = {}
    for bit in range(64):
        added = 1 << bit
        effect = crc64.go_iso(start + added.to_bytes(8, "little")) ^ crc64.go_iso(start + bytes(8))
        effect, added = _reduce(rows, effect, added)
        if effect:
            rows[effect.bit_length()] = (effect, added)
    left, found = _reduce(rows, wanted, 0)
    assert left == 0
    return start + found.to_bytes(8, "little")


def _reduce(rows: dict[int, tuple[int, int]], effect: int, added: int) -> tuple[int, int]:
    while effect and effect.bit_length() in rows:
        other, more = rows[effect.bit_length()]
        effect, added = effect ^ other, added ^ more
    return effect, added


def test_a_file_that_is_a_device_by_now_is_not_opened(tmp_path: Path) -> None:
    """Opening a device can do anything; one without a driver says ENXIO, and that it was tried."""
    for name, mode in (("device", 0o20600), ("pipe", 0o10600)):
        os.mknod(tmp_path / name, mode, os.makedev(1, 5))
        records = io.BytesIO(file_line(name.encode(), 1, 0, 0))
        before = (tmp_path / name).stat().st_atime_ns
        with pytest.raises(IntegrityError, match="missing"):
            assemble(records, str(tmp_path), io.BytesIO())
        assert (tmp_path / name).stat().st_atime_ns == before


def test_a_name_in_a_tar_split_that_is_no_text_is_refused(tmp_path: Path) -> None:
    line = b'{"type":1,"name":"a\xff","size":1,"payload":"AAAAAAAAAAA=","position":0}\n'
    with pytest.raises(InvalidMetadata, match="line 0"):
        assemble(io.BytesIO(line), str(tmp_path), io.BytesIO())


def test_labels_of_the_host_are_not_a_layers_to_set(layer: Layer) -> None:
    records = {"SCHILY.xattr.security.selinux": "x", "SCHILY.xattr.security.SMACK64": "x"}
    layer.apply(tar(file("f", pax_headers=records | {"SCHILY.xattr.trusted.kept": "y"})))
    assert os.listxattr(layer.root / "f") == ["trusted.kept"]


def test_a_directory_made_for_its_content_is_as_the_one_below(tmp_path: Path) -> None:
    below = Layer(tmp_path / "below")
    members = [directory(name, mode=mode, uid=7) for name, mode in
               (("a/", 0o700), ("a/b/", 0o711), ("a/b/c/", 0o1777))]  # fmt: skip
    below.apply(tar(*members))
    above = Layer(tmp_path / "above", WhiteoutFormat.OVERLAY, below)
    above.apply(tar(file("a/b/c/d/e", b"x"), file("a/b/x", b"x")))
    found = {name: (above.root / name).stat() for name in ("a", "a/b", "a/b/c", "a/b/c/d")}
    assert [(status.st_mode & 0o7777, status.st_uid) for status in found.values()] == [
        (0o700, 7), (0o711, 7), (0o1777, 7), (0o755, 0),
    ]  # fmt: skip


def test_nothing_is_as_below_where_an_opaque_marker_came_between(tmp_path: Path) -> None:
    below = Layer(tmp_path / "below")
    below.apply(tar(directory("a/", mode=0o700), directory("a/b/", mode=0o700)))
    above = Layer(tmp_path / "above", WhiteoutFormat.OVERLAY, below)
    above.apply(tar(file("a/.wh..wh..opq"), file("a/b/c", b"x")))
    assert (above.root / "a/b").stat().st_mode & 0o777 == 0o755


def test_devices_are_counted_and_can_be_refused(layer: Layer) -> None:
    devices = tar(file("c", type=b"3", devmajor=1, devminor=3), file("b", type=b"4", devmajor=8))
    apply_tar(io.BytesIO(devices), layer.tree, limits=Limits(max_devices=2))
    assert len(os.listdir(layer.root)) == 2
    with pytest.raises(Exception, match="the number of device nodes exceeds the limit of 1"):
        apply_tar(io.BytesIO(devices), layer.tree, limits=Limits(max_devices=1))
    apply_tar(io.BytesIO(tar(link("l", "c"))), layer.tree, limits=Limits(max_devices=0))
