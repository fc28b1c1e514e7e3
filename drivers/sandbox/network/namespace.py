"""The network namespace of a run, and whose it is.

Owns its making, and the user namespace that it belongs to: that of an otherwise powerless user, so
that the program at its other end may do in it what it has to, and nothing elsewhere. The command
has its capabilities in a user namespace above, so they count in it.
Sources: user_namespaces(7), network_namespaces(7).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from layerstore.drivers.system import syscalls as sc

NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Place:
    """A network namespace."""

    network: int
    """A descriptor of it."""
    owner: int | None
    """A descriptor of the user namespace that it belongs to, if that isn't this process's."""
    user: int
    """Whom the first user and group of that are, here."""
    joined: bool = True
    """Whether this process is to be in it."""

    def enter(self, settle: Callable[[], None] | None) -> None:
        """Go into it, for good, and do something there. Raises OSError.

        Where this process isn't to be in it, another one does that.
        """
        if self.joined:
            sc.setns(self.network, sc.CLONE_NEWNET)
            if settle is not None:
                settle()
        elif settle is not None:
            _do_there([self._go_there, settle])

    def _go_there(self) -> None:
        if self.owner is not None:
            sc.setns(self.owner, sc.CLONE_NEWUSER)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        sc.setns(self.network, sc.CLONE_NEWNET)

    def close(self) -> None:
        """Close what is open."""
        os.close(self.network)
        if self.owner is not None:
            os.close(self.owner)


def make(*, privileged: bool) -> Place:
    """Make a network namespace, which this process is to be in.

    It belongs to a user namespace of nobody's, or, where the program is to be `privileged` or there
    is no such user, to this process's own. Raises OSError.
    """
    if privileged or not _has(NOBODY):
        with _elsewhere([lambda: sc.unshare(sc.CLONE_NEWNET)]) as pid:
            return Place(_open(pid, "net"), None, os.geteuid())
    steps = [_become_nobody, lambda: sc.unshare(sc.CLONE_NEWUSER | sc.CLONE_NEWNET)]
    with _elsewhere(steps) as pid:
        for kind in ("uid", "gid"):
            with open(f"/proc/{pid}/{kind}_map", "wb", buffering=0) as file:
                file.write(b"0 %d 1" % NOBODY)
        return Place(_open(pid, "net"), _open(pid, "user"), NOBODY)


def of_process(pid: int) -> Place:
    """Return a process's own, which this process isn't to be in. Raises OSError."""
    ranges = _ranges(f"/proc/{pid}/uid_map")
    root = next(outside for inside, outside, _ in ranges if not inside)
    return Place(_open(pid, "net"), _open(pid, "user"), root, joined=False)


def _open(pid: int, kind: str) -> int:
    return os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _has(number: int) -> bool:
    """Whether this process may become a user and group of this number."""
    return os.geteuid() == 0 and all(
        _maps(f"/proc/self/{kind}_map", number) for kind in ("uid", "gid")
    )


def _maps(path: str, number: int) -> bool:
    return any(first <= number < first + count for first, _, count in _ranges(path))


def _ranges(path: str) -> list[list[int]]:
    with open(path, "rb") as file:
        return [list(map(int, line.split())) for line in file]


@contextlib.contextmanager
def _elsewhere(steps: Sequence[Callable[[], None]]) -> Iterator[int]:
    """Have another process do these steps, which ends with the block; gives its ID.

    Raises the OSError of a step.
    """
    told, tell = os.pipe2(os.O_CLOEXEC)
    wait, let_go = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(let_go)
        _do(steps, tell, wait)
    os.close(tell)
    os.close(wait)
    try:
        failure = int(os.read(told, 16) or errno.EIO)
        if failure:
            raise OSError(failure, os.strerror(failure))
        yield pid
    finally:
        os.close(told)
        os.close(let_go)
        os.waitpid(pid, 0)


def _do_there(steps: Sequence[Callable[[], None]]) -> None:
    with _elsewhere(steps):
        pass


def _do(steps: Sequence[Callable[[], None]], tell: int, wait: int) -> NoReturn:
    """Be the other process."""
    code = errno.EIO
    try:
        for step in steps:
            step()
        code = 0
    except OSError as error:
        code = error.errno or code
    finally:
        os.write(tell, b"%d" % code)
        os.read(wait, 1)
        os._exit(0)
