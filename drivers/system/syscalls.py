"""System calls that Python's os module lacks, through the C library.

Owns their numbers, constants and argument types; every failure is an OSError with the real errno.
Sources: mount(2), umount2(2), pivot_root(2), unshare(2), prctl(2), capset(2), openat2(2),
open_tree(2), mount_setattr(2), fsopen(2), fsconfig(2), fsmount(2), move_mount(2), syncfs(2),
fallocate(2), renameat2(2), inotify(7) and the kernel's include/uapi headers.
"""

from __future__ import annotations

import ctypes
import errno
import os

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8
CLONE_FS = 0x200
CLONE_PARENT = 0x8000
CLONE_THREAD = 0x10000
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38

AT_FDCWD = -100
IN_MODIFY = 0x02
IN_MOVED_TO = 0x80
IN_CREATE = 0x100

_RENAME_EXCHANGE = 2
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_SYS_OPENAT2 = 437  # these are the same on every architecture
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT = 428, 429
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432
_SYS_MOUNT_SETATTR = 442
_OPEN_TREE_CLONE = 1
_CLOEXEC = 1
"""FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC."""
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_AT_SYMLINK_NOFOLLOW = 0x100
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_ANY_ATIME = 0x70
_MOST_RACES = 1000
_CAPABILITY_VERSION = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_libc.syncfs.argtypes = (ctypes.c_int,)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.syscall.restype = ctypes.c_long
_openat2 = _libc.syscall


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "users"))


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySet(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_CapabilitySets = _CapabilitySet * 2
_OPEN_HOW_SIZE = ctypes.c_size_t(ctypes.sizeof(_OpenHow))


def mount(source: str, target: str, fstype: str, flags: int, data: str) -> None:
    """mount(2). `data` holds at most a page less one byte of options."""
    what, where, kind, options = map(os.fsencode, (source, target, fstype, data))
    if mounted(what, where, kind, flags, options):
        raise _failure(target)


def mounted(source: bytes, target: bytes, fstype: bytes, flags: int, data: bytes) -> int:
    """mount(2), of which failing is nothing out of the ordinary; returns the errno, or 0."""
    return ctypes.get_errno() if _libc.mount(source, target, fstype, flags, data) else 0


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    if _libc.umount2(os.fsencode(target), flags):
        raise _failure(target)


def exchange(first: str, second: str) -> None:
    """Have two names change places in one step. renameat2(2), RENAME_EXCHANGE."""
    names = os.fsencode(first), os.fsencode(second)
    try:
        renameat2 = _libc.renameat2
    except AttributeError as error:  # glibc before 2.28
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), first) from error
    if renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], _RENAME_EXCHANGE):
        raise _failure(first)


def unshare(flags: int) -> None:
    """unshare(2), for the calling thread."""
    if _libc.unshare(flags):
        raise _failure(None)


def setns(fd: int, flags: int) -> None:
    """setns(2): join namespaces of the process of a pidfd (Linux 5.8), or the one of a file."""
    if _libc.setns(fd, flags):
        raise _failure(None)


def pivot_root_here() -> None:
    """Make the working directory, a mount point, the root, and let go of the old one.

    pivot_root(2), section "pivot_root(".", ".")".
    """
    if _libc.pivot_root(b".", b"."):
        raise _failure(".")
    umount(".", MNT_DETACH)
    os.chdir("/")


def prctl(option: int, argument: int) -> None:
    """prctl(2) of one argument."""
    if _libc.prctl(option, argument, 0, 0, 0):
        raise _failure(None)


def is_dumpable() -> bool:
    """Whether others of this user may look into this process. prctl(2), PR_GET_DUMPABLE."""
    return bool(_libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1)


def permitted_capabilities() -> int:
    """Return the permitted set, a bit for each capability. capget(2)."""
    header, sets = _CapabilityHeader(_CAPABILITY_VERSION, 0), _CapabilitySets()
    if _libc.capget(ctypes.byref(header), ctypes.byref(sets)):
        raise _failure(None)
    return int(sets[0].permitted) | int(sets[1].permitted) << 32


def set_capabilities(mask: int) -> None:
    """Make `mask` the permitted and the effective set; nothing is inheritable. capset(2)."""
    if _libc.capset(*capability_sets(mask)):
        raise _failure(None)


def capability_sets(mask: int) -> tuple[object, object]:
    """Return what capset(2) is called with, for that."""
    header, sets = _CapabilityHeader(_CAPABILITY_VERSION, 0), _CapabilitySets()
    for half, part in zip(sets, (mask & 0xFFFFFFFF, mask >> 32), strict=True):
        half.effective = half.permitted = part
    return ctypes.pointer(header), ctypes.pointer(sets)


