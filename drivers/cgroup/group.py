"""The group of one run: made before its command, joined by it, removed after it.

Owns its life. It ends by the hand of the process that made it; one whose maker was killed is ended
by whoever makes the next in the same place. Sources: cgroups(7); the kernel's cgroup-v2.rst for
cgroup.kill, cgroup.freeze and cgroup.events, cgroup-v1/freezer-subsystem.rst.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from layerstore.drivers.cgroup.control import bound, write
from layerstore.drivers.cgroup.hierarchies import Hierarchy, hierarchies, words_of
from layerstore.drivers.cgroup.limits import ResourceLimits
from layerstore.drivers.cgroup.place import (
    GONE,
    USEFUL,
    base_of,
    keeper_of,
    make_beneath,
    remove_above,
    this_keeper,
)
from layerstore.drivers.cgroup.usage import Usage, oom_kills_of, totals_of, usage_of
from layerstore.drivers.errors import DriverError

T = TypeVar("T")
_SECONDS = 10.0
"""How long the kernel is given to freeze or to end all of a group."""
_LONG = 600.0
"""Seconds."""
_MOST_EVENTS = 4096
_COUNTING = frozenset({"memory", "io"})
"""Controllers of v1 that count, too."""
_WITHOUT_UNIFIED = frozenset({"cpuacct", "freezer", "pids"})
"""What v2 does, or counts, with no controller."""


class Group(NamedTuple):
    """One run's, in as many trees as there are; nowhere, where none could be made."""

    unified: str | None = None
    """Its directory in cgroup v2."""
    legacy: Mapping[str, str] = MappingProxyType({})
    """Its directories in v1, by controller."""

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self.directories)

    @property
    def directories(self) -> tuple[str, ...]:
        """All of them, each once."""
        every = ([self.unified] if self.unified else []) + list(self.legacy.values())
        return tuple(dict.fromkeys(every))

    def entrances(self) -> list[int]:
        """Open what a process writes to in order to join: `enter`. Raises DriverError."""
        fds: list[int] = []
        try:
            for place in self.directories:
                fds.append(os.open(f"{place}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            for fd in fds:
                os.close(fd)
            raise DriverError.from_os_error("join", error.filename or "", error) from error
        return fds

    def usage(self) -> Usage:
        """Return what it uses and has used. Raises DriverError where it is gone."""
        return self._told(usage_of)

    def totals(self) -> Usage:
        """Return of these figures what an outcome tells, see `totals_of`. Raises DriverError."""
        return self._told(totals_of)

    def oom_kills(self) -> int | None:
        """Return one of these figures, for a fraction of what all take. Raises DriverError."""
        return self._told(oom_kills_of)

    def _told(self, of: Callable[[str | None, Mapping[str, str]], T]) -> T:
        try:
            return of(self.unified, self.legacy)
        except OSError as error:
            where = error.filename or " ".join(self.directories)
            raise DriverError.from_os_error("read", where, error) from error

    def freeze(self) -> None:
        """Let nothing in it go on, and return once nothing does. Raises DriverError."""
        if self.unified:
            write(f"{self.unified}/cgroup.freeze", "1")
            if not self._await("frozen", 1):
                self.thaw()
                detail = "some process waits in the kernel for something that doesn't come"
                raise DriverError("freeze", self.unified, errno.ETIMEDOUT, detail)
        elif "freezer" in self.legacy:
            write(f"{self.legacy['freezer']}/freezer.state", "FROZEN")
            self._await_legacy_freezer(self.legacy["freezer"])
        else:
            raise DriverError("freeze", "a run", errno.EOPNOTSUPP, "it is in no control group")

    def thaw(self) -> None:
        """Let all of it go on. Raises DriverError."""
        if self.unified:
            write(f"{self.unified}/cgroup.freeze", "0")
        elif "freezer" in self.legacy:
            write(f"{self.legacy['freezer']}/freezer.state", "THAWED")
        else:
            raise DriverError("thaw", "a run", errno.EOPNOTSUPP, "it is in no control group")

    @property
    def is_frozen(self) -> bool:
        """Whether somebody asked for that, whatever has become of it yet."""
        if self.unified:
            return words_of(f"{self.unified}/cgroup.freeze") == ["1"]
        freezer = self.legacy.get("freezer")
        return freezer is not None and words_of(f"{freezer}/freezer.state") != ["THAWED"]

    def let_die(self) -> None:
        """Have those go on that were killed while they were frozen, which v2's do by themselves."""
        if not self.unified and self.is_frozen:
            self.thaw()

    def _await_legacy_freezer(self, place: str) -> None:
        """Look until it is done: that is what makes it go on, and nothing tells when."""
        end = time.monotonic() + _SECONDS
        while words_of(f"{place}/freezer.state") != ["FROZEN"]:
            if time.monotonic() > end:
                self.thaw()
                raise DriverError("freeze", place, errno.ETIMEDOUT)
            os.sched_yield()

    def _await(self, event: str, value: int) -> bool:
        """Wait until v2 says so of the group; False where it doesn't within some seconds."""
        end = time.monotonic() + _SECONDS
        wanted = f"{event} {value}".encode()
        events = os.open(f"{self.unified}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        try:
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            # What was read by this descriptor is what news are counted from.
            while wanted not in os.pread(events, _MOST_EVENTS, 0).splitlines():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                poll.poll(left * 1000)
        finally:
            os.close(events)
        return True

    def end(self) -> None:
        """Kill what is left in it, and remove it; a group that is gone already is no error.

        What the kernel can't end within some seconds is left to the next run in the same place.
        """
        if not self._remove():
            try:
                self._kill()
            except (OSError, DriverError) as error:
                if error.errno not in GONE:
                    raise
            self._remove()

    def _remove(self) -> bool:
        """Remove it, unless somebody is in it; whether it is gone."""
        is_gone = True
        for place in self.directories:
            try:
                os.rmdir(place)
            except OSError as error:
                if error.errno not in (*GONE, errno.EBUSY):
                    raise
                is_gone &= error.errno != errno.EBUSY
            remove_above(os.path.dirname(os.path.dirname(place)))
        return is_gone

    def _kill(self) -> None:
        inside = [word for place in self.directories for word in words_of(f"{place}/cgroup.procs")]
        if not inside:
            return
        if self.unified and os.path.exists(f"{self.unified}/cgroup.kill"):
            write(f"{self.unified}/cgroup.kill", "1")
        else:
            for pid in dict.fromkeys(inside):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            if "freezer" in self.legacy:
                self.thaw()
        if self.unified:
            self._await("populated", 0)


NOWHERE = Group()


def enter(entrances: list[int]) -> None:
    """Have this process join the group that was opened. Raises OSError."""
    for fd in entrances:
        os.write(fd, b"0")
        os.close(fd)


def make_group(limits: ResourceLimits, root: str, number: int | None = None) -> Group:
    """Make the group of a run that this process keeps, with its limits.

    Without limits it is made as far as it can be, for statistics and the freezer. `root` is where
    the root file system lies; `number` tells the runs apart of a process that keeps many. Raises
    DriverError where a limit can't be kept, with what is missing.
    """
    wanted, name = limits.controllers, this_keeper().name
    if number is not None:
        name = f"{name}-{number}"
    trees = hierarchies()
    base = base_of(trees[""]) if "" in trees else None
    unified: str | None = None
    legacy: dict[str, str] = {}
    try:
        optional = _COUNTING if base is not None else _COUNTING | _WITHOUT_UNIFIED
        _make_legacy(trees, wanted, optional, name, legacy)
        of_unified = wanted - legacy.keys()
        if base is not None:
            unified = make_beneath(base, name, of_unified, USEFUL - legacy.keys())
        elif of_unified:
            why = "it isn't delegated to this user" if "" in trees else "there is no cgroup v2"
            place = trees[""].own if "" in trees else "/sys/fs/cgroup"
            raise _refused(", ".join(sorted(of_unified)), place, why)
        bound(unified, legacy, limits, root)
    except BaseException:
        Group(unified, legacy).end()
        raise
    return Group(unified, legacy)


def _make_legacy(
    trees: Mapping[str, Hierarchy],
    wanted: frozenset[str],
    optional: frozenset[str],
    name: str,
    made: dict[str, str],
) -> None:
    """Make it in v1's trees, some of which may be mounted together."""
    by_base: dict[str, str] = {}
    for controller, tree in trees.items():
        if tree.unified or controller not in wanted | optional:
            continue
        base = base_of(tree)
        if base is not None:
            if base not in by_base:
                by_base[base] = make_beneath(base, name)
            made[controller] = by_base[base]
        elif controller in wanted:
            raise _refused(controller, tree.own, "it isn't this user's to divide")


def _refused(controllers: str, place: str, why: str) -> DriverError:
    return DriverError(f"bound {controllers} in", place, errno.EOPNOTSUPP, why)


def group_of(pid: int) -> Group:
    """Return the run's group that a process is in; none where it is in no run's.

    Raises FileNotFoundError or ProcessLookupError where there is no such process.
    """
    found = {name: tree for name, tree in hierarchies(pid).items() if keeper_of(tree.own)}
    legacy = {name: tree.own for name, tree in found.items() if not tree.unified}
    return Group(found[""].own if "" in found else None, legacy)


def sweep(group: Group) -> None:
    """Remove what runs whose keepers were killed have left beside a group."""
    for place in group.directories:
        above = os.path.dirname(place)
        for name in os.listdir(above):
            keeper = keeper_of(f"{above}/{name}")
            if keeper is not None and (not keeper.is_there or _is_old_and_empty(f"{above}/{name}")):
                left = f"{above}/{name}"
                is_unified = place == group.unified
                Group(left if is_unified else None, {} if is_unified else {"": left}).end()


def _is_old_and_empty(place: str) -> bool:
    """Whether nobody has come into a group for long, whatever process namespace its keeper is of.

    A command joins in the moment after its group is made, and leaves it when it ends.
    """
    with contextlib.suppress(OSError):
        age = time.time() - os.stat(place).st_ctime
        return age > _LONG and not words_of(f"{place}/cgroup.procs")
    return False
