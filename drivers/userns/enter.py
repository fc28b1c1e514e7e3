"""A user namespace of its own for this process, in which an ordinary user may mount.

Owns its making: the maps of IDs by newuidmap(1) and newgidmap(1), or of the user's own ID where
there are none for it. It is for processes of one thread, and for good. Nobody gets a privilege
outside that the user hasn't.
Sources: user_namespaces(7), mount_namespaces(7), newuidmap(1).
"""

from __future__ import annotations

import errno
import os
import pwd
import signal
from collections.abc import Callable

from layerstore.drivers.errors import DriverError, NotPermitted
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.printable import escaped
from layerstore.drivers.userns import subids
from layerstore.drivers.userns.id_map import IdRange, kernel_text

_WHAT = "a user namespace"
_BOUNDED = (errno.ENOSPC, errno.EUSERS)
_MOST_SAID = 4096
_LEAVING = 0.1
"""Seconds for a thread that has ended to be gone."""
_APPARMOR = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
    (_APPARMOR, "1"),
)
"""What an administrator turns user namespaces off by, and the value that says so."""


def enter() -> tuple[str, ...]:
    """Make a user and a mount namespace, and be root in them, for the rest of this process.

    The process's user becomes 0 there, and those from 1 are the ranges that /etc/subuid has for it;
    groups likewise. What it mounts is seen by nobody outside, and gone when the last process is
    gone that has come from it. Returns why there is no more than the user's own ID, or group, where
    that is so. Raises NotPermitted where the machine lets nobody do this, and DriverError for a
    process of several threads. Nothing has changed then, but where a security module lets a
    namespace be made and its map not be written: in that the process is nobody.
    """
    check_threads()
    _try()
    user, group = os.geteuid(), os.getegid()
    users = _Map("newuidmap", "uid", user, _ranges("/etc/subuid", user))
    groups = _Map("newgidmap", "gid", group, _ranges("/etc/subgid", user))
    try:
        for one in (users, groups):
            one.begin()
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
        for one in (groups, users):
            one.finish()
    except OSError as error:
        raise refusal(error) from error
    finally:
        for one in (users, groups):
            one.close()
    return tuple(one.lacking for one in (users, groups) if one.lacking)


def check_threads() -> None:
    """Raise DriverError where this process has more than one thread: none of them could enter."""
    threads = _threads()
    if threads > 1:
        # One that was joined may not have left the kernel yet.
        from tenacity import (  # noqa: PLC0415 - seldom needed, and long to import
            Retrying,
            retry_if_result,
            stop_after_attempt,
            wait_fixed,
        )

        again = Retrying(
            retry=retry_if_result(lambda count: count > 1),
            wait=wait_fixed(_LEAVING / 10),
            stop=stop_after_attempt(10),
            retry_error_callback=lambda _: _threads(),
        )
        threads = again(_threads)
    if threads > 1:
        detail = f"the process has {threads} threads: do it before any is started"
        raise DriverError("enter", _WHAT, errno.EINVAL, detail)


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def refusal(error: OSError) -> DriverError:
    """Return the error for a namespace that there can't be, with what forbids it."""
    if error.errno in _BOUNDED:  # of namespaces, not of the disk
        return NotPermitted("make", _WHAT, error.errno or errno.EPERM, _why(error))
    return DriverError.from_os_error("make", _WHAT, error, _why(error))


def _why(error: OSError) -> str:
    for path, off in _SWITCHES:
        try:
            with open(path) as file:
                if file.read(16).strip() == off:
                    return f"{path} is {off}"
        except OSError:
            continue
    if error.errno in _BOUNDED:
        return "there are as many as there may be, see /proc/sys/user/max_user_namespaces"
    return (
        "a filter of system calls or a security module forbids it, as a container's does, or this "
        "process is in a chroot"
    )


def _ranges(path: str, user: int) -> list[tuple[int, int]]:
    return subids.subordinate(path, user, _name(user))


