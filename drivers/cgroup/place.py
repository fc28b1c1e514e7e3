"""Where groups of runs are made, and their names: beneath what this process may divide up.

Owns that choice. In v1 it is this process's own group. In v2 it is the nearest group, from its own
upwards, that systemd has delegated, else the uppermost that it can write to without a break: for
root on a machine the top of the tree. A group that gives controllers to those beneath it has no
processes of its own; they are moved aside only where all of them are the caller's.
Sources: the kernel's cgroup-v2.rst, "Delegation" and "No Internal Process Constraint"; systemd's
"Control Group APIs and Delegation".
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from layerstore.drivers.cgroup.control import write
from layerstore.drivers.cgroup.hierarchies import Hierarchy, words_of
from layerstore.drivers.cgroup.processes import is_beneath, pid_namespace, process_of
from layerstore.drivers.errors import DriverError

GONE = (errno.ENOENT, errno.ENODEV)
"""What is said of a group that is removed already, and of one that is just going."""
OURS = "layerstore"
"""The group that has all those of runs beneath it."""
_ASIDE = "layerstore-callers"
_NAME = re.compile(r"run-(\d{1,20})-(\d{1,10})-(\d{1,20})(?:-\d{1,10})?")
"""The keeper's, and a number of its own where that has several."""
_DELEGATED = ("user.delegate", "trusted.delegate")
_MOST_TRIES = 16
USEFUL = frozenset({"memory", "cpu", "pids", "io"})


class Keeper(NamedTuple):
    """The process that a run's group is named after, and that removes it."""

    namespace: int
    pid: int
    start_time: int

    @property
    def name(self) -> str:
        """What the group is called."""
        return f"run-{self.namespace}-{self.pid}-{self.start_time}"

    @property
    def is_there(self) -> bool:
        """Whether it still runs, as far as can be known here."""
        if self.namespace != pid_namespace():
            return True
        found = process_of(self.pid)
        return found is not None and found.start_time == self.start_time


def this_keeper() -> Keeper:
    """Return this process."""
    found = process_of("self")
    if found is None:
        raise DriverError("read", "/proc/self/stat", errno.ESRCH)
    return Keeper(pid_namespace(), found.pid, found.start_time)


def keeper_of(group: str) -> Keeper | None:
    """Return whose run a group is by its path; None for one that is no run's."""
    above, _, name = group.rpartition("/")
    match = _NAME.fullmatch(name)
    if match is None or os.path.basename(above) != OURS:
        return None
    return Keeper(*map(int, match.groups()))


def base_of(tree: Hierarchy) -> str | None:
    """Return the group beneath which to make others; None where there is none to write to."""
    if not tree.unified:
        return tree.own if os.access(tree.own, os.W_OK) else None
    found, at = None, tree.own
    while _is_ours_to_divide(at):
        found = at
        if _is_delegated(at) or at == tree.top:
            break
        at = os.path.dirname(at)
    return found


def _is_ours_to_divide(group: str) -> bool:
    return all(os.access(path, os.W_OK) for path in (group, f"{group}/cgroup.procs"))


def _is_delegated(group: str) -> bool:
    for name in _DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False


def make_beneath(
    base: str, name: str, wanted: Iterable[str] = (), useful: Iterable[str] = ()
) -> str:
    """Make a group of ours and return it; in v2 with controllers, those `useful` where they cost
    nothing.

    Somebody else's run, which ends, may remove what several have above them. Raises DriverError.
    """
    above = f"{base}/{OURS}"
    for left in reversed(range(_MOST_TRIES)):
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(above, 0o755)
            given = set(words_of(f"{base}/cgroup.subtree_control")) if useful else set()
            _give(base, set(wanted) - given)
            _give(above, {*wanted, *(given & set(useful))})
            os.mkdir(f"{above}/{name}", 0o755)
            return f"{above}/{name}"
        except (OSError, DriverError) as error:
            if error.errno not in GONE or not left:
                remove_above(base)
                raise _told(f"{above}/{name}", error) from error
    raise AssertionError("the last try returns or raises")


def _told(path: str, error: OSError | DriverError) -> DriverError:
    if isinstance(error, DriverError):
        return error
    return DriverError.from_os_error("make the control group", path, error)


def remove_above(base: str) -> None:
    """Remove the group that those of runs have above them, once none is left."""
    try:
        os.rmdir(f"{base}/{OURS}")
    except OSError as error:
        if error.errno not in (*GONE, errno.EBUSY, errno.ENOTEMPTY):
            raise


def _give(group: str, controllers: set[str]) -> None:
    """Have a group give controllers to those beneath it. Raises DriverError."""
    if not controllers:
        return
    missing = controllers - set(words_of(f"{group}/cgroup.subtree_control"))
    lacking = missing - set(words_of(f"{group}/cgroup.controllers"))
    if lacking:
        detail = f"this group has no controller {', '.join(sorted(lacking))}"
        raise DriverError("bound what runs in", group, errno.EOPNOTSUPP, detail)
    for name in sorted(missing):
        path = f"{group}/cgroup.subtree_control"
        try:
            write(path, f"+{name}")
        except DriverError as error:
            if error.errno != errno.EBUSY:
                raise
            _move_aside(group)
            write(path, f"+{name}")


def _move_aside(group: str) -> None:
    """Move the processes of a group beneath it, where they are the caller and what it started."""
    caller = os.getppid()
    for _ in range(_MOST_TRIES):
        inside = [int(word) for word in words_of(f"{group}/cgroup.procs")]
        if not inside:
            return
        others = [pid for pid in inside if not is_beneath(pid, caller) and process_of(pid)]
        if others:
            detail = f"it has processes of its own, such as {others[0]}, which aren't the caller's"
            raise DriverError("give controllers to groups in", group, errno.EBUSY, detail)
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{group}/{_ASIDE}", 0o755)
        for pid in inside:
            try:
                write(f"{group}/{_ASIDE}/cgroup.procs", str(pid))
            except DriverError as error:
                if error.errno != errno.ESRCH:
                    raise
    raise DriverError("give controllers to groups in", group, errno.EBUSY, "processes keep coming")
