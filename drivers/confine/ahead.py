"""Processes that unpack one tar each, forked and confined before it is known which.

Owns the one that is ready, which waits on its socket, and those that have done and have not ended
yet. Neither the making nor the end of one lies on the way of an answer: the next is made while one
works, and those that are done are reaped while this process waits for its next job.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from msgspec import Struct, to_builtins

from layerstore.drivers.confine import seccomp
from layerstore.drivers.confine.apart import Apart, during
from layerstore.drivers.confine.detached import detached, lay
from layerstore.drivers.confine.fork import QUESTION, Fork
from layerstore.drivers.confine.narrow import see_given, seeing_nothing
from layerstore.drivers.model.tree import Applied, LaterPaths, LayerTree, WhiteoutFormat
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.frames import convert, receive_frame, send_frame
from layerstore.drivers.system.readable import is_readable

_AT_ONCE = 128
"""Descriptors that one frame brings; the kernel takes 253."""
_ENDING = 4
"""Forks that may be ending, unless one is waited for."""


class _Given(Struct, frozen=True, array_like=True):
    """What a fork is told; the descriptors of its tree and of its job come with it."""

    path: str
    whiteouts: WhiteoutFormat
    job: Any


def can_be_ahead(root: str) -> bool:
    """Whether a tree can be given away by its descriptor, and laid somewhere by who gets it."""
    try:
        os.close(os.pidfd_open(os.getpid()))
        tree = detached(root, writable=True)
    except OSError:
        return False
    try:
        pid = os.fork()
        if not pid:
            _try_to_lay(tree, root)
        return os.waitpid(pid, 0)[1] == 0
    except OSError:
        return False
    finally:
        os.close(tree)


def _try_to_lay(tree: int, root: str) -> NoReturn:
    """Lay a tree in a mount namespace of this process, a fork's, and tell whether that goes."""
    status = 1
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE, "")
        lay(tree, root)
        status = 0
    finally:
        os._exit(status)


class Ahead:
    """An Apart whose process is there already; `unpack` is what that does."""

    def __init__(
        self, peer: socket.socket, home: str, unpack: Apart, rehearse: Callable[[], None]
    ) -> None:
        """See Fork for `peer`; `home` is the directory beneath which trees lie.

        A fork keeps what is open now, but `peer`. Nothing is forked before the first tar: most
        processes never get one. After that, `rehearse` is called when there is nothing to do.
        """
        self._peer = peer
        self._home = home
        # How a type is converted to is found out once, here for all forks.
        convert(to_builtins(_Given(home, WhiteoutFormat.OVERLAY, {})), _Given)
        self._see_nothing = seeing_nothing(home)
        self._forbid_most, self._forbid_mounts = seccomp.forbidding_in_turn()
        self._unpack = unpack
        self._rehearse: Callable[[], None] | None = rehearse
        self._kept = sorted(_open_descriptors() - {peer.fileno()})
        self._ready: Fork | None = None
        self._ending: dict[int, int] = {}
        """Process IDs, by descriptors of the processes."""

    def __call__(self, tree: LayerTree, job: object, numbers: Sequence[int]) -> Applied:
        """Raises what `unpack` raises, WorkerDied where the fork ends without."""
        fork = self._take()
        try:
            self._assign(fork, tree, job, numbers)
            self._make_ready()
            applied = fork.answer(during(tree), lambda: _give_lowers(fork.sock, tree.lowers))
        except BaseException:
            fork.end()  # before what it has made is thrown away
            raise
        self._leave(fork)
        return applied

    def wait(self, sock: socket.socket) -> None:
        """Wait until something comes from a socket; reap what ends meanwhile."""
        if self._ready is not None and self._rehearse is not None and not is_readable(sock, 0):
            rehearse, self._rehearse = self._rehearse, None
            rehearse()
        while self._ending:
            poll = select.poll()
            for fd in (sock.fileno(), *self._ending):
                poll.register(fd, select.POLLIN)
            found = {fd for fd, _ in poll.poll()}
            for fd in found & self._ending.keys():
                self._reap(fd)
            if sock.fileno() in found:
                break

    def _take(self) -> Fork:
        fork, self._ready = self._ready, None
        if fork is not None and not fork.is_well:
            fork.end()
            fork = None
        return fork or Fork(self._peer, self._begin)

    def _make_ready(self) -> None:
        try:
            self._ready = Fork(self._peer, self._begin)
        except OSError:
            self._ready = None  # whoever needs one tries again, and tells why not

    def _assign(self, fork: Fork, tree: LayerTree, job: object, numbers: Sequence[int]) -> None:
        root = detached(tree.root, writable=True)
        try:
            given = to_builtins(_Given(tree.root, tree.whiteouts, job))
            send_frame(fork.sock, given, (root, *numbers))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended; its answer is why, if it gave one
        finally:
            os.close(root)

    def _leave(self, fork: Fork) -> None:
        fork.kill()
        while len(self._ending) >= _ENDING:
            self._reap(next(iter(self._ending)))
        try:
            self._ending[os.pidfd_open(fork.pid)] = fork.pid
        except OSError:  # no descriptor is left
            os.waitpid(fork.pid, 0)

    def _reap(self, fd: int) -> None:
        os.waitpid(self._ending.pop(fd), 0)
        os.close(fd)

    def _begin(self, sock: socket.socket) -> Applied:
        """Confine this process, a fork, and do what it is told to."""
        _close_all_but([*self._kept, sock.fileno()])
        self._see_nothing.make()
        self._forbid_most.make()
        frame, (root, *numbers) = receive_frame(sock, most=_AT_ONCE)
        given = convert(frame, _Given)
        see_given(root, given.path, self._home)
        os.close(root)
        self._forbid_mounts.make()
        lowers = LaterPaths(lambda: _ask_for_lowers(sock))
        return self._unpack(LayerTree(given.path, lowers, given.whiteouts), given.job, numbers)


def _ask_for_lowers(sock: socket.socket) -> list[str]:
    send_frame(sock, {QUESTION: "lowers"})
    paths: list[str] = []
    more = True
    while more:
        frame, numbers = receive_frame(sock, most=_AT_ONCE)
        more = convert(frame, bool)
        paths += [f"/proc/self/fd/{number}" for number in numbers]
    return paths


def _give_lowers(sock: socket.socket, lowers: Sequence[str]) -> None:
    for start in range(0, len(lowers) or 1, _AT_ONCE):
        numbers: list[int] = []
        try:
            for path in lowers[start : start + _AT_ONCE]:
                numbers.append(detached(path, writable=False))
            send_frame(sock, start + _AT_ONCE < len(lowers), numbers)
        finally:
            for number in numbers:
                os.close(number)


def _open_descriptors() -> set[int]:
    numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    return {number for number in numbers if _is_open(number)}


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False  # it was of the listing itself
    return True


def _close_all_but(kept: Sequence[int]) -> None:
    begin = 0
    for number in (*sorted(kept), os.sysconf("SC_OPEN_MAX")):
        if begin < number:
            os.closerange(begin, number)
        begin = number + 1
