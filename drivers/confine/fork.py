"""A process that comes from this one by fork, to do one thing that makes it somebody else's.

Owns that process from its beginning to its end, and what passes between the two. What it says is
converted to what it may say, as whatever a tar made of it can say anything. It knows nothing of
tars.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from msgspec import structs

from layerstore.drivers.confine.stopped import wait_for_child
from layerstore.drivers.errors import Wire, WorkerDied, end_of_process, from_wire, to_wire
from layerstore.drivers.model.tree import Applied
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.collected_log import Lines, collected, log_again
from layerstore.drivers.system.frames import (
    BadFrame,
    EndOfFrames,
    convert,
    receive_frame,
    send_frame,
)

QUESTION = "question"
"""Key of the frame with which a fork asks for something before it answers."""


class _ForkStopped(Exception):
    """Somebody has stopped the fork, and it doesn't go on."""


class Fork:
    """One such process. The calling process has no threads."""

    def __init__(self, peer: socket.socket, begin: Callable[[socket.socket], Applied]) -> None:
        """Fork; there, call `begin` with the other end of the socket `sock`, and end with that.

        Where the other end of `peer` is closed, the calling process ends at once, and with it, for
        whatever reason it ends, the fork.
        """
        self._peer = peer
        self._status = ""
        parent = os.getpid()
        self.sock, theirs = socket.socketpair()
        with theirs:
            try:
                self.pid = os.fork()
            except OSError:
                self.sock.close()
                raise
            if not self.pid:
                self.sock.close()
                peer.close()
                _begin_and_end(theirs, parent, begin)

    @property
    def is_well(self) -> bool:
        """Whether it has neither ended nor been stopped, as far as one look tells; waitid(2)."""
        looking = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, looking) is None

    def answer(self, during: str, tell: Callable[[], None] | None = None) -> Applied:
        """Wait for the answer, or raise the error that it is.

        `tell` is called where it has one question first. Raises WorkerDied, which says `during`
        what, where it ends without, or stays stopped; then it is reaped.
        """
        trouble = ""
        telling = False
        try:
            reply = self._receive()
            if QUESTION in reply and tell is not None:
                telling = True
                tell()
                telling = False
                reply = self._receive()
            log_again(convert(reply.get("lines"), Lines))
            if "error" not in reply:
                return convert(reply.get("ok"), Applied)
            error = convert(reply["error"], Wire)
        except _ForkStopped:
            trouble = "killed because it was stopped"
        except (EndOfFrames, BadFrame, OSError) as caught:
            if telling and not isinstance(caught, BrokenPipeError | ConnectionResetError):
                raise  # it lives, and isn't to blame
            trouble = str(caught)
        else:
            raise from_wire(error)
        status = self.end()
        raise WorkerDied(during, self.pid, trouble or status)

    def _receive(self) -> dict[str, Any]:
        def give_up() -> NoReturn:
            raise _ForkStopped

        def wait() -> None:
            events = [(self.sock, select.POLLIN), (self._peer, select.POLLRDHUP)]
            found = wait_for_child(self.pid, events, give_up)
            if any(fd == self._peer.fileno() for fd, _ in found):
                os._exit(0)

        frame, extra = receive_frame(self.sock, wait)
        for fd in extra:
            os.close(fd)
        return convert(frame, dict[str, Any])

    def kill(self) -> None:
        """Have it end, whatever became of it; until it is reaped it can be named. Once."""
        self.sock.close()
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> str:
        """End and reap it, and return how it has ended. Idempotent."""
        if self.sock.fileno() < 0:
            return self._status
        self.kill()
        _, status = os.waitpid(self.pid, 0)
        self._status = end_of_process(os.waitstatus_to_exitcode(status))
        return self._status


def _say_nothing() -> None:
    """Leave the files that the calling process's output goes to, which may be anybody's.

    In their place is what nobody listens to: an eventfd(2), as devices aren't to be seen.
    """
    nothing = os.eventfd(0, os.EFD_NONBLOCK)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)


def _begin_and_end(
    answers: socket.socket, parent: int, begin: Callable[[socket.socket], Applied]
) -> NoReturn:
    answer: dict[str, Any]
    try:
        with collected() as lines:
            try:
                syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != parent:
                    os._exit(1)
                _say_nothing()
                answer = {"ok": structs.asdict(begin(answers))}
            except BaseException as error:  # noqa: BLE001 - every error goes to the parent
                answer = {"error": to_wire(error, "unpack")}
        send_frame(answers, {**answer, "lines": lines})
    finally:
        os._exit(0)
