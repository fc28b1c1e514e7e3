"""What a child process gives up before its first job, and what of it the kernel didn't let it.

Owns the order: namespaces need capabilities, which go next, and the filter of system calls is last.
It holds for all of the process and can't be undone. docs/design-notes.md says what it is good for.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass

from layerstore.drivers.confine import capabilities, seccomp
from layerstore.drivers.confine.narrow import see_only_root
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.system import syscalls

_MAX_DESCRIPTORS = 4096
_KEPT_CAPABILITIES = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,  # files of any owner and mode are made, read and removed
    "FOWNER": 3,  # modes, times and attributes of files that were given away
    "FSETID": 4,  # set-group-ID bits for any group
    "SYS_ADMIN": 21,  # trusted.* attributes, namely overlayfs's marks; views of whole trees
    "MKNOD": 27,  # whiteouts and devices
    "SETFCAP": 31,  # security.capability of files
}
FILTER = "system call filter"
VISIBLE = "mount namespace of the root alone"


@dataclass(frozen=True, slots=True)
class Confinement:
    """How worker processes are confined: what was done, and what wasn't with the reason."""

    done: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        parts = [", ".join(self.done) or "none"]
        if self.missing:
            parts.append("missing: " + ", ".join(self.missing))
        return "; ".join(parts)


def limit_resources(limits: Limits) -> None:
    """Bound memory and descriptors, and write no core files. Never raises a limit."""
    for kind, wanted in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MAX_DESCRIPTORS),
        (resource.RLIMIT_AS, limits.max_memory),
    ):
        _, hard = resource.getrlimit(kind)
        bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (bound, bound))


def confine(root: str) -> Confinement:
    """Confine this process, which has no threads, to working beneath `root`."""
    kept = _KEPT_CAPABILITIES.values()
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        (VISIBLE, lambda: see_only_root(root)),
        ("network namespace", lambda: syscalls.unshare(syscalls.CLONE_NEWNET)),
        ("IPC namespace", lambda: syscalls.unshare(syscalls.CLONE_NEWIPC)),
        ("UTS namespace", lambda: syscalls.unshare(syscalls.CLONE_NEWUTS)),
        ("bounding set", lambda: capabilities.bound(kept)),
        ("capabilities " + " ".join(_KEPT_CAPABILITIES), lambda: capabilities.keep(kept)),
        ("no new privileges", lambda: syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)),
        (FILTER, lambda: seccomp.forbid(unpacking=False)),
    )
    done, missing = [], []
    for name, step in steps:
        try:
            step()
        except OSError as error:
            missing.append(f"{name} ({error.strerror})")
        else:
            done.append(name)
    if VISIBLE in done:
        done.insert(1, "unpacking in a process that sees its layer alone")
    return Confinement(tuple(done), tuple(missing))
