"""The interpreter's own file, out of the reach of a container that its process joins.

Owns the one way that it takes: the process that joins is executed from a mount of its own that is
read-only. By way of /proc/self/exe, in a `#!` line or as a program, what runs in the container may
have it executed once more, and then holds it open for writing (CVE-2019-5736). On such a mount
nobody writes, root neither. Sources: mount_setattr(2), move_mount(2), proc_pid_exe(5).
"""

from __future__ import annotations

import errno
import os
import sys

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system import syscalls

_EXE = "/proc/self/exe"
_AGAIN = "LAYERSTORE_MOUNTS"


def on_a_mount_of_its_own() -> None:
    """Return once this process is executed from there; it begins again in between.

    It stays in the machine's mount namespace, in which the mount isn't. Raises DriverError.
    """
    if (before := os.environ.pop(_AGAIN, None)) is not None:
        fd = int(before)
        syscalls.setns(fd, syscalls.CLONE_NEWNS)
        os.close(fd)
        os.chdir("/")
        if not os.statvfs(_EXE).f_flag & os.ST_RDONLY:
            raise DriverError("protect", sys.executable, errno.EPERM, "it is not on its own mount")
        return
    if os.statvfs(_EXE).f_flag & os.ST_RDONLY:
        return  # whoever spawned it has seen to that
    try:
        path = os.readlink(_EXE)
        before_us = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        os.set_inheritable(before_us, True)
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE, "")
        own = syscalls.detached_mount(path, syscalls.MOUNT_ATTR_RDONLY)
        syscalls.move_mount(own, path)
        os.close(own)
        os.environ[_AGAIN] = str(before_us)
        os.execv(path, sys.orig_argv)  # noqa: S606 - itself
    except OSError as error:
        raise DriverError.from_os_error("protect", sys.executable, error) from error
