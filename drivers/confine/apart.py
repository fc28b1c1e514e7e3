"""Unpacking in a process of its own, which is confined further and ends with its one job.

Owns that process from its fork to its end. What it answers is converted to what it may answer, as
whatever a tar made of it can say anything. It knows nothing of tars.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from msgspec import structs

from layerstore.drivers.confine.stopped import wait_for_child
from layerstore.drivers.errors import Wire, WorkerDied, from_wire, to_wire
from layerstore.drivers.model.tree import Applied, LayerTree
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.collected_log import Lines, collected, log_again
from layerstore.drivers.system.frames import (
    BadFrame,
    EndOfFrames,
    convert,
    receive_frame,
    send_frame,
)

Unpack: TypeAlias = Callable[[], Applied]
Apart: TypeAlias = Callable[[LayerTree, Unpack], Applied]


class ForkStopped(Exception):
    """Somebody has stopped the fork, and it doesn't go on."""


def in_this_process(_tree: LayerTree, unpack: Unpack) -> Applied:
    """Unpack without going apart."""
    return unpack()


def in_own_process(peer: socket.socket, narrow: Callable[[LayerTree], None]) -> Apart:
    """Return an Apart that forks; `narrow` confines the fork to a tree or raises OSError.

    The calling process has no threads. It ends at once, and its fork with it, where the other end
    of `peer` is closed. The fork raises what `unpack` raises, WorkerDied where it ends without.
    """

    def unpack_apart(tree: LayerTree, unpack: Unpack) -> Applied:
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        with ours:
            with theirs:
                pid = os.fork()
                if not pid:
                    ours.close()
                    peer.close()
                    _unpack_and_end(theirs, parent, lambda: narrow(tree), unpack)
            answer, trouble = None, ""
            try:
                answer = _answer(pid, ours, peer)
            except ForkStopped:
                trouble = "killed because it was stopped"
            except (EndOfFrames, BadFrame, OSError) as error:
                trouble = str(error)
            finally:
                status = _end(pid)
        if answer is None:
            raise WorkerDied(f"unpacking into {tree.root}", pid, trouble or status)
        if isinstance(answer, Applied):
            return answer
        raise from_wire(answer)

    return unpack_apart


def _unpack_and_end(
    answers: socket.socket, parent: int, narrow: Callable[[], None], unpack: Unpack
) -> NoReturn:
    answer: dict[str, Any]
    try:
        with collected() as lines:
            try:
                syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != parent:
                    os._exit(1)
                narrow()
                answer = {"ok": structs.asdict(unpack())}
            except BaseException as error:  # noqa: BLE001 - every error goes to the parent
                answer = {"error": to_wire(error, "unpack")}
        send_frame(answers, {**answer, "lines": lines})
    finally:
        os._exit(0)


def _answer(pid: int, sock: socket.socket, peer: socket.socket) -> Applied | Wire:
    def give_up() -> NoReturn:
        raise ForkStopped

    def wait() -> None:
        events = [(sock, select.POLLIN), (peer, select.POLLRDHUP)]
        found = wait_for_child(pid, events, give_up)
        if any(fd == peer.fileno() for fd, _ in found):
            os._exit(0)

    frame, extra = receive_frame(sock, wait)
    for fd in extra:
        os.close(fd)
    reply = convert(frame, dict[str, Any])
    log_again(convert(reply.get("lines"), Lines))
    if "error" in reply:
        return convert(reply["error"], Wire)
    return convert(reply.get("ok"), Applied)


def _end(pid: int) -> str:
    os.kill(pid, signal.SIGKILL)  # it is to end whatever became of it; until reaped it can be named
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit status {os.WEXITSTATUS(status)}"
