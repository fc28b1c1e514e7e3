"""The parent's side of a child process: spawn it, hand it jobs, notice its death, reap it.

Owns one child and the socket to it. One thread at a time uses it, but `kill` may come from any.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from layerstore.drivers import work
from layerstore.drivers.check_work import InspectRoot, PlanRepair, VerifyLayer
from layerstore.drivers.confine import Confinement
from layerstore.drivers.disk import DiskConfig
from layerstore.drivers.errors import DriverError, InternalError, Wire, WorkerDied, from_wire
from layerstore.drivers.faults import Fault
from layerstore.drivers.frames import BadFrame, EndOfFrames, convert, receive_frame, send_frame
from layerstore.drivers.protocol import Change, ChangeKind
from layerstore.drivers.repair_step import RepairStep

_ENVIRONMENT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH")

# The child gets a package of the same name and place without running the front door's __init__,
# so it imports no actors, whatever way the package was installed.
_BOOTSTRAP = """
import sys, types
fd, parent, nice, count, *paths = sys.argv[1:]
package = types.ModuleType("layerstore")
package.__path__ = paths[:int(count)]
sys.modules["layerstore"] = package
sys.path[:] = paths[int(count):]
import os
os.nice(int(nice))
from layerstore.drivers.child import main
main(int(fd), int(parent))
"""


class ChildProcess:
    """One child process, spawned at once; its start-up overlaps with whatever the caller does."""

    def __init__(self, config: DiskConfig, *, nice: int = 0) -> None:
        """Spawn the child; `nice` is added to its scheduling niceness.

        Raises DriverError where the system has no process or descriptor left.
        """
        ours: socket.socket | None = None
        alive: socket.socket | None = None
        try:
            ours, theirs = socket.socketpair()
            alive, held = socket.socketpair()
            with theirs, held:
                self._process = subprocess.Popen(
                    _command(theirs.fileno(), nice),
                    pass_fds=[theirs.fileno(), held.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                )
        except OSError as error:
            for end in (ours, alive):
                if end is not None:
                    end.close()
            raise DriverError.from_os_error("spawn", sys.executable, error) from error
        self._sock, self._alive = ours, alive
        self.pid = self._process.pid
        self._confinement: Confinement | None = None
        with contextlib.suppress(OSError):  # a child that is dead already shows at the first job
            send_frame(self._sock, asdict(config))

    def confinement(self) -> Confinement:
        """Wait until the child is ready, and return how it is confined. Raises WorkerDied."""
        try:
            return self._hear_confinement()
        except (EndOfFrames, OSError, BadFrame) as error:
            raise self._died("its start", error) from error

    def _hear_confinement(self) -> Confinement:
        if self._confinement is None:
            self._confinement = convert(self._receive(), Confinement)
        return self._confinement

    def _receive(self) -> object:
        frame, extra = receive_frame(self._sock)
        for fd in extra:
            os.close(fd)
        return frame

    def perform(self, job: work.Job, descriptors: work.Descriptors) -> work.Outcome:
        """Have the child do a job; raises WorkerDied if it ends first, else what the job raised.

        After WorkerDied the object is of no more use and the child is reaped.
        """
        numbers = [descriptor.fileno() for descriptor in descriptors]
        try:
            send_frame(self._sock, (type(job).__name__, asdict(job)), numbers)
            for descriptor in descriptors:
                descriptor.close()
            return self._outcome(job)
        except (EndOfFrames, OSError, BadFrame) as error:
            raise self._died(f"{type(job).__name__} {job.summary()}", error) from error

    def _died(self, during: str, error: Exception) -> WorkerDied:
        self.kill()
        status = self._reap()
        if isinstance(error, BadFrame):
            status = f"sent a bad frame: {error}"
        return WorkerDied(during, self.pid, status)

    def _outcome(self, job: work.Job) -> work.Outcome:
        self._hear_confinement()
        parts: list[object] = []
        while True:
            reply = convert(self._receive(), dict[str, Any])
            if "part" in reply:
                parts.extend(convert(reply["part"], list[Any]))
            elif "error" in reply:
                raise from_wire(convert(reply["error"], Wire))
            elif "ok" in reply:
                return _typed(job, reply["ok"], parts)
            else:
                raise BadFrame("a reply is neither part, error nor ok")

    def kill(self) -> None:
        """Kill the child, from any thread; perform then raises WorkerDied. Idempotent."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """End the child, which is idle or not wanted any more, and reap it. Idempotent."""
        self._sock.close()
        self.kill()
        self._reap()

    def _reap(self) -> str:
        self._sock.close()
        code = self._process.wait()
        # The kernel ends the child's forks with it; they work on the disk until they are gone.
        with self._alive, contextlib.suppress(OSError):
            self._alive.recv(1)
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit status {code}"


def _typed(job: work.Job, value: object, parts: list[object]) -> work.Outcome:
    match job:
        case work.ApplyLayer():
            return convert(value, work.AppliedLayer)
        case work.ListChanges():
            pairs = convert(parts, list[tuple[str, ChangeKind]])
            return [Change(path, kind) for path, kind in pairs]
        case InspectRoot() | VerifyLayer():
            return convert(parts, list[Fault])
        case PlanRepair():
            return convert(parts, list[RepairStep])
        case work.MeasureMount() | work.ApplyToMount() | work.SweepTrash():
            return convert(value, int)
        case work.StreamLayer() | work.StreamDifference():
            return convert(value, type(None))
    raise InternalError("worker process", f"no such job: {type(job).__name__}")


def _command(fd: int, nice: int) -> list[str]:
    places = list(sys.modules["layerstore"].__path__)
    numbers = [str(number) for number in (fd, os.getpid(), nice, len(places))]
    paths = [path for path in sys.path if path]
    return [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, *numbers, *places, *paths]
