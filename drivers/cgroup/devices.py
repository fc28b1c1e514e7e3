"""Which block device something lies on, as the kernel's controllers name them: by numbers.

Owns the finding of it. Bounds are for whole disks (block/blk-cgroup.c, blkg_conf_open_bdev), so
that a partition stands for the disk that it is of. sysfs(5), mount_namespaces(7).
"""

from __future__ import annotations

import errno
import os
import stat

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system.mountinfo import mount_points


def numbers_of_device(path: str) -> str:
    """Return `major:minor` of a block device, or of that which a file lies on.

    Raises DriverError, also where that is none, as with tmpfs.
    """
    try:
        found = os.stat(path)
        if stat.S_ISBLK(found.st_mode):
            return _whole(found.st_rdev)
        number = found.st_dev if os.major(found.st_dev) else _source_of(path)
        if number is not None:
            return _whole(number)
    except OSError as error:
        raise DriverError.from_os_error("find the device of", path, error) from error
    raise DriverError("bound reading and writing in", path, errno.ENOTBLK, "it lies on no device")


def _source_of(path: str) -> int | None:
    """Return what is mounted there, where the file system numbers its own devices, as btrfs does.

    An overlay lies where its mount point does: there its upper directory is.
    """
    real = os.path.realpath(path)
    beneath = [p for p in mount_points() if f"{real}/".startswith(f"{p.path.rstrip('/')}/")]
    if not beneath:
        return None
    longest = max(len(point.path) for point in beneath)
    point = [point for point in beneath if len(point.path) == longest][-1]
    if point.fstype == "overlay" and point.path != "/":
        above = os.path.dirname(point.path)
        number = os.stat(above).st_dev
        return number if os.major(number) else _source_of(above)
    if not point.source.startswith("/"):
        return None
    found = os.stat(point.source)
    return found.st_rdev if stat.S_ISBLK(found.st_mode) else None


def _whole(number: int) -> str:
    numbers = f"{os.major(number)}:{os.minor(number)}"
    device = f"/sys/dev/block/{numbers}"
    if os.path.exists(f"{device}/partition"):
        with open(f"{os.path.realpath(device)}/../dev", encoding="ascii") as file:
            return file.read().strip()
    return numbers
