"""System calls that a process gives up for good.

Owns the lists and the filter program made of them. A filter denies what is listed and what is newer
than the lists; everything else stays. Calls of another instruction set than the process's own end
it. Sources: seccomp(2), the kernel's Documentation/userspace-api/seccomp_filter.rst and its tables
of system calls; the columns are x86-64 and arm64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Collection, Mapping, Sequence
from functools import cache

from layerstore.drivers.confine.prepared import Calls
from layerstore.drivers.system import syscalls

_COLUMNS = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_SECCOMP = (317, 277)
_CLONE, _CLONE3, _IOCTL, _SOCKET = (56, 220), 435, (16, 29), (41, 198)
_FCNTL, _PRCTL = (72, 25), (157, 167)
_NEWEST = 462
"""Beyond it lies what these lists don't know, and what no C library needs."""
_NEVER: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "move_pages": (279, 239), "migrate_pages": (256, 238),
    "setns": (308, 268), "execve": (59, 221), "execveat": (322, 281),
    # the kernel and the machine
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "reboot": (169, 142),
    "syslog": (103, 116), "acct": (163, 89), "swapon": (167, 224), "swapoff": (168, 225),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    "vhangup": (153, 58), "personality": (135, 92), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "fanotify_init": (300, 262), "lookup_dcookie": (212, 18),
    # keys, handles of files that no path leads to, networks
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "socket": (41, 198),
    "connect": (42, 203), "bind": (49, 200),
}  # fmt: skip
_NOT_WHILE_UNPACKING: dict[str, tuple[int | None, int | None]] = {
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "fork": (57, None), "vfork": (58, None), "kill": (62, 129),
    "tkill": (200, 130), "tgkill": (234, 131), "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "prlimit64": (302, 261),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
}  # fmt: skip
_NOT_IN_A_CONTAINER: dict[str, tuple[int | None, int | None]] = {
    name: _NEVER[name]
    for name in (
        "kcmp", "pidfd_getfd", "process_madvise", "move_pages", "migrate_pages", "setns",
        "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "bpf",
        "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
        "reboot", "syslog", "acct", "swapon", "swapoff", "settimeofday", "clock_settime",
        "adjtimex", "clock_adjtime", "iopl", "ioperm", "vhangup", "quotactl", "quotactl_fd",
        "fanotify_init", "lookup_dcookie", "add_key", "request_key", "keyctl", "open_by_handle_at",
    )
} | {
    name: _NOT_WHILE_UNPACKING[name]
    for name in (
        "mount", "umount2", "pivot_root", "open_tree", "move_mount", "fsopen", "fsconfig",
        "fsmount", "fspick", "mount_setattr", "unshare",
    )
}  # fmt: skip
"""What docker's own profile denies to processes without further capabilities, as near as may be."""
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX type for the user where stderr is a terminal."""
_SENDS_SIGNALS = (8, 10, 15)
"""F_SETOWN, F_SETSIG and F_SETOWN_EX: a file that has news sends any signal to any process."""
_SENDS_OR_FREEZES = (0x8901, 0x8902, 0xC0045877, 0xC0045878)
"""FIOSETOWN and SIOCSPGRP, the same by ioctl; FIFREEZE and FITHAW, for a whole file system."""
_OF_THE_FILE_SYSTEM = (0x401C5820, 0x40086602)
"""FS_IOC_FSSETXATTR and FS_IOC_SETFLAGS: they take a file out of the project that bounds its layer,
which the kernel lets its owner do but in a user namespace."""
_SUBVOLUMES = (0x50009401, 0x5000940E, 0x50009417, 0x50009418, 0x4008941A)
"""BTRFS_IOC_SNAP_CREATE, SUBVOL_CREATE, both in their second version, and SUBVOL_SETFLAGS, which
any user may: what is written to a subvolume that is made in a layer doesn't count for its quota."""
_HIDES = (1, 35)
"""PR_SET_PDEATHSIG and PR_SET_MM, by which a fork would outlive its worker under another name."""
_OF_A_CONTAINER = 0
"""Flags of clone(2) of programs that `run` starts, which do with each other what they like."""
_SOCKETS_OF_THE_MACHINE = (38, 40)
"""AF_ALG, the kernel's own cryptography (CVE-2026-31431), and AF_VSOCK, by which virtual machines
talk to their host whatever the network namespace."""
_NAMESPACES = 0x7E020000

