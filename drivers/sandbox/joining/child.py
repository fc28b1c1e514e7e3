"""The process beside a second command: joins a container with it, waits for it, tells its end.

Owns that process as a whole. It is spawned for one command and has no threads. Of the container it
joins only that its child will be in there; the child joins the rest. Sources: setns(2),
pidfd_open(2), namespaces(7); ptrace(2), "Ptrace access mode checking".
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from layerstore.drivers.cgroup.group import NOWHERE, Group, group_of
from layerstore.drivers.confine.streams import put_on_own_mounts
from layerstore.drivers.errors import DriverError, LayerStoreError, NotRunning, to_wire
from layerstore.drivers.sandbox.child import hear, let_go_of_streams, listen_to_signals
from layerstore.drivers.sandbox.first import forget_arguments
from layerstore.drivers.sandbox.joining.command import become_joined
from layerstore.drivers.sandbox.joining.own_file import on_a_mount_of_its_own
from layerstore.drivers.sandbox.relay import Relay
from layerstore.drivers.sandbox.spec import Outcome, RunSpec
from layerstore.drivers.sandbox.user import KEPT_CAPABILITIES
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.readable import content_of

_KINDS = ("mnt", "pid")
"""Namespaces that every container has of its own: who joins without may be on the machine."""


def main(spec_fd: int, result_fd: int, alive_fd: int, pidfd: int) -> None:
    """Run what the file `spec_fd` says where the process of `pidfd` is; else as a first command."""
    join(on_a_mount_of_its_own, spec_fd, result_fd, alive_fd, pidfd)


def join(
    protect: Callable[[], None], spec_fd: int, result_fd: int, alive_fd: int, pidfd: int
) -> None:
    """Do so after `protect`, by which this process is executed from a mount of its own."""
    gc.enable()
    with socket.socket(fileno=result_fd) as result:
        try:
            protect()
            with os.fdopen(spec_fd, "rb") as file:
                spec = RunSpec.decode(file.read())
            reply: object = _run(spec, result, alive_fd, pidfd)._asdict()
        except Exception as error:  # noqa: BLE001 - every error goes to the parent
            reply = {"error": to_wire(error, "exec")}
        with contextlib.suppress(BrokenPipeError):  # whoever started it is gone
            result.sendall(json.dumps(reply).encode())


def _run(spec: RunSpec, result: socket.socket, alive: int, pidfd: int) -> Outcome:
    # From here on, and so before it can be seen in there, nobody in the container may look into it.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    forget_arguments()  # which anybody may see of any process
    wakeup, _ = listen_to_signals()
    if not spec.terminal:
        put_on_own_mounts()
    container = container_of(pidfd)
    group = container.group
    entrances = group.entrances()
    killed_before = group.oom_kills()
    ours, theirs = socket.socketpair()
    parent, held = os.pipe2(os.O_CLOEXEC)
    try:
        syscalls.setns(pidfd, syscalls.CLONE_NEWPID)
        pid = os.fork()
    except OSError as error:
        raise _told(pidfd, error) from error
    if pid == 0:
        signal.set_wakeup_fd(-1)
        become_second(spec, theirs, parent, [pidfd, *entrances], container)
    for fd in (theirs.detach(), pidfd, *entrances):
        os.close(fd)
    relay = Relay(pid, alive, wakeup, spec.time_limit)
    socket.send_fds(result, [b"p"], [relay.pidfd])
    try:
        early = hear(ours, relay)
    except LayerStoreError:
        relay.kill()
        raise
    if early is not None:
        relay.kill()
        return Outcome(status=128 + early)
    if not spec.terminal:
        let_go_of_streams()
    outcome = relay.wait()
    os.close(held)
    return outcome._replace(oom_killed=has_killed(group, killed_before))


def has_killed(group: Group, before: int | None) -> bool:
    """Whether memory was short in the container while the command ran; the group may be gone."""
    with contextlib.suppress(DriverError):
        return (group.oom_kills() or 0) > (before or 0)
    return False


class Container(NamedTuple):
    """What has to be known of a container to join it."""

    raw_packets: bool
    """Whether it may make them."""
    other_users: bool
    """Whether they are others than this process's."""
    group: Group = NOWHERE


def container_of(pidfd: int) -> Container:
    """Return what a container is that is to be joined. Raises DriverError, NotRunning.

    Its first process is looked at by number while the descriptor says that it hasn't ended.
    """
    number = _number_of(pidfd)
    try:
        status = content_of(f"/proc/{number}/status")
        bounding = status.partition(b"\nCapBnd:")[2].split(maxsplit=1)[0]
        for kind in _KINDS:
            ours, theirs = (os.stat(f"/proc/{who}/ns/{kind}") for who in ("self", number))
            if os.path.samestat(ours, theirs):
                detail = f"its {kind} namespace is this machine's"
                raise DriverError("join", f"process {number}", errno.EPERM, detail)
        ours, theirs = (os.stat(f"/proc/{who}/ns/user") for who in ("self", number))
        group = group_of(number)
    except OSError as error:
        raise _told(pidfd, error) from error
    if _has_ended(pidfd):
        raise _ended()
    if group.is_frozen:
        raise DriverError("join", "the container", errno.EBUSY, "it is paused: resume it first")
    raw_packets = bool(int(bounding, 16) >> KEPT_CAPABILITIES["NET_RAW"] & 1)
    return Container(raw_packets, not os.path.samestat(ours, theirs), group)


def _number_of(pidfd: int) -> int:
    """Return the process ID that a descriptor stands for. proc_pid_fdinfo(5)."""
    told = content_of(f"/proc/self/fdinfo/{pidfd}")
    number = int(told.partition(b"\nPid:")[2].split(maxsplit=1)[0])
    if number <= 0:
        raise _ended()
    return number


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _ended() -> NotRunning:
    return NotRunning("the first command")


def _told(pidfd: int, error: OSError) -> LayerStoreError:
    """Say what hinders; a container that ends meanwhile fails calls in several ways."""
    return _ended() if _has_ended(pidfd) else DriverError.from_os_error("join", "it", error)


def become_second(
    spec: RunSpec, report: socket.socket, parent: int, fds: list[int], container: Container
) -> NoReturn:
    """Become the command, or tell why not; in the fork. `fds` are the first one's and entrances."""
    try:
        become_joined(
            spec,
            report,
            parent,
            pidfd=fds[0],
            entrances=fds[1:],
            raw_packets=container.raw_packets,
            other_users=container.other_users,
        )
    except BaseException as error:  # noqa: BLE001 - every error goes to the parent
        report.sendall(b"e" + json.dumps(to_wire(error, "exec")).encode())
    finally:
        os._exit(127)