def syncfs(fd: int) -> None:
    """syncfs(2): put all of a file system that is written but not on the disk there."""
    if _libc.syncfs(fd):
        raise _failure(None)


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Give back what a stretch of a file takes; its size stays. fallocate(2)."""
    if _libc.fallocate(fd, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, offset, length) != 0:
        raise _failure(None)


def openat2(dirfd: int, path: bytes | str, flags: int, mode: int, resolve: int) -> int:
    """openat2(2): open beneath a directory as `resolve` allows; O_CLOEXEC is always set.

    Where something was renamed or mounted while the kernel followed a `..`, it can't tell whether
    that led out and wants to be asked again (EAGAIN); it is, a bounded number of times.
    """
    for _ in range(_MOST_RACES):
        fd = _try_openat2(dirfd, path, flags, mode, resolve)
        if fd >= 0 or ctypes.get_errno() != errno.EAGAIN:
            break
    if fd < 0:
        raise _failure(path)
    return fd


def _try_openat2(dirfd: int, path: bytes | str, flags: int, mode: int, resolve: int) -> int:
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    name = os.fsencode(path)
    fd = _openat2(
        ctypes.c_long(_SYS_OPENAT2),
        ctypes.c_int(dirfd),
        ctypes.c_char_p(name),
        ctypes.byref(how),
        _OPEN_HOW_SIZE,
    )
    return int(fd)


def syscall(number: int, path: str | None, *arguments: object) -> int:
    """Make a system call by its number; `path` is what its error names.

    Numbers are passed as the longs that the kernel reads, whatever the library's own width.
    """
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    found = int(_libc.syscall(ctypes.c_long(number), *wide))
    if found < 0:
        raise _failure(path)
    return found


def cloned_mount(path: str, *, follow: bool = False) -> int:
    """Return the descriptor of a mount of a file or directory that lies nowhere, close-on-exec.

    open_tree(2). Raises OSError, also where a privilege is missing.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (0 if follow else _AT_SYMLINK_NOFOLLOW)
    return syscall(_SYS_OPEN_TREE, path, AT_FDCWD, os.fsencode(path), flags)


def detached_mount(path: str, attributes: int, *, follow: bool = False) -> int:
    """Return the descriptor of a mount of a directory that lies nowhere, close-on-exec.

    It ends with its last descriptor. There is no way up from it, and none to what is mounted
    beneath the directory. It has these attributes, beside those of the directory's own mount.
    open_tree(2), mount_setattr(2). Raises OSError, also where a privilege or a kernel from 5.12 on
    is missing.
    """
    fd = cloned_mount(path, follow=follow)
    clear = MOUNT_ATTR_ANY_ATIME if attributes & MOUNT_ATTR_ANY_ATIME else 0
    wanted = _MountAttributes(attributes, clear, 0, 0)
    size = ctypes.sizeof(wanted)
    try:
        syscall(_SYS_MOUNT_SETATTR, path, fd, b"", _AT_EMPTY_PATH, ctypes.byref(wanted), size)
    except OSError:
        os.close(fd)
        raise
    return fd


def set_mount_attributes(path: str, attributes: int) -> None:
    """Give a mount, and all that are mounted in it, more attributes. mount_setattr(2), Linux 5.12.

    The last name of the path is followed where it is a link of /proc. Raises OSError.
    """
    wanted = _MountAttributes(attributes, 0, 0, 0)
    size = ctypes.sizeof(wanted)
    place = os.fsencode(path)
    syscall(_SYS_MOUNT_SETATTR, path, AT_FDCWD, place, _AT_RECURSIVE, ctypes.byref(wanted), size)


def fsopen(fstype: str) -> int:
    """Return the descriptor of a file system that is to be configured, close-on-exec. fsopen(2)."""
    return syscall(_SYS_FSOPEN, fstype, os.fsencode(fstype), _CLOEXEC)


def fsconfig(fd: int, key: str, value: str | None = None) -> None:
    """Set one option of a file system; without a value it is a flag. fsconfig(2).

    A value is shorter than 256 bytes.
    """
    if value is None:
        syscall(_SYS_FSCONFIG, key, fd, _FSCONFIG_SET_FLAG, key.encode(), None, 0)
    else:
        text = os.fsencode(value)
        syscall(_SYS_FSCONFIG, value, fd, _FSCONFIG_SET_STRING, key.encode(), text, 0)


def fsmount(fd: int, attributes: int = 0) -> int:
    """Make the file system that was configured; returns a mount of it that lies nowhere.

    fsconfig(2), FSCONFIG_CMD_CREATE; fsmount(2).
    """
    syscall(_SYS_FSCONFIG, None, fd, _FSCONFIG_CMD_CREATE, None, None, 0)
    return syscall(_SYS_FSMOUNT, None, fd, _CLOEXEC, attributes)


def move_mount(mount: int, target: str) -> None:
    """Lay a mount that lies nowhere on a directory. move_mount(2)."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH
    syscall(_SYS_MOVE_MOUNT, target, mount, b"", AT_FDCWD, os.fsencode(target), flags)


def inotify_init() -> int:
    """Return a descriptor to watch files with, closed on exec. inotify_init1(2)."""
    fd = int(_libc.inotify_init1(os.O_CLOEXEC))
    if fd < 0:
        raise _failure(None)
    return fd


def inotify_add_watch(fd: int, path: str, mask: int) -> None:
    """Have a descriptor tell of changes at `path`. inotify_add_watch(2)."""
    if _libc.inotify_add_watch(fd, os.fsencode(path), mask) < 0:
        raise _failure(path)


def _failure(path: bytes | str | None) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)
