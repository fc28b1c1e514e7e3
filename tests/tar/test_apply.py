"""What a tar's members become in a layer's tree."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from layerstore.drivers.model.tree import LayerTree, WhiteoutFormat
from layerstore.drivers.tar.unpack.apply import apply_tar
from tests.support.trees import differences, in_whole_seconds, read_tree
from tests.tar.corpus.builder import Layer, directory, file, link, symlink, tar

pytestmark = pytest.mark.root


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    return Layer(tmp_path / "layer")


def test_a_regular_file_has_its_content_owner_permissions_and_time(layer: Layer) -> None:
    layer.apply(tar(file("f", b"content", mode=0o640, uid=1000, gid=2000, mtime=1234567890)))
    status = (layer.root / "f").stat()
    assert (layer.root / "f").read_bytes() == b"content"
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert (status.st_uid, status.st_gid, status.st_mtime) == (1000, 2000, 1234567890)


def test_set_user_id_bits_survive_the_change_of_owner(layer: Layer) -> None:
    layer.apply(tar(file("su", b"x", mode=0o4755, uid=12), directory("tmp/", mode=0o1777, gid=3)))
    assert stat.S_IMODE((layer.root / "su").stat().st_mode) == 0o4755
    assert stat.S_IMODE((layer.root / "tmp").stat().st_mode) == 0o1777


def test_times_are_kept_to_the_nanosecond(layer: Layer) -> None:
    records = {"mtime": "1600000000.123456789", "atime": "1600000001.9"}
    layer.apply(tar(file("f", pax_headers=records)))
    status = (layer.root / "f").stat()
    assert status.st_mtime_ns == 1600000000123456789
    assert status.st_atime_ns == 1600000001900000000


def test_a_time_before_1970_becomes_1970_as_in_moby(layer: Layer) -> None:
    layer.apply(tar(file("f", pax_headers={"mtime": "-5.5"})))
    assert (layer.root / "f").stat().st_mtime_ns == 0


def test_missing_parents_are_made_with_mode_755_for_root(layer: Layer) -> None:
    layer.apply(tar(file("a/b/c", b"x", uid=7, mode=0o600)))
    for path in ("a", "a/b"):
        status = (layer.root / path).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o755, 0)


def test_a_directory_keeps_its_time_though_files_are_made_in_it_later(layer: Layer) -> None:
    layer.apply(tar(directory("d/", mtime=1000), file("d/f", b"x"), directory("d/e/", mtime=2000)))
    assert (layer.root / "d").stat().st_mtime == 1000
    assert (layer.root / "d/e").stat().st_mtime == 2000


def test_the_root_takes_the_metadata_of_its_member(layer: Layer) -> None:
    layer.apply(tar(directory("./", mode=0o711, mtime=1000), file("./f", b"x")))
    status = layer.root.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o711, 1000)


def test_a_symbolic_link_is_made_as_it_is_and_never_followed(layer: Layer) -> None:
    layer.apply(tar(symlink("l", "../../etc/passwd", uid=5, mtime=77)))
    status = (layer.root / "l").lstat()
    assert os.readlink(layer.root / "l") == "../../etc/passwd"
    assert (status.st_uid, status.st_mtime) == (5, 77)


def test_hard_links_share_one_inode(layer: Layer) -> None:
    applied = layer.apply(tar(file("a", b"12345"), link("d/b", "a"), link("c", "./d/b")))
    assert (layer.root / "a").stat().st_nlink == 3
    assert applied.size == 5


def test_a_hard_link_to_a_symbolic_link_links_the_link(layer: Layer) -> None:
    layer.apply(tar(file("t", b"x"), symlink("s", "t"), link("h", "s")))
    assert os.readlink(layer.root / "h") == "t"
    assert (layer.root / "s").lstat().st_nlink == 2


def test_devices_and_fifos_have_their_numbers(layer: Layer) -> None:
    layer.apply(
        tar(
            file("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
            file("disk", type=tarfile.BLKTYPE, devmajor=259, devminor=70000),
            file("pipe", type=tarfile.FIFOTYPE, mode=0o600),
        )
    )
    null, disk = (layer.root / "null").lstat(), (layer.root / "disk").lstat()
    assert stat.S_ISCHR(null.st_mode)
    assert null.st_rdev == os.makedev(1, 3)
    assert stat.S_IMODE(null.st_mode) == 0o666
    assert stat.S_ISBLK(disk.st_mode)
    assert disk.st_rdev == os.makedev(259, 70000)
    assert stat.S_ISFIFO((layer.root / "pipe").lstat().st_mode)


def test_extended_attributes_are_set_after_the_owner(layer: Layer) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    records = {
        "SCHILY.xattr.security.capability": capability.decode("latin-1"),
        "SCHILY.xattr.trusted.mine": "value=with equals",
    }
    layer.apply(tar(file("f", b"x", uid=9, pax_headers=records), encoding="latin-1"))
    assert os.getxattr(layer.root / "f", "security.capability") == capability
    assert os.getxattr(layer.root / "f", "trusted.mine") == b"value=with equals"


def test_attributes_of_overlayfs_itself_are_never_taken_from_a_tar(layer: Layer) -> None:
    records = {
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.user.overlay.opaque": "y",
    }
    layer.apply(tar(directory("d/", pax_headers=records), file("f", pax_headers=records)))
    assert os.listxattr(layer.root / "d") == os.listxattr(layer.root / "f") == []


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_longer_than_a_header_holds(layer: Layer, form: int) -> None:
    name = "/".join(["d" * 90] * 4)
    layer.apply(tar(file(name, b"x"), symlink("l", name), form=form))
    assert (layer.root / name).read_bytes() == b"x"
    assert os.readlink(layer.root / "l") == name


def test_names_that_are_not_utf_8(layer: Layer) -> None:
    name = os.fsdecode(b"caf\xe9/\xff")
    form = tarfile.GNU_FORMAT
    layer.apply(tar(file(name, b"x"), form=form, errors="surrogateescape"))
    assert (layer.root / name).read_bytes() == b"x"


def test_numbers_too_large_for_octal(layer: Layer) -> None:
    layer.apply(tar(file("f", uid=3_000_000, gid=4_000_000_000), form=tarfile.GNU_FORMAT))
    status = (layer.root / "f").stat()
    assert (status.st_uid, status.st_gid) == (3_000_000, 4_000_000_000)


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_what_gnu_tar_writes_in_every_format(layer: Layer, tmp_path: Path, form: str) -> None:
    _some_tree(tmp_path / "given")
    command = ["tar", "-c", f"--format={form}", "-C", str(tmp_path / "given"), "."]
    layer.apply(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    _assert_same_trees(tmp_path / "given", layer.root)


@pytest.mark.parametrize("form", ["ustar", "pax", "gnutar", "v7tar"])
def test_what_bsdtar_writes_in_every_format(layer: Layer, tmp_path: Path, form: str) -> None:
    _some_tree(tmp_path / "given")
    command = ["bsdtar", "-c", f"--format={form}", "-f", "-", "-C", str(tmp_path / "given"), "."]
    layer.apply(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    _assert_same_trees(tmp_path / "given", layer.root)


def _some_tree(root: Path) -> None:
    (root / "sub/deep").mkdir(parents=True)
    (root / "sub/file").write_bytes(b"abc" * 1000)
    (root / "sub/deep/empty").touch()
    (root / "link").symlink_to("sub/file")
    (root / "hard").hardlink_to(root / "sub/file")
    os.chown(root / "sub/file", 100, 200)


def _assert_same_trees(given: Path, made: Path) -> None:
    ours, theirs = in_whole_seconds(read_tree(given)), in_whole_seconds(read_tree(made))
    assert differences(ours, theirs) == []


def test_a_later_member_replaces_an_earlier_one_of_another_kind(layer: Layer) -> None:
    layer.apply(
        tar(
            file("a", b"one"),
            symlink("a", "elsewhere"),
            directory("a/", mode=0o700),
            file("a/inside", b"two"),
            file("b/inside", b"three"),
            file("b", b"four"),
        )
    )
    assert layer.names() == ["a/", "a/inside", "b"]
    assert (layer.root / "b").read_bytes() == b"four"


def test_a_directory_given_twice_is_kept_and_takes_the_later_metadata(layer: Layer) -> None:
    layer.apply(tar(directory("d/"), file("d/f", b"x"), directory("d/", mode=0o700, mtime=5)))
    status = (layer.root / "d").stat()
    assert layer.names() == ["d/", "d/f"]
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o700, 5)


def test_a_replaced_file_does_not_change_its_other_links(layer: Layer) -> None:
    applied = layer.apply(tar(file("a", b"old"), link("b", "a"), file("a", b"newer")))
    assert (layer.root / "a").read_bytes() == b"newer"
    assert (layer.root / "b").read_bytes() == b"old"
    assert applied.size == 8


def test_absolute_and_unclean_names_mean_paths_beneath_the_root(layer: Layer) -> None:
    layer.apply(tar(file("/a//x", b"1"), file("./a/../b/./y", b"2"), file("/../c", b"3")))
    assert layer.names() == ["a/", "a/x", "b/", "b/y", "c"]


def test_global_headers_are_ignored_as_in_moby(layer: Layer) -> None:
    layer.apply(tar(file("f", b"x"), pax_headers={"mtime": "5", "comment": "hello"}))
    assert layer.names() == ["f"]
    assert (layer.root / "f").stat().st_mtime == 1_600_000_000


@pytest.mark.parametrize("end", [b"", bytes(512), bytes(1024), bytes(1024) + b"more" * 5000])
def test_a_tar_without_members_and_whatever_follows_its_end(layer: Layer, end: bytes) -> None:
    applied = layer.apply(end)
    assert (applied.entries, applied.size) == (0, 0)


def test_the_last_padding_may_be_missing(layer: Layer) -> None:
    layer.apply(tar(file("f", b"x"))[:513])
    assert (layer.root / "f").read_bytes() == b"x"


def test_the_size_counts_files_and_links_but_each_inode_once(layer: Layer) -> None:
    applied = layer.apply(
        tar(directory("d/"), file("d/a", b"x" * 1000), link("b", "d/a"), symlink("l", "12345678"))
    )
    assert applied.size == 1008
    assert applied.entries == 4


def test_the_size_in_a_complete_tree_is_the_sum_of_the_members(tmp_path: Path) -> None:
    layer = Layer(tmp_path / "layer", WhiteoutFormat.REMOVE)
    assert layer.apply(tar(file("a", b"123"), file("a", b"4567"))).size == 7


def test_the_size_of_a_tree_that_was_not_empty_counts_all_of_it(layer: Layer) -> None:
    (layer.root / "before").write_bytes(b"123")
    assert layer.apply(tar(file("a", b"4567"))).size == 7


def test_a_pipe_is_read_to_its_end(tmp_path: Path, layer: Layer) -> None:
    data = tar(file("f", b"x" * 300_000)) + b"trailing"
    feed = subprocess.Popen(["dd", "bs=1000", "status=none"], stdin=subprocess.PIPE, stdout=-1)
    assert feed.stdin is not None
    assert feed.stdout is not None
    with feed:
        (tmp_path / "data").write_bytes(data)
        with subprocess.Popen(["cat", tmp_path / "data"], stdout=feed.stdin):
            feed.stdin.close()
            applied = apply_tar(cast("BinaryIO", feed.stdout), layer.tree)
    assert applied.tar_size == len(data)


def test_whatever_the_umask_is_permissions_are_the_tars(layer: Layer) -> None:
    old = os.umask(0o077)
    try:
        layer.apply(tar(file("x/f", b"", mode=0o666), directory("d/", mode=0o777)))
    finally:
        os.umask(old)
    assert stat.S_IMODE((layer.root / "x/f").stat().st_mode) == 0o666
    assert stat.S_IMODE((layer.root / "d").stat().st_mode) == 0o777
    assert stat.S_IMODE((layer.root / "x").stat().st_mode) == 0o755


def test_without_a_tar_split_the_same_tree_is_made(tmp_path: Path, layer: Layer) -> None:
    other = Layer(tmp_path / "other")
    data = tar(directory("d/"), file("d/f", b"x"), file("d/f", b"y"), link("h", "d/f"))
    layer.apply(data)
    apply_tar(io.BytesIO(data), LayerTree(str(other.root), (), WhiteoutFormat.OVERLAY))
    _assert_same_trees(layer.root, other.root)
