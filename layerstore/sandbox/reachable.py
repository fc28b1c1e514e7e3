"""Running commands as they are reached from outside: looked at, paused, joined by a second one.

Owns how the first process of a container is held: by a pidfd, so that its number, which may go to
another process, is only used while it is known to be its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict, Unpack

from layerstore.drivers.errors import DriverError, NotRunning
from layerstore.drivers.sandbox.spec import RunSpec, Started
from layerstore.drivers.system.readable import receive_descriptors
from layerstore.drivers.work.descriptors import OwnedDescriptor
from layerstore.sandbox.runnable import run_spec

if TYPE_CHECKING:
    from layerstore.drivers.cgroup.group import Group
    from layerstore.drivers.cgroup.usage import Usage

_MAX_MESSAGE = 1 << 12
_PEEK = int(socket.MSG_PEEK)


class ExecOptions(TypedDict, total=False):
    """What a second command may be told of its surroundings; the rest is the first one's."""

    env: Mapping[str, str] | None
    """Variables, beside the first one's."""
    workdir: str
    """Absolute path in the root file system; a directory has to be there."""
    user: str
    """`user[:group]`."""
    time_limit: float | None
    """Seconds, more than 0, after which it is killed with its process group; None is no limit. What
    has left that, as daemons do, goes on with the container's first process."""


@dataclass(frozen=True, slots=True)
class Member:
    """The first process of a container, whose descriptor is somebody else's to close."""

    started: Started
    pidfd: int
    spec: RunSpec
    """What was run."""
    owned: OwnedDescriptor | None = None
    """What keeps the descriptor, where that is kept."""

    def kept(self) -> Member:
        """Return the same with a descriptor of its own, which ends with it."""
        owned = OwnedDescriptor(os.dup(self.pidfd))
        return replace(self, pidfd=owned.fileno(), owned=owned)

    def check(self) -> None:
        """Raise NotRunning where it has ended: then its number tells nothing."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if poll.poll(0):
            raise NotRunning(self.spec.argv[0])

    def group(self) -> Group:
        """Return the control group of all of its processes. Raises NotRunning, DriverError."""
        from layerstore.drivers.cgroup.group import NOWHERE, group_of  # noqa: PLC0415 - few ask

        try:
            found = group_of(self.started.pid)
        except (FileNotFoundError, ProcessLookupError):
            found = NOWHERE
        self.check()
        return found

    def usage(self) -> Usage:
        """Return what all of its processes use and have used. Raises NotRunning, DriverError."""
        try:
            return self.group().usage()
        except DriverError:
            self.check()  # the group goes with the command
            raise

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Have all of its processes stand still for a `with` block, and go on if they did before.

        Raises NotRunning, DriverError.
        """
        group = self.group()
        before = group.is_frozen
        group.freeze()
        try:
            yield
        finally:
            if not before:
                group.thaw()

    def second(
        self, argv: Sequence[str], *, terminal: bool = False, **options: Unpack[ExecOptions]
    ) -> RunSpec:
        """Return what a second command beside it is. Raises InvalidArgument, TypeError."""
        first = self.spec
        asked = run_spec(
            argv,
            env={**first.env, **(options.get("env") or {})},
            workdir=options.get("workdir", first.workdir),
            user=options.get("user", first.user),
            hostname=first.hostname,
            terminal=terminal,
            time_limit=options.get("time_limit"),
        )
        return asked._replace(root=first.root)


class Reachable:
    """What can be asked of a command that runs, whoever waits for its end."""

    _alive: socket.socket
    """By which the process beside it tells that the command is executed."""
    _spec: RunSpec
    _first: Member | None
    """In whose container the command is a second one."""

    @contextlib.contextmanager
    def member(self) -> Iterator[Member]:
        """Have hold of the container's first process for a `with` block.

        Waits until the command is executed. Raises NotRunning where it isn't, or has ended.
        """
        if self._first is not None:
            self._first.check()
            yield self._first
            return
        told, pidfd = _peek(self._alive)
        if pidfd < 0:
            raise NotRunning(self._spec.argv[0])
        try:
            found = Member(Started.decode(told), pidfd, self._spec)
            found.check()
            yield found
        finally:
            os.close(pidfd)

    def stats(self) -> Usage:
        """Return what all processes in the container use and have used, where that is counted.

        Raises NotRunning, DriverError.
        """
        with self.member() as member:
            return member.usage()

    def pause(self) -> None:
        """Have all processes in the container stand still, and return once they do.

        They mind no signal meanwhile but SIGKILL; a time limit goes on. Raises
        NotRunning; DriverError with EOPNOTSUPP where there is no control group to do so, ETIMEDOUT
        where one of them waits in the kernel for what doesn't come.
        """
        with self.member() as member:
            member.group().freeze()

    def resume(self) -> None:
        """Have them go on; nothing happens where they do. Raises as `pause` does."""
        with self.member() as member:
            member.group().thaw()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Have them stand still for a `with` block, in which a layer may be forked, or copied from.

        Those that stood still before don't go on after it. Raises as `pause` does.
        """
        with self.member() as member, member.paused():
            yield


def _peek(alive: socket.socket) -> tuple[bytes, int]:
    """Return a message and its descriptor, -1 for none; the next one sees them, too.

    So any number of threads may look.
    """
    try:
        told, fds, _ = receive_descriptors(alive, _MAX_MESSAGE, 1, _PEEK)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.ECONNRESET):  # killed, or ended at once
            raise
        return b"", -1
    return told, fds[0] if fds else -1
