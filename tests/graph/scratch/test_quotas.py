"""Project quotas: the kernel's structures, whose project a file is of, bounds where they are."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore import InvalidArgument
from layerstore.drivers.graph.choose import open_driver
from layerstore.drivers.graph.overlay2.driver import Overlay2Driver
from layerstore.drivers.graph.quota import limits, projects
from layerstore.drivers.graph.quota.layers import ProjectQuotas
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.root.trash import prepare_trash, trash_path
from layerstore.drivers.upkeep.recovery import prepare_root
from tests.support.tars import layer_tar

MIB = 1 << 20
_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-O", "quota,project", "-E", "quotatype=prjquota"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
}


class DiskQuota(ctypes.Structure):
    """struct fs_disk_quota, as include/uapi/linux/dqblk_xfs.h has it."""

    _fields_ = (
        ("d_version", ctypes.c_int8),
        ("d_flags", ctypes.c_int8),
        ("d_fieldmask", ctypes.c_uint16),
        ("d_id", ctypes.c_uint32),
        ("d_blk_hardlimit", ctypes.c_uint64),
        ("d_blk_softlimit", ctypes.c_uint64),
        ("d_ino_hardlimit", ctypes.c_uint64),
        ("d_ino_softlimit", ctypes.c_uint64),
        ("d_bcount", ctypes.c_uint64),
        ("d_icount", ctypes.c_uint64),
        ("d_itimer", ctypes.c_int32),
        ("d_btimer", ctypes.c_int32),
        ("d_iwarns", ctypes.c_uint16),
        ("d_bwarns", ctypes.c_uint16),
        ("d_itimer_hi", ctypes.c_int8),
        ("d_btimer_hi", ctypes.c_int8),
        ("d_rtbtimer_hi", ctypes.c_int8),
        ("d_padding2", ctypes.c_int8),
        ("d_rtb_hardlimit", ctypes.c_uint64),
        ("d_rtb_softlimit", ctypes.c_uint64),
        ("d_rtbcount", ctypes.c_uint64),
        ("d_rtbtimer", ctypes.c_int32),
        ("d_rtbwarns", ctypes.c_uint16),
        ("d_padding3", ctypes.c_int16),
        ("d_padding4", ctypes.c_char * 8),
    )


def test_limits_are_laid_out_as_the_kernel_reads_them() -> None:
    packed = limits.packed_limits(77, 10 * MIB + 1, 4096)
    read = DiskQuota.from_buffer_copy(packed)
    assert len(packed) == ctypes.sizeof(DiskQuota) == 112
    assert (read.d_version, read.d_flags, read.d_fieldmask, read.d_id) == (1, 2, 0b1111, 77)
    assert read.d_blk_hardlimit == read.d_blk_softlimit == 10 * MIB // 512
    assert read.d_ino_hardlimit == read.d_ino_softlimit == 4096


def test_the_smallest_size_is_a_bound() -> None:
    read = DiskQuota.from_buffer_copy(limits.packed_limits(77, 1, 4096))
    assert read.d_blk_hardlimit == read.d_blk_softlimit == 1


def test_what_is_taken_is_read_where_the_kernel_writes_it() -> None:
    written = DiskQuota(d_bcount=3, d_icount=4, d_blk_hardlimit=5, d_ino_hardlimit=6)
    found = limits.unpacked_limits(bytes(written))
    assert found == limits.Taken(3 * 512, 4, 5 * 512, 6)
    assert not found.is_nobodys
    assert limits.unpacked_limits(bytes(DiskQuota())).is_nobodys


def test_projects_are_asked_for_by_the_kernels_numbers() -> None:
    assert (projects.GET, projects.SET) == (0x801C581F, 0x401C5820)
    assert projects.FSXATTR.size == 28
    assert limits.STATE.size == 160


@pytest.mark.root
def test_what_is_made_in_a_project_stays_in_it(
    make_file_system: Callable[[str, int], Path],
) -> None:
    place = make_file_system("xfs", 320)
    for number, name in enumerate(("a", "b"), 1 << 24):
        (place / name).mkdir()
        projects.set_project(str(place / name), number)
    (place / "a" / "dir").mkdir()
    (place / "a" / "dir" / "file").touch()
    fd = os.open(place / "a" / "dir" / "file", os.O_RDONLY)
    assert projects.project_of(fd) == 1 << 24
    os.close(fd)
    for move in (os.rename, os.link):
        with pytest.raises(OSError, match=os.strerror(errno.EXDEV)):
            move(place / "a" / "dir" / "file", place / "b" / "file")
    assert "mounted without project quotas" in ProjectQuotas(str(place)).why_not()
    assert ProjectQuotas(str(place)).why_not().startswith("xfs: ")


_AS_A_COMMAND = """
import fcntl, os, sys
from layerstore.drivers.confine import seccomp
from layerstore.drivers.graph.quota import projects
from layerstore.drivers.system import syscalls
file = os.open(sys.argv[1], os.O_RDONLY)
asked = projects.FSXATTR.pack(0, 0, 0, 0, 0)
for confined in (False, True):
    if confined:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        seccomp.forbid_in_container()
    for number, argument in ((projects.SET, asked), (0x40086602, bytes(8))):
        try:
            fcntl.ioctl(file, number, argument)
        except OSError as error:
            print(error.errno)
        else:
            print(0)
