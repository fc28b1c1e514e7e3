"""Who a run's command is: the user as its root file system knows it, and what it may do.

Owns the reading of /etc/passwd and /etc/group, which are hostile, in the root file system that this
process is in already; and the giving up of privileges, which can't be undone.
Sources: passwd(5), group(5), capabilities(7); moby's caps.DefaultCapabilities.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from layerstore.drivers.confine import capabilities, seccomp
from layerstore.drivers.confine.prepared import Calls
from layerstore.drivers.errors import DriverError, InvalidName
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.readable import content_of

_MAX_FILE = 4 << 20
_MAX_GROUPS = 1024
_MAX_DIGITS = 100
_LARGEST_ID = 0xFFFFFFFE
KEPT_CAPABILITIES = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
    "SETPCAP": 8, "NET_BIND_SERVICE": 10, "NET_RAW": 13, "SYS_CHROOT": 18, "MKNOD": 27,
    "AUDIT_WRITE": 29, "SETFCAP": 31,
}  # fmt: skip


class NoSuchUser(Exception):
    """The user or group isn't in the root file system, or is no number that there can be."""


class User(NamedTuple):
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
    named: list[int] = []
    if colon:
        found = _entry("/etc/group", 4, group)
        gid = _number(found[2] if found is not None else group)
    elif entry is not None:  # the members of a group are names, however they look
        named = [_number(g[2]) for g in _lines("/etc/group", 4) if name in g[3].split(",")]
    groups = tuple(dict.fromkeys([gid, *named]))
    return User(uid, gid, groups[:_MAX_GROUPS], home or "/")


def _entry(path: str, count: int, asked: str) -> list[str] | None:
    """Return the line of what is asked for: by its number if that is one, else by its name."""
    number = _number(asked) if _is_meant_for_a_number(asked) else None
    for entry in _lines(path, count):
        if entry[0] == asked if number is None else _number_or_none(entry[2]) == number:
            return entry
    return None


def _is_meant_for_a_number(text: str) -> bool:
    without_space = text.strip()
    digits = without_space[1:] if without_space[:1] in ("-", "+") else without_space
    return digits.isdecimal()


def _number(text: str) -> int:
    number = _number_or_none(text)
    if number is None:
        raise NoSuchUser(text)
    return number


def _number_or_none(text: str) -> int | None:
    """Return an ID, or None for what is no number that there can be."""
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        number = int(text)
        return number if number <= _LARGEST_ID else None
    return None


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
        return content_of(f"/proc/self/fd/{found}", min(facts.st_size, _MAX_FILE))
    finally:
        os.close(found)


def _may_set_groups() -> bool:
    """Whether this user namespace lets anybody have other groups; see user_namespaces(7)."""
    try:
        return content_of("/proc/self/setgroups").strip() != b"deny"
    except FileNotFoundError:  # a kernel without user namespaces
        return True


_bounding: dict[bool, Calls] = {}
"""Calls of `_bound` that are ready, by whether raw packets are made."""
_giving_up: dict[tuple[bool, bool], Calls] = {}
"""Calls of `_give_up` that are ready, by that, and by whether any capability is kept."""
_bounded: set[int] = set()
"""Which capabilities alone the bounding set has, where this process was forked by one that has seen
to that; else empty."""


def prepare() -> None:
    """Get ready what is the same for all, for those that this process forks."""
    with contextlib.suppress(OSError):  # no /proc/sys, without which it is found out by trying
        for raw_packets in (True, False):
            _bounding[raw_packets] = capabilities.bounding(_kept(raw_packets=raw_packets))
    with contextlib.suppress(OSError):  # an instruction set that there is no list for
        seccomp.forbidding_in_container()
    for raw_packets in (True, False):
        for kept in (_kept(raw_packets=raw_packets), set[int]()):
            _giving_up[raw_packets, bool(kept)] = _to_give_up(kept)


def bound_forks() -> None:
    """Have programs that forks of this process execute get no more than a container's capabilities.

    This one executes none. Raises OSError.
    """
    kept = _kept(raw_packets=True)
    capabilities.bound(kept)
    _bounded.update(kept)


def _kept(*, raw_packets: bool) -> set[int]:
    return {
        number for name, number in KEPT_CAPABILITIES.items() if raw_packets or name != "NET_RAW"
    }


def become(user: User, *, raw_packets: bool, new_users: bool) -> None:
    """Be a user without more privileges than a container's, for good.

    Without `raw_packets` it makes none. With `new_users` this process has come into another user
    namespace. Raises OSError, and InvalidName for one that there isn't in a user namespace.
    """
    _bound(raw_packets=raw_packets, new_users=new_users)
    try:
        _set_groups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        grammar = "the user namespace that this runs in has no such user and group"
        raise InvalidName(f"{user.uid}:{user.gid}", grammar) from error
    # Whoever isn't root has none by now.
    kept = _kept(raw_packets=raw_packets) if user.uid == 0 else set[int]()
    _give_up(kept, raw_packets=raw_packets, new_users=new_users)


def become_powerless(*, raw_packets: bool, new_users: bool) -> None:
    """Be root without any privilege, for good; who joins gets no more than a container's.

    The arguments are those of `become`. Raises OSError.
    """
    _bound(raw_packets=raw_packets, new_users=new_users)
    _set_groups(())
    _give_up(set(), raw_packets=raw_packets, new_users=new_users)


def _set_groups(groups: Sequence[int]) -> None:
    """Have these supplementary groups, unless this user namespace lets nobody have others."""
    try:
        os.setgroups(groups)
    except PermissionError:
        if _may_set_groups():
            raise


def _bound(*, raw_packets: bool, new_users: bool) -> None:
    if _bounded and not new_users:  # which have the whole set again, see user_namespaces(7)
        for capability in _bounded - _kept(raw_packets=raw_packets):
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, capability)
    elif raw_packets in _bounding:
        _bounding[raw_packets].make()
    else:
        capabilities.bound(_kept(raw_packets=raw_packets))


def _give_up(kept: set[int], *, raw_packets: bool, new_users: bool) -> None:
    """Keep only these capabilities, and get no more by whatever is executed."""
    # In new ones it may do more than was known.
    ready = None if new_users else _giving_up.get((raw_packets, bool(kept)))
    (ready or _to_give_up(kept)).make()
    try:
        seccomp.forbid_in_container()
    except OSError as error:
        if error.errno != errno.ENOSYS:  # an instruction set that there is no list for
            raise


def _to_give_up(kept: set[int]) -> Calls:
    calls = capabilities.keeping(kept)
    calls.add("prctl", syscalls.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return calls
