"""Giving up all capabilities but some, for good. capabilities(7).

Owns how; which are kept is for whoever gives them up to say, by their numbers.
"""

from __future__ import annotations

import errno
from collections.abc import Collection

from layerstore.drivers.confine.prepared import Calls
from layerstore.drivers.system import syscalls

_LAST = 63


def bound(kept: Collection[int]) -> None:
    """Take all others out of the bounding set, so that no program brings them back.

    Raises OSError.
    """
    for capability in range(_LAST + 1):
        if capability in kept:
            continue
        try:
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return  # the kernel knows no more of them
            raise


def bounding(kept: Collection[int]) -> Calls:
    """Return the calls of `bound`, for this kernel. Raises OSError."""
    with open("/proc/sys/kernel/cap_last_cap", "rb") as file:
        last = int(file.read())
    calls = Calls()
    for capability in sorted(set(range(last + 1)) - set(kept)):
        calls.add("prctl", syscalls.PR_CAPBSET_DROP, capability, 0, 0, 0)
    return calls


def keeping(kept: Collection[int]) -> Calls:
    """Return the call of `keep`, for a process that may have what this one may. Raises OSError."""
    mask = syscalls.permitted_capabilities() & _mask(kept)
    calls = Calls()
    calls.add("capset", *syscalls.capability_sets(mask))
    return calls


def keep(kept: Collection[int]) -> None:
    """Have no others any more; of these, those that there are. Raises OSError."""
    syscalls.set_capabilities(syscalls.permitted_capabilities() & _mask(kept))


def _mask(kept: Collection[int]) -> int:
    return sum(1 << capability for capability in kept)
