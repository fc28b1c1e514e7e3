"""The process beside a run's command: forks it into its namespaces, waits for it, tells its end.

Owns that process as a whole. It is spawned for one command, has no threads, stays in this machine's
root, and is the only parent of the command: where it ends, so does everything in the container.
Source: pid_namespaces(7).
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
from contextlib import AbstractContextManager
from typing import NoReturn

from layerstore.drivers.cgroup.group import Group, make_group, sweep
from layerstore.drivers.confine.streams import put_on_own_mounts
from layerstore.drivers.errors import LayerStoreError, from_wire, to_wire
from layerstore.drivers.sandbox.command import become_command
from layerstore.drivers.sandbox.grouped import join, tell_started, with_usage
from layerstore.drivers.sandbox.namespaces import Namespaces
from layerstore.drivers.sandbox.network.plan import Connection
from layerstore.drivers.sandbox.relay import Relay
from layerstore.drivers.sandbox.spec import PASSED_ON, Outcome, RunSpec
from layerstore.drivers.system.readable import receive_descriptors

_MAX_REPORT = 1 << 16


def main(spec_fd: int, result_fd: int, alive_fd: int, *, sweeps: bool = True) -> None:
    """Run what the file `spec_fd` says; `result_fd` is a socket for a descriptor and the outcome.

    `alive_fd` is one for what is known once the command is executed. Once it is readable, nobody
    wants the command any more. Meanwhile it removes control groups that runs have left which were
    killed, where it `sweeps`.
    """
    gc.enable()
    with os.fdopen(spec_fd, "rb") as file:
        spec = RunSpec.decode(file.read())
    with socket.socket(fileno=result_fd) as result:
        try:
            with _network(spec, result, alive_fd) as network:
                outcome = _run(spec, result, alive_fd, network, sweeps=sweeps)
            reply: object = outcome._replace(network_lost=network.lost)._asdict()
        except Exception as error:  # noqa: BLE001 - every error goes to the parent
            reply = {"error": to_wire(error, "run")}
        with contextlib.suppress(BrokenPipeError):  # whoever started it is gone
            result.sendall(json.dumps(reply).encode())


def _run(
    spec: RunSpec, result: socket.socket, alive: int, network: Connection, *, sweeps: bool
) -> Outcome:
    group = make_group(spec.limits, spec.root)
    swept = group if sweeps else None
    try:
        return with_usage(_run_in(group, spec, result, alive, network, swept), group)
    finally:
        group.end()


def _run_in(
    group: Group,
    spec: RunSpec,
    result: socket.socket,
    alive: int,
    network: Connection,
    swept: Group | None,
) -> Outcome:
    wakeup, waker = listen_to_signals()
    if not spec.terminal:
        put_on_own_mounts()
    namespaces = Namespaces(spec)
    ours, theirs = socket.socketpair()
    parent, held = os.pipe2(os.O_CLOEXEC)
    entrances = group.entrances()
    pid = namespaces.fork(network)
    if pid == 0:
        signal.set_wakeup_fd(-1)
        for fd in (held, wakeup, waker, alive, result.fileno(), ours.fileno()):
            os.close(fd)
        become(spec, theirs, parent, entrances, namespaces)
    for fd in (theirs.detach(), *entrances):
        os.close(fd)
    relay = Relay(pid, alive, wakeup, spec.time_limit, group.let_die)
    socket.send_fds(result, [b"p"], [relay.pidfd])
    try:
        early = hear(ours, relay)
    except LayerStoreError:
        relay.kill()
        raise
    if early is not None:
        relay.kill()
        return Outcome(status=128 + early)
    tell_started(alive, pid, relay.pidfd)
    if swept is not None:
        sweep(swept)
    if not spec.terminal:
        let_go_of_streams()
    return relay.wait()


def listen_to_signals() -> tuple[int, int]:
    """Have the numbers of signals come by a pipe, whose ends are returned."""
    wakeup, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (*PASSED_ON, signal.SIGWINCH):
        signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # they were held back since the spawning
    return wakeup, waker


def _network(spec: RunSpec, given: socket.socket, alive: int) -> AbstractContextManager[Connection]:
    if spec.private_network is None:
        return contextlib.nullcontext(Connection())
    # Only here: most runs have none.
    from layerstore.drivers.sandbox.network.connect import connected  # noqa: PLC0415

    return connected(spec.private_network, given, alive, mapped=bool(spec.id_map))


def become(
    spec: RunSpec,
    report: socket.socket,
    parent: int,
    entrances: list[int],
    namespaces: Namespaces,
) -> NoReturn:
    """Become the command, or tell why not; in the fork."""
    try:
        namespaces.settle()
        join(entrances)
        become_command(spec, report, parent, namespaces.held)
    except BaseException as error:  # noqa: BLE001 - every error goes to the parent
        report.sendall(b"e" + json.dumps(to_wire(error, "run")).encode())
    finally:
        os._exit(127)


def hear(report: socket.socket, relay: Relay) -> signal.Signals | None:
    """Hear of the command until it is executed, or until a signal ends it before, and return that.

    Raises what went wrong before.
    """
    with report:
        content = b""
        while True:
            early = relay.await_word(report.fileno())
            if early is not None:
                return early
            piece, fds, _ = receive_descriptors(report, _MAX_REPORT, 1)
            for fd in fds:
                relay.join_terminal(fd)
                piece = piece[1:]
            content += piece
            if not piece and not fds:
                break
    if content:
        raise from_wire(json.loads(content[1:]))
    return None


def let_go_of_streams() -> None:
    """Keep no end of a pipe open that is the command's alone."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