"""


def test_a_command_takes_no_file_out_of_its_project(base_directory: Path) -> None:
    file = base_directory / "file"
    file.touch()
    done = subprocess.run(
        [sys.executable, "-c", _AS_A_COMMAND, str(file)], check=True, capture_output=True, text=True
    )
    free, confined = done.stdout.split()[:2], done.stdout.split()[2:]
    assert str(errno.EPERM) not in free
    assert confined == [str(errno.EPERM)] * 2


def driver_at(root: Path) -> Overlay2Driver:
    prepare_root(str(root), durable=True)
    prepare_trash(trash_path(str(root)))
    driver, _ = open_driver("overlay2", str(root), durable=True)
    assert isinstance(driver, Overlay2Driver)
    driver.prepare()
    return driver


@pytest.mark.root
def test_where_nothing_bounds_a_layer_that_is_refused_with_the_reason(
    make_file_system: Callable[[str, int], Path],
) -> None:
    driver = driver_at(make_file_system("tmpfs", 64) / "root")
    with pytest.raises(InvalidArgument, match=r"size=1048576.*tmpfs: .*scratch=memory is bounded"):
        driver.create_read_write(new_id(), None, storage_opt={"size": "1m"})
    with pytest.raises(InvalidArgument, match="tmpfs"):
        driver.create_read_write(new_id(), None, storage_opt={"size": "1m", "scratch": "disk"})
    assert list(driver.ids()) == []


@pytest.fixture(params=["ext4", "xfs"])
def with_quotas(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system that is mounted with project quotas, where that can be."""
    image, place = tmp_path / "image", tmp_path / "mounted"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(320 * MIB)
    subprocess.run([*_MAKE[request.param], str(image)], check=True)
    command = ["mount", "-o", "loop,prjquota", str(image), str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        reason = mounted.stderr.splitlines()[0]
        pytest.skip(f"no {request.param} is mounted with project quotas here: {reason}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.root
@pytest.mark.parametrize("scratch", [{}, {"scratch": "disk"}], ids=["kept", "scratch"])
def test_a_project_quota_bounds_a_layer(scratch: dict[str, str], with_quotas: Path) -> None:
    driver = driver_at(with_quotas / "root")
    base, layer, other = new_id(), new_id(), new_id()
    driver.create(base, None)
    tar = layer_tar({"file": b"1", "large": os.urandom(2 * MIB)})
    driver.apply_diff(base, None, io.BytesIO(tar))
    driver.create_read_write(layer, base, storage_opt={"size": "1m", **scratch})
    driver.create_read_write(other, base, storage_opt={"size": "8m"})
    path = driver.get(layer)
    for write in (
        lambda: Path(path, "new").write_bytes(bytes(2 * MIB)),
        lambda: os.chmod(f"{path}/large", 0o600),  # copied up
    ):
        with pytest.raises(OSError, match=r"No space|quota") as caught:
            write()
        assert caught.value.errno in (errno.ENOSPC, errno.EDQUOT)
        Path(path, "new").unlink(missing_ok=True)
    with pytest.raises(OSError, match=r"No space|quota"):
        make_empty_files(path, 5000)
    assert 0 < (driver.usage(layer) or 0) <= MIB
    driver.put(layer)
    outside = driver.get(other)
    Path(outside, "new").write_bytes(bytes(4 * MIB))
    assert (driver.usage(other) or 0) >= 4 * MIB
    assert driver.usage(base) is None
    driver.put(other)
    own, others = driver.tree(layer).root, driver.tree(other).root
    with pytest.raises(OSError, match=os.strerror(errno.EXDEV)):
        os.rename(f"{others}/new", f"{own}/new")
    for layer_id in (layer, other, base):
        driver.remove(layer_id, trash_path(str(with_quotas / "root")))


def make_empty_files(path: str, number: int) -> None:
    for name in range(number):
        os.mknod(f"{path}/{name}")
