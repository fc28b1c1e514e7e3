"""System calls that Python's os module lacks, through the C library.

Owns their numbers, constants and argument types; every failure is an OSError with the real errno.
Sources: mount(2), umount2(2), pivot_root(2), unshare(2), prctl(2), capset(2), openat2(2),
syncfs(2), fallocate(2), inotify(7) and the kernel's include/uapi headers.
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
CLONE_THREAD = 0x10000
CLONE_NEWNS = 0x20000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38

AT_FDCWD = -100
IN_MODIFY = 0x02
IN_MOVED_TO = 0x80
IN_CREATE = 0x100

_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_SYS_OPENAT2 = 437  # the same on every architecture
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
    arguments = [os.fsencode(text) for text in (source, target, fstype)]
    if _libc.mount(*arguments, flags, os.fsencode(data)):
        raise _failure(target)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    if _libc.umount2(os.fsencode(target), flags):
        raise _failure(target)


def unshare(flags: int) -> None:
    """unshare(2), for the calling thread."""
    if _libc.unshare(flags):
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


def permitted_capabilities() -> int:
    """Return the permitted set, a bit for each capability. capget(2)."""
    header, sets = _CapabilityHeader(_CAPABILITY_VERSION, 0), _CapabilitySets()
    if _libc.capget(ctypes.byref(header), ctypes.byref(sets)):
        raise _failure(None)
    return int(sets[0].permitted) | int(sets[1].permitted) << 32


def set_capabilities(mask: int) -> None:
    """Make `mask` the permitted and the effective set; nothing is inheritable. capset(2)."""
    header, sets = _CapabilityHeader(_CAPABILITY_VERSION, 0), _CapabilitySets()
    for half, part in zip(sets, (mask & 0xFFFFFFFF, mask >> 32), strict=True):
        half.effective = half.permitted = part
    if _libc.capset(ctypes.byref(header), ctypes.byref(sets)):
        raise _failure(None)


def syscall(number: int, first: int, second: int, structure: ctypes.Structure) -> None:
    """Make a system call of two numbers and a structure, by its number."""
    arguments = (ctypes.c_long(number), ctypes.c_long(first), ctypes.c_long(second))
    if _libc.syscall(*arguments, ctypes.byref(structure)) < 0:
        raise _failure(None)


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
