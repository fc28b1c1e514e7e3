"""The warm process: it has imported what a run needs, has no threads, and forks for each command.

Owns its loop. A new interpreter takes tens of milliseconds until it can begin with a run; a fork of
this one takes about one. What it forks is what a spawned interpreter would be: the process beside
a command, in a session of its own, with no descriptor but its own. Where it is asked to keep
commands it is their parent itself, see `kept`: of two processes each, whose memory is copied page
by page, that saves one. It ends with its control socket, and with what it keeps.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import gc
import os
import resource  # noqa: F401 - for those that are forked
import selectors
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import NoReturn

from layerstore.drivers.cgroup.hierarchies import remember_mounts
from layerstore.drivers.errors import DriverError, LayerStoreError
from layerstore.drivers.sandbox import child
from layerstore.drivers.sandbox.command import close_all_but
from layerstore.drivers.sandbox.first import forget_arguments
from layerstore.drivers.sandbox.joining import child as joining
from layerstore.drivers.sandbox.joining.own_file import on_a_mount_of_its_own
from layerstore.drivers.sandbox.spec import PASSED_ON, RunSpec
from layerstore.drivers.sandbox.user import prepare
from layerstore.drivers.sandbox.warm.forker import Forker, raise_limit, restore_limit
from layerstore.drivers.sandbox.warm.keepable import Holder, Second, can_be_kept
from layerstore.drivers.sandbox.warm.kept import Kept
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.readable import receive_descriptors, stream_socket

_Task = Callable[..., None]

NUMBER = struct.Struct("=i")
"""What is told of a process: its ID, with a descriptor of it; then its exit code, as subprocess has
that. Less than 0 instead of the ID is an errno, negated: it couldn't be forked."""
KEEP = "keep "
"""Before the name of a task: the command is to be kept, if it can be."""
IS_KEPT = 1 << 30
"""Added to the ID of a command that is kept: its signals go by the socket, each as a byte."""
_MAX_REQUEST = 32
_MOST_DESCRIPTORS = 8
"""Where a process is told of, its standard streams, and what its task is called with."""


def main(control_fd: int) -> None:
    """Fork for each request that comes over a socket of packets, until its other end is closed."""
    hindrance = _protect()
    tasks: dict[str, _Task] = {
        "child": child.main,
        "joining.child": partial(joining.join, partial(_raise_if, hindrance)),
    }
    _prepare()
    # Those that are sent to a process early wait until it handles them, see `child`.
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    gc.collect()
    gc.freeze()  # what is never garbage needn't be copied when a fork looks for some
    gc.enable()
    with socket.socket(fileno=control_fd) as control, selectors.EpollSelector() as selector:
        own = _own_processes() if hindrance is None else None
        _Loop(control, selector, tasks, own).serve()


def _prepare() -> None:
    """Do once what each fork would have to do: its lookups, and imports that are made by names."""
    remember_mounts()
    codecs.lookup("ascii")
    raise_limit()
    prepare()
    forget_arguments()  # which whatever joins a container would show there


def _protect() -> DriverError | None:
    """Protect this process as one that joins a container; returns what hinders that."""
    try:
        on_a_mount_of_its_own()
    except DriverError as error:
        return error
    return None


def _raise_if(hindrance: DriverError | None) -> None:
    if hindrance is not None:
        raise hindrance


