"""Who a run's command is: the user as its root file system knows it, and what it may do.

Owns the reading of /etc/passwd and /etc/group, which are hostile, in the root file system that this
process is in already; and the giving up of privileges, which can't be undone.
Sources: passwd(5), group(5), capabilities(7); moby's caps.DefaultCapabilities.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from layerstore.drivers.confine import capabilities, seccomp
from layerstore.drivers.errors import DriverError
from layerstore.drivers.system import syscalls

_MAX_FILE = 4 << 20
_MAX_GROUPS = 1024
_MAX_DIGITS = 100
_LARGEST_ID = 0xFFFFFFFE
_MEANT_FOR_A_NUMBER = re.compile(r"\s*[-+]?\d+\s*\Z")
_KEPT_CAPABILITIES = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
    "SETPCAP": 8, "NET_BIND_SERVICE": 10, "NET_RAW": 13, "SYS_CHROOT": 18, "MKNOD": 27,
    "AUDIT_WRITE": 29, "SETFCAP": 31,
}  # fmt: skip


class NoSuchUser(Exception):
    """The user or group isn't in the root file system, or is no number that there can be."""


@dataclass(frozen=True, slots=True)
class User:
    """Numbers of a user and its groups, and its home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def find_user(text: str) -> User:
    """Find `user[:group]`; each is a name or a number. Raises NoSuchUser, DriverError.

    What looks like a number is one, whatever /etc/passwd calls so: else an image could make root of
    a user that was to be none (CVE-2016-3697, CVE-2026-46680). The primary group is among the
    supplementary ones, so that what is forbidden to it is forbidden (CVE-2022-36109).
    """
    name, colon, group = (text or "0").partition(":")
    entry = _entry("/etc/passwd", 7, name)
    if entry is not None:
        name, uid, gid, home = entry[0], _number(entry[2]), _number(entry[3]), entry[5]
    else:
        uid, gid, home = _number(name), 0, "/"
    if colon:
        found = _entry("/etc/group", 4, group)
        gid, named = _number(found[2] if found is not None else group), []
    else:
        named = [_number(g[2]) for g in _lines("/etc/group", 4) if name in g[3].split(",")]
    groups = tuple(dict.fromkeys([gid, *named]))
    return User(uid, gid, groups[:_MAX_GROUPS], home or "/")


def _entry(path: str, count: int, asked: str) -> list[str] | None:
    """Return the line of what is asked for: by its number if that is one, else by its name."""
    if _MEANT_FOR_A_NUMBER.match(asked):
        number = _number(asked)
        return next((e for e in _lines(path, count) if _is(e[2], number)), None)
    return next((e for e in _lines(path, count) if e[0] == asked), None)


def _is(text: str, number: int) -> bool:
    try:
        return _number(text) == number
    except NoSuchUser:
        return False


def _number(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    if not is_number or int(text) > _LARGEST_ID:
        raise NoSuchUser(text)
    return int(text)


def _lines(path: str, count: int) -> Iterator[list[str]]:
    try:
        content = _content(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise DriverError.from_os_error("read", path, error) from error
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.split(":")
        if len(fields) >= count and "\0" not in line:
            yield fields


def _content(path: str) -> bytes:
    """Read a file's beginning; what is no file on a disk is empty.

    Opening a device, or reading what the kernel tells of itself, may have consequences.
    """
    found = syscalls.openat2(syscalls.AT_FDCWD, path, os.O_PATH, 0, syscalls.RESOLVE_NO_MAGICLINKS)
    try:
        facts = os.fstat(found)
        kernel_s = {os.stat(place).st_dev for place in ("/proc", "/sys")}
        if not stat.S_ISREG(facts.st_mode) or facts.st_dev in kernel_s:
            return b""
        with open(f"/proc/self/fd/{found}", "rb") as file:
            return file.read(_MAX_FILE)
    finally:
        os.close(found)


def become(user: User) -> None:
    """Be a user without more privileges than a container's, for good. Raises OSError."""
    kept = _KEPT_CAPABILITIES.values()
    capabilities.bound(kept)
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    capabilities.keep(kept)
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    try:
        seccomp.forbid_in_container()
    except OSError as error:
        if error.errno != errno.ENOSYS:  # an instruction set that there is no list for
            raise