_LOAD, _EQUAL, _GREATER, _AND, _RETURN = 0x20, 0x15, 0x25, 0x54, 0x06
_AT_LEAST, _JUMP = 0x35, 0x05
_FEW = 3
_ALLOW, _DENY, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
_SET_MODE_FILTER, _NO_SPECULATION_PENALTY = 1, 4
Instruction = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid(*, unpacking: bool) -> None:
    """Give up what no job needs, or also what a process that only unpacks doesn't need.

    For this thread and all that it starts; no_new_privs is set already. Raises OSError, with ENOSYS
    on an instruction set that isn't listed.
    """
    if unpacking:
        _forbidding({**_NEVER, **_NOT_WHILE_UNPACKING}, syscalls.CLONE_THREAD).make()
    else:
        _forbidding(_NEVER, None).make()


def forbidding_in_turn() -> tuple[Calls, Calls]:
    """Return the call for a process that will only unpack, and that for when it begins to.

    Together they are `forbid`. In between it may lay a mount somewhere.
    """
    denied = {**_NEVER, **_NOT_WHILE_UNPACKING}
    later = {name: denied.pop(name) for name in ("mount", "move_mount")}
    return _forbidding(denied, syscalls.CLONE_THREAD), _forbidding(later, None)


def forbid_in_container() -> None:
    """Give up mounting, new namespaces and what concerns the whole machine; as for `forbid`."""
    forbidding_in_container().make()


@cache
def forbidding_in_container() -> Calls:
    """Return the call for that, which forks of whoever asked for it once find ready."""
    return _forbidding(_NOT_IN_A_CONTAINER, _OF_A_CONTAINER)


def _forbidding(denied: Mapping[str, tuple[int | None, int | None]], clone: int | None) -> Calls:
    """Return the call for a filter; with `clone`, clone(2) only with these flags, no namespaces."""
    if platform_machine() not in _COLUMNS:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    column, architecture = _COLUMNS[platform_machine()]
    code = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in _filter(column, architecture, denied, clone)
    )
    program = ctypes.pointer(_Program(len(code) // 8, code))
    calls = Calls()
    calls.add("syscall", _SECCOMP[column], _SET_MODE_FILTER, _NO_SPECULATION_PENALTY, program)
    return calls


def platform_machine() -> str:
    """Return the kernel's name of the machine; a 32-bit process counts as none of the list."""
    return os.uname().machine if ctypes.sizeof(ctypes.c_void_p) == 8 else ""


def _filter(
    column: int,
    architecture: int,
    denied: Mapping[str, tuple[int | None, int | None]],
    clone: int | None,
) -> list[Instruction]:
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_GREATER, 0, 1, _NEWEST),
        _deny(errno.ENOSYS),
    ]
    numbers = (numbers[column] for numbers in denied.values())
    code += _denying(sorted(number for number in numbers if number is not None))
    if clone is not None:
        # A C library that gets ENOSYS takes clone(2), whose flags a filter can look at.
        code += [(_EQUAL, 0, 1, _CLONE3), _deny(errno.ENOSYS)]
        only = [
            (_LOAD, 0, 0, _FIRST),
            (_AND, 0, 0, _NAMESPACES | clone),
            (_EQUAL, 1, 0, clone),
            _deny(errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ]
        code += [(_EQUAL, 0, len(only), _CLONE[column]), *only]
    code += _without(_SOCKET[column], _FIRST, _SOCKETS_OF_THE_MACHINE)
    ours = clone != _OF_A_CONTAINER
    more = _SENDS_OR_FREEZES if ours else _OF_THE_FILE_SYSTEM + _SUBVOLUMES
    code += _without(_IOCTL[column], _SECOND, _TERMINAL_INPUT + more)
    if ours:
        code += _without(_FCNTL[column], _SECOND, _SENDS_SIGNALS)
    if ours and clone is not None:
        code += _without(_PRCTL[column], _FIRST, _HIDES)
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _denying(numbers: Sequence[int]) -> list[Instruction]:
    """Deny the calls with these numbers, which are in order, by looking in one half after another.

    The kernel goes through a filter that it is given with every number that there is.
    """
    if len(numbers) <= _FEW:
        return [one for number in numbers for one in ((_EQUAL, 0, 1, number), _deny(errno.EPERM))]
    middle = len(numbers) // 2
    lower, upper = _denying(numbers[:middle]), _denying(numbers[middle:])
    branch = (_AT_LEAST, len(lower) + 1, 0, numbers[middle])
    return [branch, *lower, (_JUMP, 0, 0, len(upper)), *upper]


def _without(number: int, argument: int, values: Collection[int]) -> list[Instruction]:
    """Deny a call with one of these values for an argument, of which the kernel takes 32 bits."""
    code: list[Instruction] = [(_LOAD, 0, 0, argument)]
    for value in values:
        code += [(_EQUAL, 0, 1, value), _deny(errno.EPERM)]
    code.append((_RETURN, 0, 0, _ALLOW))
    return [(_EQUAL, 0, len(code), number), *code]


def _deny(number: int) -> Instruction:
    return (_RETURN, 0, 0, _DENY | number)
