"""Running a command in a root file system, apart from the machine, and waiting for its end.

Owns the process beside the command, from its spawning to its end. It knows nothing of images: what
those say about their process is `process`'s business. docs/run.md says what a command sees and what
it may do.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Self, Unpack

from layerstore.drivers.errors import (
    DriverError,
    LayerStoreError,
    WorkerDied,
    end_of_process,
    from_wire,
)
from layerstore.drivers.sandbox.init import mount_points
from layerstore.drivers.sandbox.network.plan import PublishedPort
from layerstore.drivers.sandbox.spec import RunSpec, Volume
from layerstore.drivers.system.readable import receive_descriptors
from layerstore.drivers.work.descriptors import OwnedDescriptor
from layerstore.sandbox.exchange import Exchange
from layerstore.sandbox.reachable import ExecOptions, Member, Reachable
from layerstore.sandbox.runnable import RunOptions, hostname_of, run_spec
from layerstore.sandbox.spawning import Spawner, Stream, Task, refuse_directories, spawn

if TYPE_CHECKING:
    from types import TracebackType

    from layerstore.operations.blocking import RWLayer
    from layerstore.sandbox.warm import Warm

__all__ = ["Finished", "RunOptions", "Running", "Volume", "mount_points", "run", "start"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a command ended."""

    status: int
    """Its exit status; 128 and the signal's number where one killed it; 124 where its time was
    over."""
    timed_out: bool
    stdout: bytes | None = None
    """What it wrote, where that was to be captured."""
    stderr: bytes | None = None
    oom_killed: bool = False
    """Some process of it was killed because there was no memory left for them: their own bound, or
    the machine's, was reached. A status of 137 is then that kill, if it hit the command itself."""
    peak_memory: int | None = None
    """The most bytes that all of its processes used at once, page cache included. Where no control
    group counts memory: the most that the largest process had in memory."""
    cpu_seconds: float | None = None
    """CPU time of all of its processes, the making of the container included. Where no control
    group counts it: of those that were waited for."""
    network_lost: str = ""
    """How slirp4netns or pasta ended, where it did before the command, whose private network was
    silent from then on."""


class Running(Reachable):
    """A command that was started. Wait for it, or use it as a context manager, which kills it."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        spec: RunSpec,
        *,
        stdin: Stream,
        stdout: Stream,
        stderr: Stream,
        spawner: Spawner = spawn,
        joins: Member | None = None,
    ) -> None:
        """Spawn the process beside the command, for the root file system at `root`.

        With `joins` the command is a second one, in the container of that process. Raises
        DriverError, which names a port that can't be published.
        """
        refuse_directories(stdin, stdout, stderr)
        if joins is None:  # else it is the first one's
            spec = spec._replace(root=os.path.realpath(root))
        self._spec, self._first = spec, joins.kept() if joins is not None else None
        self._spawner = spawner
        self._result, theirs = socket.socketpair()
        self._alive, watched = socket.socketpair()
        self._program = spec.argv[0]
        try:
            with theirs, watched:
                spec = _with_ports(spec, self._result)
                with contextlib.closing(_in_memory(spec.encode())) as given:
                    fds = [given.fileno(), theirs.fileno(), watched.fileno()]
                    task: Task = "child"
                    if self._first is not None:
                        fds, task = [*fds, self._first.pidfd], "joining.child"
                    self._process = spawner(task, fds, stdin=stdin, stdout=stdout, stderr=stderr)
        except OSError as error:
            self._close()
            raise DriverError.from_os_error("spawn", sys.executable, error) from error
        except BaseException:
            self._close()
            raise
        self._exchange = Exchange(self._process)
        self._ports = spec.private_network.ports if spec.private_network is not None else ()

    @property
    def ports(self) -> tuple[PublishedPort, ...]:
        """What was asked to be published, with the ports of this machine that were chosen."""
        return self._ports

    @property
    def pid(self) -> int:
        """Process ID of the process beside the command."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes] | None:
        """The other end of the command's standard input, where that is a pipe."""
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes] | None:
        """The other end of the command's standard output, where that is a pipe."""
        return self._process.stdout

    @property
    def stderr(self) -> IO[bytes] | None:
        """The other end of the command's standard error, where that is a pipe."""
        return self._process.stderr

    def send_signal(self, number: int) -> None:
        """Send a signal to the command; nothing happens once it has ended.

        One that comes before it is executed ends it. As the first process of its namespace it then
        only minds signals that it handles, unless it was started with `init`. The third SIGINT or
        SIGTERM kills it.
        """
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the command with everything that it has started. Idempotent."""
        self._alive.close()

    def exec(
        self,
        argv: Sequence[str],
        *,
        terminal: bool = False,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        **options: Unpack[ExecOptions],
    ) -> Running:
        """Start a second command in the container of this one, with its privileges and bounds.

        It ends with the first one at the latest. Variables, working directory and user are the
        first one's where nothing else is said; `env` adds to them. The streams are as for `start`.
        Waits until the first one is executed. Raises NotRunning where that has ended, DriverError,
        InvalidArgument, TypeError; `wait` raises NotRunning too, and DriverError (EBUSY) where the
        first one is paused.
        """
        with self.member() as first:
            spec = first.second(argv, terminal=terminal, **options)
            streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
            return Running(spec.root, spec, **streams, spawner=self._spawner, joins=first)

    def wait(
        self,
        timeout: float | None = None,
        *,
        given: bytes | None = None,
        most_output: int | None = None,
    ) -> Finished:
        """Wait until the command has ended and nothing of it is left, and return how it ended.

        `timeout` in seconds is for the waiting; the command goes on after it, with `TimeoutError`.
        `given` is written to the command's standard input, where that is a pipe. Where more than
        `most_output` bytes come by a pipe it raises OutputExceeded, and the command waits to write
        more. Raises CommandNotRun where the program can't be executed, InvalidName for an unknown
        user, DriverError where its surroundings can't be made, WorkerDied.
        """
        try:
            out, err = self._exchange.until_end(given, timeout, most_output)
        except TimeoutError as error:
            raise TimeoutError(f"{self._program} still runs after {timeout} s") from error
        try:
            return self._outcome(out, err)
        finally:
            self._close()

    def _outcome(self, out: bytes | None, err: bytes | None) -> Finished:
        content, pidfd = b"", -1
        try:
            while True:
                piece, fds, _ = receive_descriptors(self._result, 1 << 16, 1)
                pidfd = fds[0] if fds else pidfd
                content += piece
                if not piece:
                    break
            reply = content.removeprefix(b"p")
            if not reply:
                self._bury(pidfd)
        finally:
            if pidfd >= 0:
                os.close(pidfd)
        found = json.loads(reply)
        if "error" in found:
            raise from_wire(found["error"])
        return Finished(**found, stdout=out, stderr=err)

    def _bury(self, pidfd: int) -> None:
        """Kill what is left where the process beside the command has ended without a word."""
        if pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        code = self._process.returncode or 0
        raise WorkerDied(f"the run of {self._program}", self.pid, end_of_process(code))

    def _close(self) -> None:
        self._result.close()
        self._alive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Kill it and wait for its end; how it ends is nobody's business any more. Idempotent."""
        self.kill()
        if self._process.returncode is None:
            with contextlib.suppress(LayerStoreError):
                self.wait()

    def wait_and_end(self, given: bytes | None, most_output: int | None) -> Finished:
        """Wait for its end; it is killed if anything goes wrong meanwhile. Raises as `wait`."""
        with self:
            return self.wait(given=given, most_output=most_output)


