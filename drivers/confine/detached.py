"""Directories as mounts that lie nowhere: whoever is given the descriptor of one sees that one.

Owns how one is made and laid somewhere. There is no way up from it, and none to what is mounted
beneath the directory elsewhere. It ends with its last descriptor.
"""

from __future__ import annotations

import os
import stat

from layerstore.drivers.system import syscalls

_HARMLESS = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOEXEC


def detached(directory: str, *, writable: bool) -> int:
    """Return the descriptor of a mount of a directory, close-on-exec.

    Devices, set-user-ID bits and programs on it have no effect. The last name isn't followed.
    Raises OSError, with ENOSYS or EPERM where there are no such mounts.
    """
    only = 0 if writable else syscalls.MOUNT_ATTR_RDONLY
    return syscalls.detached_mount(directory, _HARMLESS | only)


def only_to_read(number: int) -> int | None:
    """Return a descriptor of the same regular file by which nobody can open it to write to it.

    Whoever has a descriptor can open its file anew by /proc, as it likes; this one's is on a mount
    that is read-only. It has a position of its own. None where that can't be, or isn't a file.
    """
    if not stat.S_ISREG(os.fstat(number).st_mode):
        return None
    flags = _HARMLESS | syscalls.MOUNT_ATTR_RDONLY
    try:
        mount = syscalls.detached_mount(f"/proc/self/fd/{number}", flags, follow=True)
    except OSError:
        return None
    try:
        return os.open(f"/proc/self/fd/{mount}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    finally:
        os.close(mount)


def empty() -> int:
    """Return the descriptor of an empty directory in memory, close-on-exec. Raises OSError."""
    made = syscalls.fsopen("tmpfs")
    try:
        return syscalls.fsmount(made, _HARMLESS)
    finally:
        os.close(made)


def lay(mount: int, directory: str) -> None:
    """Lay a mount that lies nowhere on a directory. Raises OSError."""
    syscalls.move_mount(mount, directory)
