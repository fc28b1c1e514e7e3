"""What the warm process keeps: first processes of containers, and commands that join them.

Owns what each has to do with control groups. Only what needs nothing else beside it is kept: no
terminal, no network of its own with a way out.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence

from layerstore.drivers.cgroup.group import Group, make_group, sweep
from layerstore.drivers.sandbox.grouped import tell_started, with_usage
from layerstore.drivers.sandbox.joining.child import container_of, has_killed
from layerstore.drivers.sandbox.spec import Outcome, RunSpec
from layerstore.drivers.sandbox.warm.forker import HOLD, join_task
from layerstore.drivers.sandbox.warm.kept import Kept, Loop


class Holder(Kept):
    """The first process of a container."""

    _task = HOLD
    _made = 0

    def __init__(
        self,
        loop: Loop,
        told: socket.socket,
        spec: RunSpec,
        fds: Sequence[int],
        *,
        sweeps: bool,
    ) -> None:
        """Where it `sweeps`, it removes control groups that killed runs have left."""
        super().__init__(loop, told, spec, fds)
        self._sweeps = sweeps

    def _its_group(self) -> Group:
        Holder._made += 1
        return make_group(self._spec.limits, self._spec.root, Holder._made)

    def _let_die(self) -> Callable[[], None]:
        return self._group.let_die

    def _executed(self) -> None:
        tell_started(self._alive, self.relay.pid, self.relay.pidfd)
        if self._sweeps:
            sweep(self._group)

    def _finished(self, outcome: Outcome) -> Outcome:
        return with_usage(outcome, self._group)

    def _let_go_of_group(self) -> None:
        self._group.end()


class Second(Kept):
    """A command that joins a container."""

    def __init__(self, loop: Loop, told: socket.socket, spec: RunSpec, fds: Sequence[int]) -> None:
        """`fds` end with one of the container's first process."""
        super().__init__(loop, told, spec, fds)
        self._first = fds[2]
        self._held.callback(os.close, self._first)
        self._joined = (self._first,)
        self._killed_before: int | None = None

    def _its_group(self) -> Group:
        found = container_of(self._first)
        self._task = join_task(found)
        self._killed_before = found.group.oom_kills()
        return found.group

    def _let_die(self) -> Callable[[], None]:
        return lambda: None

    def _executed(self) -> None:
        pass

    def _finished(self, outcome: Outcome) -> Outcome:
        return outcome._replace(oom_killed=has_killed(self._group, self._killed_before))

    def _let_go_of_group(self) -> None:
        pass  # it is the container's


def can_be_kept(spec: RunSpec) -> bool:
    """Whether nothing has to be beside a command."""
    return not spec.terminal and spec.private_network is None
