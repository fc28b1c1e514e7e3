"""Every driver on every file system: what is mounted has other owners, what is stored has not."""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import tarfile
from pathlib import Path

import pytest

from layerstore.drivers.errors import InvalidArgument, InvalidMetadata
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.userns.id_map import IdMap
from tests.graph.idmapped.inside import as_inside
from tests.support.tars import layer_tar

CASES = [
    (system, driver)
    for system in ("ext4", "xfs", "btrfs", "tmpfs")
    for driver in ("overlay2", "btrfs", "vfs")
    if driver != "btrfs" or system == "btrfs"
]

pytestmark = [
    pytest.mark.root,
    pytest.mark.each_driver,
    pytest.mark.parametrize(("place", "driver"), CASES, indirect=True),
]

BASE = 300_000
MAP = IdMap.parse(f"0:{BASE}:65536/0:{BASE + 100_000}:65536")
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
"""cap_net_bind_service=ep, revision 2: that of this machine's root. capability.h."""
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, -1 & 0xFFFFFFFF), (2, 4, 33), (4, 4, -1 & 0xFFFFFFFF),
                  (16, 4, -1 & 0xFFFFFFFF), (32, 0, -1 & 0xFFFFFFFF))
)  # fmt: skip
"""user::rw-,user:33:r--,group::r--,mask::r--,other::---; posix_acl_xattr.h."""


def make_base(driver: GraphDriver) -> str:
    layer_id = new_id()
    driver.create(layer_id, None)
    content = {"etc": None, "etc/passwd": b"1", "etc/old": b"2", "dir": None, "dir/in": b"3"}
    driver.apply_diff(layer_id, None, io.BytesIO(layer_tar(content)))
    return layer_id


def make_mapped(driver: GraphDriver, parent: str | None, id_map: IdMap | None = MAP) -> str:
    layer_id = new_id()
    asked = {"userns": str(id_map)} if id_map is not None else {}
    driver.create_read_write(layer_id, parent, storage_opt=asked)
    return layer_id


def do_work() -> None:
    """Do in a root file system what leaves every kind of thing in a diff; as root in it."""
    os.umask(0o022)
    for name, mode in (("etc/passwd", 0o600), ("suid", 0o4755), ("cap", 0o755), ("acl", 0o640)):
        with open(name, "a") as file:
            file.write("more")
        os.chmod(name, mode)
    os.chown("etc/passwd", 1000, 1001)
    os.setxattr("cap", "security.capability", CAPABILITY)
    os.setxattr("acl", "system.posix_acl_access", ACL)
    os.unlink("etc/old")
    os.unlink("dir/in")
    os.rmdir("dir")
    os.mkdir("dir")  # what was there is hidden
    os.symlink("suid", "link")
    os.link("suid", "hard")
    os.mkfifo("pipe")
    for directory, _, files in os.walk("."):
        for name in (*files, "."):
            os.utime(f"{directory}/{name}", (1, 1), follow_symlinks=False)


def diff_of(driver: GraphDriver, layer_id: str, parent: str | None) -> dict[str, object]:
    """Return all that the diff says, but when whiteouts were made, which is now."""
    out = io.BytesIO()
    driver.diff(layer_id, parent, out)
    out.seek(0)
    found: dict[str, object] = {}
    with tarfile.open(fileobj=out) as archive:
        for member in archive:
            facts: dict[str, object] = dict(member.get_info())
            facts["pax"] = {k: v for k, v in member.pax_headers.items() if "time" not in k}
            if "/.wh." in member.name:
                del facts["mtime"], facts["chksum"]
            found[member.name] = facts
    return found