def _name(user: int) -> str | None:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return None


def _try() -> None:
    """Try it in a process of its own where it may be given without anything that it is good for.

    A security module lets a namespace be made then, but its user be nobody. Raises DriverError.
    """
    if not os.path.exists(_APPARMOR):
        return
    user, group = os.geteuid(), os.getegid()

    def trial() -> None:
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
        _map_own(user, group)
        syscalls.mount("layerstore", "/proc", "tmpfs", 0, "")

    pid = os.fork()
    if pid == 0:
        _end_of(trial)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise refusal(OSError(code if code > 0 else errno.EPERM, "a trial has failed"))


def _end_of(step: Callable[[], None]) -> None:
    status = errno.EPERM
    try:
        step()
        status = 0
    except OSError as error:
        status = error.errno or errno.EPERM
    finally:
        os._exit(status)


def _map_own(user: int, group: int) -> None:
    _write("setgroups", "deny")
    _write("uid_map", kernel_text([IdRange(0, user, 1)]))
    _write("gid_map", kernel_text([IdRange(0, group, 1)]))


def _write(name: str, text: str) -> None:
    fd = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


class _Map:
    """One map, written by a program that a fork outside of the namespace executes in time."""

    def __init__(self, name: str, kind: str, own: int, more: list[tuple[int, int]]) -> None:
        """`kind` is uid or gid, `own` the ID that 0 is to be, `more` what a user has beside it."""
        self.ranges = subids.inside_from_one(own, more)
        self.lacking = ""
        self._kind = kind
        self._program = subids.program(name)
        self._pid = self._go = self._said = -1
        if len(self.ranges) == 1:
            self.lacking = f"/etc/sub{kind} has no range for the user"
        elif self._program is None:
            self.lacking = f"there is no {name} (package uidmap)"

    def begin(self) -> None:
        """Have the program ready. Raises DriverError."""
        if self.lacking or self._program is None:
            return
        numbers = [(one.inside, one.outside, one.count) for one in self.ranges]
        words = [str(number) for row in numbers for number in row]
        command = [self._program, str(os.getpid()), *words]
        try:
            go, self._go = os.pipe2(os.O_CLOEXEC)
            self._said, said = os.pipe2(os.O_CLOEXEC)
            self._pid = os.fork()
        except OSError as error:
            raise DriverError.from_os_error("begin", self._program, error) from error
        if self._pid == 0:
            _become_helper(command, go, self._go, said)
        os.close(go)
        os.close(said)

    def finish(self) -> None:
        """Have the map written, or that of the own ID alone. Raises OSError."""
        if self._pid > 0:
            os.write(self._go, b"1")
            text = _all_of(self._said)
            _, status = os.waitpid(self._pid, 0)
            self._pid = -1
            if status:
                said = escaped(text.decode("utf-8", "replace").strip())
                self.lacking = f"{self._program} refuses: {said}"
        if not self.lacking:
            return
        self.ranges = self.ranges[:1]
        if self._kind == "gid":
            _write("setgroups", "deny")
        _write(f"{self._kind}_map", kernel_text(self.ranges))

    def close(self) -> None:
        """Let go of the program, which does nothing where it wasn't told to."""
        for fd in (self._go, self._said):
            if fd >= 0:
                os.close(fd)
        if self._pid > 0:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _become_helper(command: list[str], go: int, other: int, said: int) -> None:
    """Wait for a word, or for nobody to be there any more, and become the program."""
    try:
        os.close(other)
        if os.read(go, 1):
            null = os.open(os.devnull, os.O_RDWR)
            for fd, target in ((null, 0), (said, 1), (said, 2)):
                os.dup2(fd, target)
            os.execve(command[0], command, {"LC_ALL": "C"})  # noqa: S606
    finally:
        os._exit(127)


def _all_of(fd: int) -> bytes:
    content = b""
    while piece := os.read(fd, _MOST_SAID):
        content = (content + piece)[:_MOST_SAID]
    return content
