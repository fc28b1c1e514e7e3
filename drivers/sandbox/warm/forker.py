"""A process that does nothing but fork, for the one that keeps commands.

Owns that process, and the way to it: a packet with descriptors for each command. What a process
writes to after a fork is copied page by page, and whoever keeps commands writes down much; this
one has next to nothing to write. What it forks is its sibling, the keeper's own child, which
therefore waits for it. Sources: clone(2), CLONE_PARENT; setns(2), pid_namespaces(7); prctl(2),
PR_SET_DUMPABLE.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from typing import NoReturn

from layerstore.drivers.errors import LayerStoreError, to_wire
from layerstore.drivers.sandbox.child import become
from layerstore.drivers.sandbox.command import close_all_but
from layerstore.drivers.sandbox.joining.child import Container, become_second
from layerstore.drivers.sandbox.namespaces import Namespaces, clone
from layerstore.drivers.sandbox.network.plan import Connection
from layerstore.drivers.sandbox.spec import RunSpec
from layerstore.drivers.sandbox.user import bound_forks
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.readable import receive_descriptors, stream_socket

HOLD = b"hold"
"""What is asked for: the first process of a container. Else it is a command that joins one."""
_RAW_PACKETS, _OTHER_USERS = b"r", b"u"
_NUMBER = struct.Struct("=i")
"""The answer: a process ID; less than 0 is an errno, negated."""
_MAX_REQUEST = 16
_MOST_DESCRIPTORS = 64
"""The spec, standard streams, ends that tell, the container, and a door for each control group."""


def join_task(container: Container) -> bytes:
    """Return what is asked for with a command that joins a container."""
    raw = _RAW_PACKETS if container.raw_packets else b""
    return b"join " + raw + (_OTHER_USERS if container.other_users else b"")


class Forker:
    """The process, for the one whose children it makes."""

    def __init__(self, own_processes: int | None) -> None:
        """Start it. `own_processes` is a descriptor of the namespace of processes of both, for
        commands that join another. Raises OSError.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        keeper = os.getpid()
        try:
            self._pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if self._pid == 0:
            _be_forker(keeper, theirs, own_processes)
        theirs.close()
        self._control = ours

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is an answer."""
        return self._control.fileno()

    def ask(self, task: bytes, fds: Sequence[int]) -> None:
        """Ask for a command's process, for which `answer` is called in the same order.

        The descriptors: of its spec, its standard streams, of a socket where it tells what goes
        wrong, of a pipe that ends with the keeper, of the container that it joins, and of what it
        writes to in order to be in its control groups. Raises OSError.
        """
        socket.send_fds(self._control, [task], fds)

    def answer(self) -> int:
        """Wait for an answer, which is a process ID. Raises OSError.

        With ConnectionResetError there are no more.
        """
        content = self._control.recv(_NUMBER.size)
        if not content:
            raise ConnectionResetError(errno.ECONNRESET, "what forks has ended")
        (number,) = _NUMBER.unpack(content)
        if number < 0:
            raise OSError(-number, os.strerror(-number))
        return int(number)

    def end(self) -> None:
        """End it, whatever it does."""
        self._control.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _be_forker(keeper: int, control: socket.socket, own_processes: int | None) -> NoReturn:
    status = 1
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == keeper:
            close_all_but(control.fileno(), *(() if own_processes is None else (own_processes,)))
            bound_forks()
            _serve(control, own_processes)
            status = 0
    except BaseException:  # noqa: BLE001 - the keeper does without; why is told
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _serve(control: socket.socket, own_processes: int | None) -> None:
    while True:
        task, fds, _ = receive_descriptors(control, _MAX_REQUEST, _MOST_DESCRIPTORS)
        if not task:
            return
        try:
            if task == HOLD:
                number = _fork_first(_Command(fds, entrances=fds[6:]))
            else:
                command = _Command(fds, entrances=fds[7:])
                flags = task.partition(b" ")[2]
                container = Container(_RAW_PACKETS in flags, _OTHER_USERS in flags)
                number = _fork_second(command, fds[6], container, own_processes)
        except LayerStoreError:  # whoever does without this process tells why
            number = -errno.EIO
        except OSError as error:
            number = -(error.errno or errno.EIO)
        finally:
            for fd in fds:
                os.close(fd)
        control.sendall(_NUMBER.pack(number))


class _Command:
    """What a fork becomes its command with; nothing else of this process is left in it."""

    def __init__(self, fds: Sequence[int], *, entrances: list[int]) -> None:
        self.spec = RunSpec.read(fds[0])
        self._streams = fds[1:4]
        self._report, self.parent = fds[4:6]
        self.entrances = entrances

    def settle(self, *more: int) -> socket.socket:
        """Have the standard streams, and close what isn't the command's, but for `more`.

        Returns where it tells what goes wrong; ends this process where it can't be told.
        """
        try:
            for number, fd in enumerate(self._streams):
                os.dup2(fd, number, inheritable=True)
            close_all_but(self._report, self.parent, *self.entrances, *more)
            restore_limit()
            return stream_socket(self._report)
        except BaseException:  # noqa: BLE001 - in the fork
            os._exit(127)

    def tell(self, error: Exception) -> None:
        """Tell in its place what keeps it from going on; it ends by itself."""
        with stream_socket(os.dup(self._report)) as report:
            report.sendall(b"e" + json.dumps(to_wire(error, "run")).encode())


def _fork_first(command: _Command) -> int:
    namespaces = Namespaces(command.spec, at_fork=True)
    pid = namespaces.clone(syscalls.CLONE_PARENT)
    if pid == 0:
        report = command.settle(*namespaces.descriptors)
        become(command.spec, report, command.parent, command.entrances, namespaces)
    try:
        namespaces.let_go_on(pid, Connection())
    except (LayerStoreError, OSError) as error:
        command.tell(error)
    return pid


def _fork_second(
    command: _Command, first: int, container: Container, own_processes: int | None
) -> int:
    if own_processes is None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    # As soon as it can be seen in there, nobody in the container may look into it.
    dumpable = syscalls.is_dumpable()
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    try:
        syscalls.setns(first, syscalls.CLONE_NEWPID)
        try:
            pid = clone(syscalls.CLONE_PARENT)
            if pid == 0:
                report = command.settle(first)
                fds = [first, *command.entrances]
                become_second(command.spec, report, command.parent, fds, container)
        finally:
            _come_back(own_processes)
    finally:
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, int(dumpable))
    return pid


def _come_back(own_processes: int) -> None:
    """Have what is forked from now on in this process's own namespace again.

    If not, others would be in that container: it is an error that ends this process.
    """
    try:
        syscalls.setns(own_processes, syscalls.CLONE_NEWPID)
    except OSError as error:
        raise RuntimeError("the namespace of processes is lost") from error


_limit = resource.getrlimit(resource.RLIMIT_NOFILE)


def raise_limit() -> None:
    """Have this process keep as many as it may: each takes some descriptors."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_limit[1], _limit[1]))


def restore_limit() -> None:
    """Have the limit of descriptors again that this process began with; in a fork."""
    resource.setrlimit(resource.RLIMIT_NOFILE, _limit)