def test_a_diff_is_that_of_the_same_work_without_a_map(driver: GraphDriver, trash: str) -> None:
    base = make_base(driver)
    diffs = {}
    for id_map in (None, MAP):
        layer = make_mapped(driver, base, id_map)
        path = driver.get(layer)
        try:
            as_inside(id_map, path, do_work)
            diffs[id_map] = diff_of(driver, layer, base)
            found = os.lstat(f"{path}/etc/passwd")
            user, group = (BASE, BASE + 100_000) if id_map else (0, 0)
            assert (found.st_uid, found.st_gid) == (user + 1000, group + 1001)
        finally:
            driver.put(layer)
        driver.remove(layer, trash)
    assert {"etc/.wh.old", "suid", "pipe"} <= diffs[MAP].keys()
    assert "SCHILY.xattr.security.capability" in str(diffs[MAP]["cap"])
    assert "SCHILY.xattr.system.posix_acl_access" in str(diffs[MAP]["acl"])
    assert diffs[MAP] == diffs[None]


def test_what_is_mounted_shows_whose_it_is_inside(driver: GraphDriver, trash: str) -> None:
    base = make_base(driver)
    layer = make_mapped(driver, base)
    path = driver.get(layer)
    assert driver.mounted() == {layer}
    assert driver.may_be_mounted(layer)
    assert driver.metadata(layer)["MergedDir"] == path
    assert driver.id_map(layer) == str(MAP)
    assert (os.stat(f"{path}/etc").st_uid, os.stat(f"{path}/etc").st_gid) == (BASE, BASE + 100_000)
    with pytest.raises(OSError, match="too large") as caught:
        Path(path, "mine").touch()
    assert caught.value.errno == errno.EOVERFLOW  # this machine's root is nobody there
    driver.put(layer)
    driver.put(layer)
    assert driver.mounted() == set()
    driver.remove(layer, trash)
    assert driver.id_map(make_mapped(driver, base, None)) == ""
    assert not driver.may_be_mounted(layer)


def test_a_layer_without_a_parent_is_mounted_with_a_map(driver: GraphDriver, trash: str) -> None:
    layer = make_mapped(driver, None)
    path = driver.get(layer)
    as_inside(MAP, path, lambda: os.mkdir("made"))
    assert os.stat(f"{path}/made").st_uid == BASE
    driver.remove(layer, trash)  # which unmounts it
    assert driver.mounted() == set()
    assert os.listdir(trash)


def test_nobody_else_is_let_near_what_root_made_set_user_id(
    driver: GraphDriver, trash: str
) -> None:
    base = make_base(driver)
    layer = make_mapped(driver, base)
    path = driver.get(layer)
    as_inside(MAP, path, do_work)
    stored = f"{driver.tree(layer).root}/suid"
    assert (os.stat(stored).st_uid, stat.S_IMODE(os.stat(stored).st_mode)) == (0, 0o4755)

    def look() -> None:
        for place in (stored, f"{path}/suid"):
            with pytest.raises(PermissionError):
                os.stat(place)

    # Neither a user of this machine, nor one of those that are inside.
    as_inside(None, "/", look, user=1000)
    as_inside(MAP, "/", look)
    driver.put(layer)
    driver.remove(layer, trash)


def test_what_is_kept_of_a_map_is_read_as_hostile(
    driver: GraphDriver, place: Path, trash: str
) -> None:
    layer = make_mapped(driver, make_base(driver))
    (kept,) = (
        path
        for where in (driver.home, str(place / driver.name / "layerstore/idmapped"))
        if (path := Path(where, layer, "layerstore-options.json")).exists()
    )
    for content in (b'{"userns":"0:0"}', b'{"userns":5}', b'{"user":""}', b"\xff", b"x" * 20_000):
        kept.write_bytes(content)
        with pytest.raises(InvalidMetadata):
            driver.id_map(layer)
    kept.unlink()
    driver.remove(layer, trash)


def test_a_map_that_is_none_is_refused_and_leaves_nothing(driver: GraphDriver) -> None:
    before = set(driver.ids())
    for text in ("", "0:1", "0:1:0"):
        with pytest.raises(InvalidArgument):
            driver.create_read_write(new_id(), None, storage_opt={"userns": text})
    assert set(driver.ids()) == before