def start(
    root: str | os.PathLike[str],
    argv: Sequence[str],
    *,
    terminal: bool = False,
    stdin: Stream = None,
    stdout: Stream = None,
    stderr: Stream = None,
    warm: Warm | None = None,
    **options: Unpack[RunOptions],
) -> Running:
    """Start a command in the mounted root file system at the path `root`; see `run`.

    The streams are as for subprocess.Popen; with `terminal` the command gets one of its own, joined
    to stdin and stdout. Raises InvalidArgument, TypeError, DriverError.
    """
    spec = run_spec(argv, terminal=terminal, **options)
    spawner = warm.spawn if warm is not None else spawn
    return Running(root, spec, stdin=stdin, stdout=stdout, stderr=stderr, spawner=spawner)


def run(
    rw: RWLayer,
    argv: Sequence[str],
    *,
    capture: bool = False,
    given: bytes | None = None,
    warm: Warm | None = None,
    **options: Unpack[RunOptions],
) -> Finished:
    """Run a command in a read-write layer, mounted meanwhile, and wait for its end.

    It has mount, process, IPC and UTS namespaces of its own, a network with a loopback interface
    only (or the machine's, with `network="host"`, or with `private` one with a way out), docker's
    default capabilities, no way to new privileges, and a /proc, /sys and /dev of its own, whose
    mount points are made where they are missing (`mount_points` makes them in an init layer). The
    other options are RunOptions'. `given` is its standard input, empty by default; with `capture`
    its output is returned, else it goes where the caller's goes. With `warm` it begins sooner.

    Raises what `Running.wait` raises, NotPermitted without the privilege, DriverError; before
    anything is done, InvalidArgument or TypeError for arguments that there can't be. Whatever
    happens, no process and no mount of the command is left.
    """
    options["hostname"] = options.get("hostname") or hostname_of(rw.name)
    options.setdefault("id_map", rw.id_map)
    spec = run_spec(argv, **options)
    pipe = subprocess.PIPE
    with (
        rw.mounted() as root,
        Running(
            root,
            spec,
            stdin=pipe if given is not None else subprocess.DEVNULL,
            stdout=pipe if capture else None,
            stderr=pipe if capture else None,
            spawner=warm.spawn if warm is not None else spawn,
        ) as running,
    ):
        return running.wait(given=given)


def _with_ports(spec: RunSpec, there: socket.socket) -> RunSpec:
    """Choose the published ports, and hand them over, so that nobody else gets them meanwhile."""
    network = spec.private_network
    if network is None or not network.ports:
        return spec
    # Only here: few runs have any.
    from layerstore.drivers.sandbox.network.ports import hand_over  # noqa: PLC0415

    ports = hand_over(network.ports, there)
    return spec._replace(private_network=network._replace(ports=ports))


def _in_memory(content: bytes) -> OwnedDescriptor:
    """Return a file that has this, and is read from its beginning."""
    owned = OwnedDescriptor(os.memfd_create("layerstore-run"))
    written = 0
    while written < len(content):
        written += os.pwrite(owned.fileno(), content[written:], written)
    return owned
