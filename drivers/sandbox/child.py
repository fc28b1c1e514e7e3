"""The process beside a run's command: makes its namespaces, forks it, waits for it, tells its end.

Owns that process as a whole. It is spawned for one command, has no threads, stays in this machine's
root, and is the only parent of the command: where it ends, so does everything in the container.
Sources: namespaces(7), pid_namespaces(7), unshare(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import signal
import socket
import struct
from dataclasses import asdict
from typing import NoReturn

from layerstore.drivers.errors import DriverError, LayerStoreError, from_wire, to_wire
from layerstore.drivers.sandbox.command import become_command
from layerstore.drivers.sandbox.relay import Relay
from layerstore.drivers.sandbox.spec import PASSED_ON, Outcome, RunSpec
from layerstore.drivers.system import syscalls

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_MAX_REPORT = 1 << 16


def main(spec_fd: int, result_fd: int, alive_fd: int) -> None:
    """Run what the file `spec_fd` says; `result_fd` is a socket for a descriptor and the outcome.

    Once `alive_fd` is readable, nobody wants the command any more.
    """
    gc.enable()
    with os.fdopen(spec_fd, "rb") as file:
        spec = RunSpec.decode(file.read())
    with socket.socket(fileno=result_fd) as result:
        try:
            reply: object = asdict(_run(spec, result, alive_fd))
        except Exception as error:  # noqa: BLE001 - every error goes to the parent
            reply = {"error": to_wire(error, "run")}
        with contextlib.suppress(BrokenPipeError):  # whoever started it is gone
            result.sendall(json.dumps(reply).encode())


def _run(spec: RunSpec, result: socket.socket, alive: int) -> Outcome:
    wakeup, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (*PASSED_ON, signal.SIGWINCH):
        signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # they were held back since the spawning
    _unshare(host_network=spec.host_network)
    ours, theirs = socket.socketpair()
    parent, held = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        for fd in (held, wakeup, waker, alive, result.fileno(), ours.fileno()):
            os.close(fd)
        _command(spec, theirs, parent)
    theirs.close()
    relay = Relay(pid, alive, wakeup, spec.time_limit)
    socket.send_fds(result, [b"p"], [relay.pidfd])
    try:
        early = _hear(ours, relay)
    except LayerStoreError:
        relay.kill()
        raise
    if early is not None:
        relay.kill()
        return Outcome(status=128 + early)
    if not spec.terminal:
        _let_go_of_streams()
    return relay.wait()


def _unshare(*, host_network: bool) -> None:
    flags = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
    try:
        syscalls.unshare(flags | (0 if host_network else syscalls.CLONE_NEWNET))
        if not host_network:
            _raise_loopback()
    except OSError as error:
        raise DriverError.from_os_error("unshare", "namespaces", error) from error


def _raise_loopback() -> None:
    """Switch on the one interface of a new network namespace. netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _command(spec: RunSpec, report: socket.socket, parent: int) -> NoReturn:
    """Become the command, or tell why not; in the fork."""
    try:
        become_command(spec, report, parent)
    except BaseException as error:  # noqa: BLE001 - every error goes to the parent
        report.sendall(b"e" + json.dumps(to_wire(error, "run")).encode())
    finally:
        os._exit(127)


def _hear(report: socket.socket, relay: Relay) -> signal.Signals | None:
    """Hear of the command until it is executed, or until a signal ends it before, and return that.

    Raises what went wrong before.
    """
    with report:
        content = b""
        while True:
            early = relay.await_word(report.fileno())
            if early is not None:
                return early
            piece, fds, _, _ = socket.recv_fds(report, _MAX_REPORT, 1)
            for fd in fds:
                relay.join_terminal(fd)
                piece = piece[1:]
            content += piece
            if not piece and not fds:
                break
    if content:
        raise from_wire(json.loads(content[1:]))
    return None


def _let_go_of_streams() -> None:
    """Keep no end of a pipe open that is the command's alone."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
