"""The process that becomes a second command: from its fork to its exec, in a hostile container.

Owns what happens in that process. From its fork on it is seen in the container's /proc, from
joining on every path is the container's, and changes while it is looked at. It holds no descriptor
of a directory of this machine, and none that a `#!` line or a working directory could lead to but
the standard streams (CVE-2016-9962, CVE-2024-21626). Sources: setns(2), ioctl_tty(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct

from layerstore.drivers.cgroup.group import enter
from layerstore.drivers.errors import DriverError, InvalidName, NotRunning
from layerstore.drivers.sandbox.command import (
    close_all_but,
    end_with,
    environment_of,
    execute,
    forget_imports,
    reset_signals,
    stand_on_terminal,
)
from layerstore.drivers.sandbox.spec import RunSpec
from layerstore.drivers.sandbox.user import NoSuchUser, User, become, find_user
from layerstore.drivers.system import syscalls

_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441
_PTMX = (5, 2)
_EVERYWHERE = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWCGROUP
)


def become_joined(
    spec: RunSpec,
    report: socket.socket,
    parent: int,
    *,
    pidfd: int,
    entrances: list[int],
    raw_packets: bool,
    other_users: bool,
) -> None:
    """Join the container, give up privileges, and execute; called in a new fork.

    It may have `other_users` than this process, and may let nobody make `raw_packets`, as whoever
    is in a private network may not. Raises LayerStoreError and OSError; returns never else.
    """
    forget_imports()
    os.setsid()
    os.umask(0o022)
    try:
        enter(entrances)
        close_all_but(report.fileno(), parent, pidfd)
        _join(pidfd, other_users=other_users)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENOENT, errno.ESRCH):
            raise NotRunning("the first command") from error
        raise DriverError.from_os_error("join", "the container", error) from error
    os.close(pidfd)
    try:
        user = find_user(spec.user)
    except NoSuchUser as error:
        raise InvalidName(spec.user, f"no user or group {error} is in it") from error
    if spec.terminal:
        try:
            _take_terminal(report, user)
        except OSError as error:
            raise DriverError.from_os_error("open a terminal in", "/dev/pts", error) from error
    become(user, raw_packets=raw_packets, new_users=other_users)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)  # which another user's ID may have changed
    end_with(parent)
    _go_to(spec.workdir)
    reset_signals()
    execute(spec.argv, environment_of(spec, user))


def _join(pidfd: int, *, other_users: bool) -> None:
    """Be in all of its namespaces; of users only where it has others than this process."""
    if not other_users:
        syscalls.setns(pidfd, _EVERYWHERE)
        return
    syscalls.setns(pidfd, _EVERYWHERE | syscalls.CLONE_NEWUSER)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)


def _take_terminal(report: socket.socket, user: User) -> None:
    """Open a terminal of the container's own, by no path but the first, and hand it over."""
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW)
    found = os.fstat(master)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(*_PTMX):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    os.fchown(slave, user.uid, -1)
    stand_on_terminal(report, master, slave)


def _go_to(path: str) -> None:
    """Go to the working directory, which has to be in the container. Raises DriverError."""
    try:
        os.chdir(path)
        os.getcwd()  # fails where this is beneath no root
    except OSError as error:
        raise DriverError.from_os_error("go to", path, error) from error