class _Loop:
    def __init__(
        self,
        control: socket.socket,
        selector: selectors.BaseSelector,
        tasks: Mapping[str, _Task],
        own_processes: int | None,
    ) -> None:
        self._tasks = tasks
        self._control = control
        self._selector = selector
        self._open = True
        self._sweeps = True
        """Whether the next run looks for what others have left: not all do, as that takes the
        longer the more there are."""
        self._kept: set[Kept] = set()
        self._own_processes = own_processes
        """This process's namespace of processes, where it may join others and come back."""
        self._forker: Forker | None = None
        """What forks those that are kept, once there are any."""
        self._asked: deque[tuple[_Request, Kept]] = deque()
        """What it was asked to fork, in that order."""
        selector.register(control, selectors.EVENT_READ, self._hear)

    def serve(self) -> None:
        while self._open or self._asked or self._kept:
            for key, _ in self._selector.select(self._seconds_left()):
                # What came before it in this turn may have had done with it.
                if self._selector.get_map().get(key.fd) is key:
                    answer: Callable[[], None] = key.data
                    answer()
            for kept in self._kept:
                kept.end_in_time()
        if self._forker is not None:
            self._forker.end()

    def _seconds_left(self) -> float | None:
        ends = [kept.relay.deadline for kept in self._kept if kept.relay.deadline is not None]
        return max(min(ends) - time.monotonic(), 0.0) if ends else None

    def _hear(self) -> None:
        request, fds, _ = receive_descriptors(self._control, _MAX_REQUEST, _MOST_DESCRIPTORS)
        if not request:
            self._open = False
            self._selector.unregister(self._control)
            return
        name = request.decode()
        one = _Request(name.removeprefix(KEEP), stream_socket(fds[0]), fds[1:4], fds[4:])
        if not (name.startswith(KEEP) and self._keep(one)):
            self._beside(one)

    # Commands that it keeps

    def _keep(self, one: _Request) -> bool:
        """Keep a command, unless it has to have a process beside it, which tells what is wrong."""
        try:
            spec = RunSpec.read(one.given[0])
            forker = self._forker or self._start_forker()
            kept = self._kept_one(one, spec) if can_be_kept(spec) else None
            if kept is None:
                return False
            kept.prepare(forker, one.given[0], one.streams)
        except (LayerStoreError, OSError):
            return False
        self._asked.append((one, kept))
        return True

    def _start_forker(self) -> Forker:
        self._forker = Forker(self._own_processes)
        self._selector.register(self._forker, selectors.EVENT_READ, self._begin_next)
        return self._forker

    def _begin_next(self) -> None:
        """Begin with what has a process now, or do without where there is none."""
        forker = self._forker
        if forker is None:
            return
        try:
            pid = forker.answer()
        except ConnectionResetError:
            self._forker = None
            self._selector.unregister(forker)
            forker.end()
            while self._asked:
                self._do_without(*self._asked.popleft())
            return
        except OSError:
            self._do_without(*self._asked.popleft())
            return
        one, kept = self._asked.popleft()
        try:
            kept.begin(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._do_without(one, kept)
            return
        one.close()
        self._kept.add(kept)
        with contextlib.suppress(BrokenPipeError):  # nobody wants to know any more
            socket.send_fds(one.told, [NUMBER.pack(pid | IS_KEPT)], [kept.relay.pidfd])

    def _do_without(self, one: _Request, kept: Kept) -> None:
        kept.give_up()
        self._sweeps = True  # what it may have been for
        self._beside(one)

    def _kept_one(self, one: _Request, spec: RunSpec) -> Kept | None:
        if one.name == "child" and spec.hold:
            sweeps, self._sweeps = self._sweeps, False
            return Holder(self, one.told, spec, _copies(one.given[1:]), sweeps=sweeps)
        if one.name == "joining.child" and self._own_processes is not None:
            return Second(self, one.told, spec, _copies(one.given[1:]))
        return None

    def when(self, fd: int, answer: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, answer)

    def leave(self, fd: int) -> None:
        self._selector.unregister(fd)

    def over(self, kept: Kept) -> None:
        self._kept.remove(kept)
        with kept.told:
            _tell(kept.told, 0)

    # Processes beside commands

    def _beside(self, one: _Request) -> None:
        task, told = self._tasks[one.name], one.told
        if one.name == "child":
            task, self._sweeps = partial(task, sweeps=self._sweeps), False
        try:
            pid = os.fork()
        except OSError as error:
            one.close()
            with told:
                _tell(told, -(error.errno or errno.EAGAIN))
            return
        if pid == 0:
            _become_beside(task, one.streams, one.given)
        one.close()
        pidfd = os.pidfd_open(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody wants to know any more
            socket.send_fds(told, [NUMBER.pack(pid)], [pidfd])
        self._selector.register(pidfd, selectors.EVENT_READ, lambda: self._bury(pid, pidfd, told))

    def _bury(self, pid: int, pidfd: int, told: socket.socket) -> None:
        self._selector.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._sweeps |= os.WIFSIGNALED(status)
        with told:
            _tell(told, os.waitstatus_to_exitcode(status))


class _Request:
    """What was asked for, with descriptors that are this process's until it is closed."""

    def __init__(
        self, name: str, told: socket.socket, streams: list[int], given: list[int]
    ) -> None:
        self.name = name
        self.told = told
        """Where it is answered; it stays open."""
        self.streams = streams
        self.given = given

    def close(self) -> None:
        for fd in (*self.streams, *self.given):
            os.close(fd)


def _copies(fds: list[int]) -> list[int]:
    made: list[int] = []
    try:
        for fd in fds:
            made.append(os.dup(fd))
    except OSError:
        for fd in made:
            os.close(fd)
        raise
    return made


def _own_processes() -> int | None:
    """Open this process's namespace of processes; None where it can't come back to that."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(own, syscalls.CLONE_NEWPID)
    except OSError:
        os.close(own)
        return None
    return own


def _tell(told: socket.socket, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        told.sendall(NUMBER.pack(number))


def _become_beside(task: _Task, streams: list[int], given: list[int]) -> NoReturn:
    try:
        os.setsid()
        for number, fd in enumerate(streams):
            os.dup2(fd, number, inheritable=True)
        close_all_but(*given)  # which is everybody else's
        restore_limit()
        task(*given)
    except BaseException:  # noqa: BLE001 - it told what it could; whoever waits hears of its end
        os._exit(1)
    os._exit(0)
