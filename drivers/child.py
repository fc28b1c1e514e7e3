"""The child process of a driver worker: it gets jobs as frames and answers each with frames.

Owns nothing that outlives it. It ends when its parent's end of the socket closes, at once even in
the middle of a job, because whoever asked is gone and the next open of the root reaps the rest.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import threading
from dataclasses import asdict

from layerstore.drivers import work
from layerstore.drivers.check_work import HEAVY_CHECKS
from layerstore.drivers.disk import Disk, DiskConfig, make_disk
from layerstore.drivers.errors import to_wire
from layerstore.drivers.faults import Fault
from layerstore.drivers.frames import BadFrame, EndOfFrames, convert, receive_frame, send_frame
from layerstore.drivers.perform import perform
from layerstore.drivers.protocol import Change
from layerstore.drivers.repair_step import RepairStep

_PR_SET_PDEATHSIG = 1
_ITEMS_PER_FRAME = 10_000


def main(fd: int, parent: int) -> None:
    """Serve jobs on the socket `fd` until the process with ID `parent` closes its end."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to handle
    sock = socket.socket(fileno=fd)
    _watch_peer(sock)
    try:
        hello, _ = receive_frame(sock)
        config = convert(hello, DiskConfig)
        disk = None
        while True:
            request, descriptors = receive_frame(sock)
            disk = disk or make_disk(config)
            _answer(sock, disk, request, descriptors)
    except (EndOfFrames, BrokenPipeError, ConnectionResetError):
        return
    except BadFrame as error:
        sys.exit(f"layerstore worker: bad frame: {error}")


def _answer(sock: socket.socket, disk: Disk, request: object, numbers: list[int]) -> None:
    descriptors = tuple(work.OwnedDescriptor(number) for number in numbers)
    try:
        outcome = perform(disk, _job(request), descriptors)
    except Exception as error:  # noqa: BLE001 - every error goes to the parent
        send_frame(sock, {"error": to_wire(error, "worker")})
    else:
        _send_outcome(sock, outcome)
    finally:
        for descriptor in descriptors:
            descriptor.close()


def _job(request: object) -> work.Job:
    name, fields = convert(request, tuple[str, dict[str, object]])
    cls = work.HEAVY_JOBS.get(name) or HEAVY_CHECKS.get(name)
    if cls is None:
        raise BadFrame(f"no such job: {name!r}")
    return convert(fields, cls)


def _send_outcome(sock: socket.socket, outcome: work.Outcome) -> None:
    if isinstance(outcome, work.AppliedLayer):
        send_frame(sock, {"ok": asdict(outcome)})
    elif isinstance(outcome, list):
        for start in range(0, len(outcome), _ITEMS_PER_FRAME):
            part = outcome[start : start + _ITEMS_PER_FRAME]
            send_frame(sock, {"part": [_flat(item) for item in part]})
        send_frame(sock, {"ok": None})
    else:
        send_frame(sock, {"ok": outcome})


def _flat(item: Change | Fault | RepairStep) -> object:
    return (item.path, int(item.kind)) if isinstance(item, Change) else asdict(item)


def _die_with(parent: int) -> None:
    # The watch below sees a closed socket; this also covers a parent whose sockets live on in
    # processes that it forked.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _watch_peer(sock: socket.socket) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)

    def watch() -> None:
        poll.poll()
        os._exit(0)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
