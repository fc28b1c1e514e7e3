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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Self

from layerstore.drivers.errors import (
    DriverError,
    LayerStoreError,
    WorkerDied,
    from_wire,
)
from layerstore.drivers.sandbox.init import mount_points
from layerstore.drivers.sandbox.spec import PASSED_ON, RunSpec, Volume
from layerstore.drivers.system.held_signals import signals_held
from layerstore.sandbox.runnable import Network, hostname_of, run_spec

if TYPE_CHECKING:
    from types import TracebackType

    from layerstore.operations.blocking import RWLayer

__all__ = ["Finished", "Running", "Volume", "mount_points", "run", "start"]

Stream = int | IO[bytes] | None

_ENVIRONMENT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH")
# Like a worker's child, it gets a package of the same name without running its __init__, and looks
# for no garbage while it imports, nor at its end, where it has told everything.
_BOOTSTRAP = """
import gc
gc.disable()
import os, sys, types
spec, result, alive, *places = sys.argv[1:]
package = types.ModuleType("layerstore")
package.__path__ = places
sys.modules["layerstore"] = package
from layerstore.drivers.sandbox.child import main
main(int(spec), int(result), int(alive))
os._exit(0)
"""


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


class Running:
    """A command that was started. Wait for it, or use it as a context manager, which kills it."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        spec: RunSpec,
        *,
        stdin: Stream,
        stdout: Stream,
        stderr: Stream,
    ) -> None:
        """Spawn the process beside the command, for the root file system at `root`.

        Raises DriverError.
        """
        spec = replace(spec, root=os.path.realpath(root))
        self._result, theirs = socket.socketpair()
        self._alive, watched = socket.socketpair()
        self._program = spec.argv[0]
        try:
            with theirs, watched, _in_memory(spec.encode()) as given, signals_held(PASSED_ON):
                fds = [given.fileno(), theirs.fileno(), watched.fileno()]
                self._process = subprocess.Popen(
                    _command(fds),
                    pass_fds=fds,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    cwd="/",
                    env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                    # What a terminal sends is for the command's own terminal, or for the caller.
                    start_new_session=True,
                )
        except OSError as error:
            self._close()
            raise DriverError.from_os_error("spawn", sys.executable, error) from error
        except BaseException:
            self._close()
            raise

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

    def wait(self, timeout: float | None = None, *, given: bytes | None = None) -> Finished:
        """Wait until the command has ended and nothing of it is left, and return how it ended.

        `timeout` in seconds is for the waiting; the command goes on after it, with `TimeoutError`.
        `given` is written to the command's standard input, where that is a pipe. Raises
        CommandNotRun where the program can't be executed, InvalidName for an unknown user,
        DriverError where its surroundings can't be made, WorkerDied.
        """
        try:
            out, err = self._process.communicate(given, timeout)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{self._program} still runs after {timeout} s") from error
        try:
            return self._outcome(out, err)
        finally:
            self._close()

    def _outcome(self, out: bytes | None, err: bytes | None) -> Finished:
        content, pidfd = b"", -1
        try:
            while True:
                piece, fds, _, _ = socket.recv_fds(self._result, 1 << 16, 1)
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
        code = self._process.returncode
        status = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        raise WorkerDied(f"the run of {self._program}", self.pid, status)

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
        self.kill()
        if self._process.returncode is None:
            with contextlib.suppress(LayerStoreError):  # how it ends is nobody's business any more
                self.wait()


def start(
    root: str | os.PathLike[str],
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    workdir: str = "/",
    user: str = "",
    volumes: Sequence[Volume] = (),
    network: Network = "none",
    hostname: str = "",
    read_only: bool = False,
    init: bool = False,
    terminal: bool = False,
    time_limit: float | None = None,
    stdin: Stream = None,
    stdout: Stream = None,
    stderr: Stream = None,
) -> Running:
    """Start a command in the mounted root file system at the path `root`; see `run`.

    The streams are as for subprocess.Popen. Raises InvalidArgument, TypeError, DriverError.
    """
    spec = run_spec(
        argv,
        env=env,
        workdir=workdir,
        user=user,
        volumes=volumes,
        network=network,
        hostname=hostname,
        read_only=read_only,
        init=init,
        terminal=terminal,
        time_limit=time_limit,
    )
    return Running(root, spec, stdin=stdin, stdout=stdout, stderr=stderr)


def run(
    rw: RWLayer,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    workdir: str = "/",
    user: str = "",
    volumes: Sequence[Volume] = (),
    network: Network = "none",
    hostname: str = "",
    read_only: bool = False,
    init: bool = False,
    time_limit: float | None = None,
    capture: bool = False,
    given: bytes | None = None,
) -> Finished:
    """Run a command in a read-write layer, mounted meanwhile, and wait for its end.

    It has mount, process, IPC and UTS namespaces of its own, a network with a loopback interface
    only (or the machine's, with `network="host"`), docker's default capabilities, no way to new
    privileges, and a /proc, /sys and /dev of its own, whose mount points are made where they are
    missing (`mount_points` makes them in an init layer). `user` is `user[:group]`, names or
    numbers. `hostname`, at most 64 bytes, is the layer's name by default. With `init` a first
    process passes signals on and reaps orphans. After `time_limit` seconds, more than 0, it is
    killed; None is no limit. `given` is its standard input, empty by default; with `capture` its
    output is returned, else it goes where the caller's goes.

    Raises what `Running.wait` raises, NotPermitted without the privilege, DriverError; before
    anything is done, InvalidArgument or TypeError for arguments that there can't be. Whatever
    happens, no process and no mount of the command is left.
    """
    spec = run_spec(
        argv,
        env=env,
        workdir=workdir,
        user=user,
        volumes=volumes,
        network=network,
        hostname=hostname or hostname_of(rw.name),
        read_only=read_only,
        init=init,
        terminal=False,
        time_limit=time_limit,
    )
    pipe = subprocess.PIPE
    with (
        rw.mounted() as root,
        Running(
            root,
            spec,
            stdin=pipe if given is not None else subprocess.DEVNULL,
            stdout=pipe if capture else None,
            stderr=pipe if capture else None,
        ) as running,
    ):
        return running.wait(given=given)


def _in_memory(content: bytes) -> IO[bytes]:
    file = os.fdopen(os.memfd_create("layerstore-run"), "w+b")
    file.write(content)
    file.seek(0)
    return file


def _command(fds: Sequence[int]) -> list[str]:
    places = list(sys.modules["layerstore"].__path__)
    return [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, *map(str, fds), *places]
