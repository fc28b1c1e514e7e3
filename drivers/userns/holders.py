"""Whose user namespace it is in which a root's mounts are seen, as long as somebody is in it.

Owns `<root>/layerstore/namespaces`, where each process of an ordinary user that works with the root
says that it is in one: a file named by its process ID, with the time of its start. So those that
run at the same time are in the same namespace, and see each other's mounts. Files say where to
look, no more: what is entered is a namespace that this user has made from the one it is in.
Sources: setns(2), ioctl_nsfs(2), proc_pid_stat(5).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.readable import stat_of
from layerstore.drivers.system.small_file import read_small

_NAME = "namespaces"
_NS_GET_PARENT, _NS_GET_OWNER_UID = 0xB702, 0xB704
_NUMBER = re.compile(r"[1-9]\d{0,9}", re.ASCII)
_MOST_DIGITS = 32
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def deciding(root: str) -> Iterator[int]:
    """Have the directory of files for a `with` block, and nobody else meanwhile.

    Raises DriverError.
    """
    path = f"{root}/layerstore/{_NAME}"
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        directory = os.open(path, _DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield directory
        finally:
            os.close(directory)
    except OSError as error:
        raise DriverError.from_os_error("use", path, error) from error


def join_any(directory: int) -> int | None:
    """Go into the namespaces of a process that is in one for this root; returns its process ID.

    None where there is none. Files of processes that are gone are removed. Raises OSError.
    """
    for name in sorted(os.listdir(directory)):
        if not _NUMBER.fullmatch(name):
            continue
        pid = int(name)
        if not _is_started(directory, name, pid):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
        elif _join(pid):
            return pid
    return None


def register(directory: int) -> str:
    """Say that this process is in one; returns the name of the file. Raises OSError."""
    name = str(os.getpid())
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        os.write(fd, _start_of(os.getpid()))
    finally:
        os.close(fd)
    return name


def others_in_here(root: str) -> bool:
    """Whether another process says that it is in this process's mount namespace, for this root."""
    here = os.stat("/proc/self/ns/mnt")
    with deciding(root) as directory:
        for name in os.listdir(directory):
            if not _NUMBER.fullmatch(name) or int(name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                same = os.path.samestat(os.stat(f"/proc/{name}/ns/mnt"), here)
                if same and _is_started(directory, name, int(name)):
                    return True
    return False


def _is_started(directory: int, name: str, pid: int) -> bool:
    """Whether the process of a file is the one that has written it."""
    try:
        return read_small(name, _MOST_DIGITS, directory=directory) == _start_of(pid)
    except OSError:
        return False


def _start_of(pid: int) -> bytes:
    """Return when a process was started, in ticks since the machine was."""
    return stat_of(pid)[21]


def _join(pid: int) -> bool:
    """Go into a process's namespaces, if its user namespace is one that this user has made."""
    with contextlib.ExitStack() as stack:
        try:
            users, mounts = (_open(stack, f"/proc/{pid}/ns/{kind}") for kind in ("user", "mnt"))
            own = _open(stack, "/proc/self/ns/user")
            if not _is_ours(users, own, stack):
                return False
            directory = os.getcwd()
            syscalls.setns(users, syscalls.CLONE_NEWUSER)
        except OSError:  # it has ended, or isn't ours
            return False
        syscalls.setns(mounts, syscalls.CLONE_NEWNS)
        os.chdir(directory)
        return True


def _is_ours(users: int, own: int, stack: contextlib.ExitStack) -> bool:
    owner = int.from_bytes(fcntl.ioctl(users, _NS_GET_OWNER_UID, bytes(4)), "little")
    parent = fcntl.ioctl(users, _NS_GET_PARENT)
    stack.callback(os.close, parent)
    return owner == os.geteuid() and os.path.samestat(os.fstat(parent), os.fstat(own))


def _open(stack: contextlib.ExitStack, path: str) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd
