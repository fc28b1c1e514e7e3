"""System calls about user namespaces and mounts that Python's os module lacks.

Owns their numbers and constants; every failure is an OSError with the real errno.
Sources: clone(2), mount_setattr(2), move_mount(2), setfsuid(2) and the kernel's include/uapi.
"""

from __future__ import annotations

import ctypes
import os

from layerstore.drivers.system import syscalls as sc

_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH, _MOVE_MOUNT_T_EMPTY_PATH = 0x04, 0x40
_AT_EMPTY_PATH, _AT_SYMLINK_NOFOLLOW = 0x1000, 0x100
_MOUNT_ATTR_IDMAP = 0x00100000
_CLONE_VM, _CLONE_VFORK, _CLONE_NEWUSER = 0x100, 0x4000, 0x10000000
_STACK = 16_384
_WALL = 0x40000000
"""Wait for children of every kind, as those are that send no signal when they end. wait(2)."""
_LEAVE_ALONE = 0xFFFFFFFF
_PR_GET_DUMPABLE = 3

_libc = ctypes.CDLL(None, use_errno=True)
_libc.clone.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_EXIT = ctypes.cast(_libc._exit, ctypes.c_void_p).value


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns"))


class EndedChild:
    """A process that was made with a user namespace of its own, and has ended; not yet reaped.

    It is made of no memory and no code of this process but the C library's _exit, so that it takes
    no time and no lock, however many threads there are. What it was can be asked of /proc still,
    as long as the `with` block goes on.
    """

    def __enter__(self) -> int:
        """Return its process ID. Raises OSError."""
        stack = ctypes.create_string_buffer(_STACK)
        top = (ctypes.addressof(stack) + _STACK) & ~15
        # The caller waits until it has ended: CLONE_VFORK. It sends no signal then.
        flags = _CLONE_VM | _CLONE_VFORK | _CLONE_NEWUSER
        self._pid = int(_libc.clone(_EXIT, top, flags, None))
        if self._pid < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "a user namespace")
        return self._pid

    def __exit__(self, *_: object) -> None:
        os.waitpid(self._pid, _WALL)


def write_maps(pid: int, users: str, groups: str) -> None:
    """Give a process's new user namespace its maps, in the kernel's form. Raises OSError."""
    for name, text in (("uid_map", users), ("gid_map", groups)):
        # One write has to have all of it; see user_namespaces(7).
        file = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)


def mapped_mount(path: str, user_namespace: int, attributes: int = 0) -> int:
    """Return the descriptor of a mount of a file or directory that lies nowhere, with a map.

    Owners are shown as the map of the descriptor `user_namespace` has it: what has an inside ID on
    the disk has the outside one there. Needs Linux 5.12, and a file system that can. Raises
    OSError: EINVAL or EOPNOTSUPP for those that can't, EPERM without a privilege over it.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_SYMLINK_NOFOLLOW
    fd = sc.syscall(_SYS_OPEN_TREE, path, sc.AT_FDCWD, os.fsencode(path), flags)
    wanted = _MountAttributes(attributes | _MOUNT_ATTR_IDMAP, 0, 0, user_namespace)
    size = ctypes.sizeof(wanted)
    try:
        sc.syscall(_SYS_MOUNT_SETATTR, path, fd, b"", _AT_EMPTY_PATH, ctypes.byref(wanted), size)
    except OSError:
        os.close(fd)
        raise
    return fd


def move_mount(fd: int, target: str | int) -> None:
    """Attach a mount that lies nowhere: at a path, not following a link there, or a descriptor."""
    flags, directory, path = _MOVE_MOUNT_F_EMPTY_PATH, sc.AT_FDCWD, b""
    if isinstance(target, int):
        flags, directory = flags | _MOVE_MOUNT_T_EMPTY_PATH, target
    else:
        path = os.fsencode(target)
    sc.syscall(_SYS_MOVE_MOUNT, os.fsdecode(path) or None, fd, b"", directory, path, flags)


def make_files_as(user: int, group: int) -> None:
    """Have the calling thread own what it makes as this user and group, with all its capabilities.

    For a thread that ends soon. Raises OSError.
    """
    dumpable = int(_libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0))
    for call, wanted in ((_libc.setfsgid, group), (_libc.setfsuid, user)):
        call(ctypes.c_uint(wanted))
        if call(ctypes.c_uint(_LEAVE_ALONE)) != ctypes.c_int(wanted).value:
            raise PermissionError(1, "an owner of files can't be chosen", str(wanted))
    sc.set_capabilities(sc.permitted_capabilities())  # the effective ones went with user 0
    if dumpable == 1:  # which the kernel has taken from the whole process
        sc.prctl(sc.PR_SET_DUMPABLE, 1)
