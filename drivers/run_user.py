"""Who a run's command is: the user as its root file system knows it, and what it may do.

Owns the reading of /etc/passwd and /etc/group, which are hostile, in the root file system that this
process is in already; and the giving up of privileges, which can't be undone.
Sources: passwd(5), group(5), capabilities(7); moby's caps.DefaultCapabilities.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from layerstore.drivers import seccomp, syscalls

_MAX_FILE = 4 << 20
_MAX_GROUPS = 1024
_LARGEST_ID = 0xFFFFFFFE
_LAST_CAPABILITY = 63
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
    """Find `user[:group]`; each is a name or a number. Raises NoSuchUser and OSError."""
    name, colon, group = (text or "0").partition(":")
    entry = next((e for e in _lines("/etc/passwd", 7) if name in (e[0], e[2])), None)
    if entry is not None:
        name, uid, gid, home = entry[0], _number(entry[2]), _number(entry[3]), entry[5]
    else:
        uid, gid, home = _number(name), 0, "/"
    if colon:
        found = next((g for g in _lines("/etc/group", 4) if group in (g[0], g[2])), None)
        return User(uid, _number(found[2] if found is not None else group), (), home or "/")
    groups = [_number(g[2]) for g in _lines("/etc/group", 4) if name in g[3].split(",")]
    return User(uid, gid, tuple(groups[:_MAX_GROUPS]), home or "/")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > _LARGEST_ID:
        raise NoSuchUser(text)
    return int(text)


def _lines(path: str, count: int) -> Iterator[list[str]]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return
        content = file.read(_MAX_FILE)
    for line in content.decode("utf-8", "surrogateescape").splitlines():
        fields = line.split(":")
        if len(fields) >= count:
            yield fields


def become(user: User) -> None:
    """Be a user without more privileges than a container's, for good. Raises OSError."""
    kept = set(_KEPT_CAPABILITIES.values())
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in kept:
            try:
                syscalls.prctl(syscalls.PR_CAPBSET_DROP, capability)
            except OSError as error:
                if error.errno == errno.EINVAL:
                    break  # the kernel knows no more of them
                raise
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    mask = sum(1 << capability for capability in kept)
    syscalls.set_capabilities(syscalls.permitted_capabilities() & mask)
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    try:
        seccomp.forbid_in_container()
    except OSError as error:
        if error.errno != errno.ENOSYS:  # an instruction set that there is no list for
            raise
