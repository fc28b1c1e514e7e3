"""The child process of a driver worker: it gets jobs as frames and answers each with frames.

Owns nothing that outlives it. It confines itself before its first job and forks for each tar that
it unpacks, so it keeps no thread between jobs. It ends with its parent, at once even in the middle
of a job, because whoever asked is gone and the next open of the root reaps the rest.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import socket
import sys
from dataclasses import asdict
from typing import Any

import tenacity
from msgspec import structs

from layerstore.drivers import work
from layerstore.drivers.confine import seccomp
from layerstore.drivers.confine.ahead import Ahead, can_be_ahead
from layerstore.drivers.confine.apart import Apart, in_own_process
from layerstore.drivers.confine.confine import (
    FILTER,
    VISIBLE,
    Confinement,
    confine,
    limit_resources,
)
from layerstore.drivers.confine.narrow import see_only_tree
from layerstore.drivers.errors import LayerStoreError, NotConfined, to_wire
from layerstore.drivers.graph.lending import borrowing
from layerstore.drivers.graph.overlay2 import check as overlay2_check
from layerstore.drivers.graph.overlay2 import forking as overlay2_forking
from layerstore.drivers.model.faults import Fault
from layerstore.drivers.model.repair_step import RepairStep
from layerstore.drivers.model.tree import Change, LayerTree
from layerstore.drivers.root.disk import Disk, DiskConfig, make_disk
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.collected_log import collected
from layerstore.drivers.system.frames import (
    BadFrame,
    EndOfFrames,
    at_once,
    convert,
    receive_frame,
    send_frame,
)
from layerstore.drivers.tar import write as tar_write
from layerstore.drivers.tar.unpack import apply as tar_apply
from layerstore.drivers.upkeep import perform as upkeep_perform
from layerstore.drivers.worker import perform_tars, together
from layerstore.drivers.worker.perform import perform
from layerstore.drivers.worker.rehearsal import rehearse

_ITEMS_PER_FRAME = 10_000
_IMPORTED = (
    perform_tars,
    tar_apply,
    tar_write,
    upkeep_perform,
    overlay2_check,
    overlay2_forking,
    tenacity,
)
"""What others import when they need it: a confined process can't, nor need each fork anew."""


def main(fd: str, parent: str) -> None:
    """Serve jobs on the socket `fd` until the process with ID `parent` closes its end."""
    _die_with(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to handle
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    sock = socket.socket(fileno=int(fd))
    try:
        hello, _ = receive_frame(sock)
        config = convert(hello, DiskConfig)
        disk, confinement = _confined(sock, config)
        gc.freeze()  # what is there now stays, and a fork shares it
        gc.enable()
        send_frame(sock, asdict(confinement))
        missing = confinement.missing if config.confine == "required" else ()
        _serve(sock, disk, ", ".join(missing))
    except (EndOfFrames, BrokenPipeError, ConnectionResetError):
        return
    except BadFrame as error:
        sys.exit(f"layerstore worker: bad frame: {error}")


def _confined(sock: socket.socket, config: DiskConfig) -> tuple[Disk, Confinement]:
    disk = make_disk(config)
    os.umask(0o022)
    limit_resources(config.limits)
    if config.confine == "off":
        return disk, Confinement((), ("everything (turned off)",))
    confinement = confine(config.root)
    return structs.replace(disk, apart=_apart(sock, disk, confinement)), confinement


def _serve(sock: socket.socket, disk: Disk, missing: str) -> None:
    """Do jobs without end, none that reads a tar where something required is missing."""
    wait = functools.partial(disk.apart.wait, sock) if isinstance(disk.apart, Ahead) else at_once
    while True:
        request, descriptors = receive_frame(sock, wait)
        name, fields, lent = convert(request, tuple[str, dict[str, Any], list[str]])
        if name == together.NAME:
            send_frame(sock, together.perform_packed(disk, fields))
        elif missing:
            _refuse(sock, missing, descriptors)
        else:
            _answer(sock, disk, (name, fields, lent), descriptors)


def _answer(
    sock: socket.socket,
    disk: Disk,
    request: tuple[str, dict[str, Any], list[str]],
    numbers: list[int],
) -> None:
    name, fields, about = request
    own = len(numbers) - len(about)
    lent = numbers[own:]
    descriptors = tuple(work.OwnedDescriptor(number) for number in numbers[:own])
    failure: Exception | None = None
    outcome: work.Outcome = None
    with collected() as lines:
        try:
            with borrowing(disk.driver, about, lent):
                outcome = perform(disk, _job(name, fields), descriptors)
        except Exception as error:  # noqa: BLE001 - every error goes to the parent
            failure = error
        finally:
            for descriptor in descriptors:
                descriptor.close()
    if lines:
        send_frame(sock, {"lines": lines})
    if failure is not None:
        send_frame(sock, {"error": to_wire(failure, "worker")})
    else:
        _send_outcome(sock, outcome)


def _job(name: str, fields: dict[str, Any]) -> work.Job:
    cls = work.HEAVY_JOBS.get(name)
    if cls is None:
        raise BadFrame(f"no such job: {name!r}")
    return convert(fields, cls)


def _send_outcome(sock: socket.socket, outcome: work.Outcome) -> None:
    if isinstance(outcome, work.AppliedLayer):
        send_frame(sock, {"ok": structs.asdict(outcome)})
    elif isinstance(outcome, list):
        for start in range(0, len(outcome), _ITEMS_PER_FRAME):
            part = outcome[start : start + _ITEMS_PER_FRAME]
            send_frame(sock, {"part": [_flat(item) for item in part]})
        send_frame(sock, {"ok": None})
    else:
        send_frame(sock, {"ok": outcome})


def _flat(item: Change | Fault | RepairStep) -> object:
    return (item.path, int(item.kind)) if isinstance(item, Change) else structs.asdict(item)


def _refuse(sock: socket.socket, missing: str, numbers: list[int]) -> None:
    for number in numbers:
        os.close(number)
    send_frame(sock, {"error": to_wire(NotConfined(missing), "worker")})


def _apart(sock: socket.socket, disk: Disk, confinement: Confinement) -> Apart:
    """Return how tars are unpacked in a process that gives up more than this one has given up."""
    unpack = functools.partial(perform_tars.unpack, disk)
    if {VISIBLE, FILTER} <= set(confinement.done) and can_be_ahead(disk.root):
        return Ahead(sock, disk.driver.home, unpack, lambda: _rehearse(disk))

    def narrow(tree: LayerTree) -> None:
        if VISIBLE in confinement.done:
            see_only_tree(tree.root, tree.lowers)
        if FILTER in confinement.done:
            seccomp.forbid(unpacking=True)

    return in_own_process(sock, narrow, unpack)


def _rehearse(disk: Disk) -> None:
    with contextlib.suppress(OSError, LayerStoreError):  # without, forks are slower, no more
        rehearse(disk)


def _die_with(parent: int) -> None:
    # Not the closing of the socket, which lives on in processes that the parent has forked.
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
