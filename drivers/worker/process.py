"""The parent's side of a child process: spawn it, hand it jobs, notice its death, reap it.

Owns one child and the socket to it. One thread at a time uses it, but `kill` may come from any.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_origin

import msgspec

from layerstore.drivers import work
from layerstore.drivers.confine.confine import Confinement
from layerstore.drivers.confine.detached import only_to_read
from layerstore.drivers.confine.stopped import is_stopped, wait_for_child, watching
from layerstore.drivers.errors import DriverError, Wire, WorkerDied, end_of_process, from_wire
from layerstore.drivers.root.disk import DiskConfig
from layerstore.drivers.system.collected_log import Lines, log_again
from layerstore.drivers.system.frames import (
    BadFrame,
    EndOfFrames,
    convert,
    receive_frame,
    send_frame,
)
from layerstore.drivers.system.held_signals import signals_held
from layerstore.drivers.system.priority import Priority
from layerstore.drivers.system.proc_children import children_of_thread
from layerstore.drivers.system.readable import is_readable
from layerstore.drivers.worker import together
from layerstore.drivers.worker.lean import lean_command
from layerstore.drivers.worker.orphans import await_forks

_TAKES_A_JOB = 60.0
"""Seconds for a child, which has nothing else to do, to take a job off its socket."""
_CHILD = "layerstore.drivers.worker.child"
_ENVIRONMENT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH")


class _Process(subprocess.Popen[bytes]):
    """A process that can be told of before it is there: spawning it may take any time."""

    def __init__(
        self, announce: Callable[[_Process], None], command: list[str], **options: Any
    ) -> None:
        self._thread = threading.get_native_id()
        self._others = children_of_thread(self._thread)
        announce(self)
        super().__init__(command, **options)

    def number(self) -> int | None:
        """Return the process ID, once there is one.

        The thread that spawns doesn't hear of it before the new process runs its program (vfork),
        which one that is stopped in between doesn't; what the kernel tells others is read here.
        """
        known: int | None = self.pid
        return known or next(iter(children_of_thread(self._thread) - self._others), None)


class ChildProcess:
    """One child process, spawned at once; its start-up overlaps with whatever the caller does."""

    def __init__(
        self,
        config: DiskConfig,
        *,
        announce: Callable[[ChildProcess], None] | None = None,
    ) -> None:
        """Spawn the child.

        `announce` is called with the object before that, so that it can be killed meanwhile. Raises
        DriverError where the system has no process or descriptor left.
        """
        self._process: _Process | None = None
        self._priority: Priority | None = None
        self._killed = False
        self._given_up = False
        if announce is not None:
            announce(self)
        ours: socket.socket | None = None
        alive: socket.socket | None = None
        try:
            ours, theirs = socket.socketpair()
            alive, held = socket.socketpair()
            self._held = os.fstat(held.fileno()).st_ino
            command = lean_command(_CHILD, str(theirs.fileno()), str(os.getpid()))
            self._command = b"".join(os.fsencode(word) + b"\0" for word in command)
            interrupts = signals_held([signal.SIGINT])
            with theirs, held, watching(self._number, self._give_up), interrupts:
                process = _Process(
                    self._spawning,
                    command,
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
        self._process, self.pid = process, process.pid
        self._priority = Priority(process.pid)
        self._confinement: Confinement | None = None
        if self._killed:
            self.kill()  # it may not have been there yet
        with contextlib.suppress(OSError):  # a child that is dead already shows at the first job
            send_frame(self._sock, asdict(config))

    @property
    def pid_by_now(self) -> int | None:
        """The process ID, from any thread; None while it is only being spawned."""
        return self._process.number() if self._process is not None else None

    def _spawning(self, process: _Process) -> None:
        self._process = process

    def _number(self) -> int | None:
        return self._process.number() if self._process is not None else None

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

    def _send(self, request: object, numbers: Sequence[int] = ()) -> None:
        self._sock.settimeout(_TAKES_A_JOB)
        send_frame(self._sock, request, numbers)
        self._sock.settimeout(None)

    def _receive(self) -> object:
        frame, extra = receive_frame(self._sock, self._wait)
        for fd in extra:
            os.close(fd)
        return frame

    def _wait(self) -> None:
        if not wait_for_child(self.pid, [(self._sock, select.POLLIN)], self._give_up):
            raise EndOfFrames

    def _give_up(self) -> None:
        self._given_up = True
        self.kill()

    @property
    def is_usable(self) -> bool:
        """Whether the child can be given a job; else it is to be closed."""
        ended = self._process is None or self._process.poll() is not None
        return not self._killed and not ended and not is_stopped(self.pid)

    def perform(
        self, job: work.Job, descriptors: work.Descriptors, lent: Mapping[str, int] | None = None
    ) -> work.Outcome:
        """Have the child do a job; raises WorkerDied if it ends first, else what the job raised.

        `lent` is what the child is to be lent of layers, by their IDs, for that job. A child that
        somebody stops, and doesn't let go on within seconds, is killed. After
        WorkerDied the object is of no more use and the child is reaped.
        """
        numbers = [descriptor.fileno() for descriptor in descriptors]
        try:
            plain = msgspec.to_builtins(job, builtin_types=(bytes,))
            with _only_to_read(job, numbers) as given:
                request = (type(job).__name__, plain, list(lent or ()))
                self._send(request, [*given, *(lent or {}).values()])
            for descriptor in descriptors:
                descriptor.close()
            return self._outcome(job)
        except (EndOfFrames, OSError, BadFrame) as error:
            raise self._died(f"{type(job).__name__} {job.summary()}", error) from error

    @property
    def is_ready(self) -> bool:
        """Whether the child has started up, as far as one look tells."""
        return self._confinement is not None or is_readable(self._sock, 0)

    def perform_all(self, jobs: Sequence[work.Job], *, quiet: bool) -> list[work.Performed | None]:
        """Have the child do jobs that join; None for each that it has left to be done elsewhere.

        `quiet` is as in `together.pack`. Raises WorkerDied; then some may have been done.
        """
        try:
            self._send((*together.pack(jobs, quiet=quiet), []))
            self._hear_confinement()
            return together.unpack(self._receive(), jobs, self.pid)
        except (EndOfFrames, OSError, BadFrame) as error:
            raise self._died(f"{len(jobs)} jobs together", error) from error

    def _died(self, during: str, error: Exception) -> WorkerDied:
        self.kill()
        status = self._reap()
        if self._given_up:
            status = "killed because it was stopped"
        elif isinstance(error, BadFrame):
            status = f"sent a bad frame: {error}"
        return WorkerDied(during, self.pid, status)

    def _outcome(self, job: work.Job) -> work.Outcome:
        self._hear_confinement()
        parts: list[object] = []
        lines: Lines | None = None
        while True:
            reply = convert(self._receive(), dict[str, Any])
            if "lines" in reply and lines is None:
                lines = convert(reply["lines"], Lines)
                log_again(lines)
            elif "part" in reply:
                parts.extend(convert(reply["part"], list[Any]))
            elif "error" in reply:
                raise from_wire(convert(reply["error"], Wire))
            elif "ok" in reply:
                in_parts = get_origin(job.brings) is list
                brought = convert(parts if in_parts else reply["ok"], job.brings)
                outcome: work.Outcome = job.outcome(brought)
                return outcome
            else:
                raise BadFrame("a reply is neither part, error nor ok, nor the first to log")

    def give_way(self) -> None:
        """Have the child's work wait for everybody else's; it is idle."""
        if self._priority is not None:
            self._priority.lower()

    def hurry(self) -> None:
        """Have the child work as anybody else, in the middle of its work, too; from any thread."""
        priority, process = self._priority, self._process
        if priority is not None and process is not None and process.returncode is None:
            priority.restore()

    def kill(self) -> None:
        """Kill the child, from any thread; perform then raises WorkerDied. Idempotent."""
        self._killed = True
        number = self._number()
        if self._process is not None and number is not None:
            with contextlib.suppress(ProcessLookupError):
                if self._process.pid:
                    self._process.kill()
                else:
                    os.kill(number, signal.SIGKILL)

    def close(self) -> None:
        """End the child, which is idle or not wanted any more, and reap it. Idempotent."""
        self._sock.close()
        self.kill()
        self._reap()

    def _reap(self) -> str:
        self._sock.close()
        code = self._process.wait() if self._process is not None else 0
        # The kernel ends the child's forks with it; they work on the disk until they are gone.
        with self._alive:
            if self._alive.fileno() >= 0:  # else it was waited for before
                await_forks(self._alive, self._held, self._command)
        return end_of_process(code)


@contextlib.contextmanager
def _only_to_read(job: work.Job, numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """Give the descriptors that go to a child, so that it can't write to a tar that is a file.

    Of a window only, which isn't read by the position that the descriptor shares with others.
    """
    source = getattr(job, "source", None)
    windowed = isinstance(source, work.TarSource) and source.size is not None
    tar = only_to_read(numbers[0]) if windowed else None
    if tar is None:
        yield numbers
        return
    try:
        yield [tar, *numbers[1:]]
    finally:
        os.close(tar)
