"""Spawning the process beside a command: by a new interpreter, or by one that is warm already.

Owns what is asked of either, and the first way; the other is `warm`'s.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import IO, Literal, Protocol

from layerstore.drivers.errors import DriverError
from layerstore.drivers.sandbox.spec import PASSED_ON
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.held_signals import signals_held

Stream = int | IO[bytes] | None
"""As for subprocess.Popen."""

_ENVIRONMENT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH")
# Like a worker's child, it gets a package of the same name without running its __init__, and looks
# for no garbage while it imports, nor at its end, where it has told everything. What a caller
# ignores means nothing to a command; and who ignores SIGCHLD can't wait for children.
_BOOTSTRAP = """
import gc
gc.disable()
import importlib, os, signal, sys, types
for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
module, own, count, *rest = sys.argv[1:]
if int(own) >= 0:
    os.close(int(own))
    open("/proc/self/comm", "w").write("layerstore")
package = types.ModuleType("layerstore")
package.__path__ = rest[int(count):]
sys.modules["layerstore"] = package
importlib.import_module(module).main(*map(int, rest[:int(count)]))
os._exit(0)
"""


def refuse_directories(*streams: Stream) -> None:
    """Refuse a directory for a standard stream: by /proc/self/fd/0/.. a command would leave its
    root file system. Raises DriverError.
    """
    for number, stream in enumerate(streams):
        fd = number if stream is None else stream if isinstance(stream, int) else stream.fileno()
        if fd < 0:  # subprocess's own word, such as PIPE
            continue
        with contextlib.suppress(OSError):  # closed, of which whoever spawns tells
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                raise DriverError("run with", f"descriptor {fd} as stream {number}", errno.EISDIR)


class Spawned(Protocol):
    """A process as subprocess.Popen has it."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    @property
    def pid(self) -> int:
        """Its ID."""

    @property
    def returncode(self) -> int | None:
        """How it ended; None before that has been waited for."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal; nothing happens once it has ended."""

    def wait(self) -> int:
        """Wait for its end, and return how it ended."""


Task = Literal["child", "joining.child"]
"""What a process beside a command is to do: a module of `drivers/sandbox`."""


class Spawner(Protocol):
    """What spawns a process beside a command."""

    def __call__(
        self, task: Task, fds: Sequence[int], *, stdin: Stream, stdout: Stream, stderr: Stream
    ) -> Spawned:
        """Spawn one with the descriptors that its `main` wants. Raises OSError."""


def spawn(
    task: Task, fds: Sequence[int], *, stdin: Stream, stdout: Stream, stderr: Stream
) -> subprocess.Popen[bytes]:
    """Spawn a new interpreter. Raises OSError."""
    with signals_held(PASSED_ON):
        return interpreter(task, fds, stdin=stdin, stdout=stdout, stderr=stderr)


def interpreter(
    module: str, fds: Sequence[int], *, stdin: Stream, stdout: Stream, stderr: Stream
) -> subprocess.Popen[bytes]:
    """Spawn a new interpreter for a module of `drivers/sandbox`. Raises OSError."""
    places = list(sys.modules["layerstore"].__path__)
    with _on_own_mount() as own:
        known = [f"layerstore.drivers.sandbox.{module}", str(own), str(len(fds)), *map(str, fds)]
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, *known, *places],
            executable=f"/proc/self/fd/{own}" if own >= 0 else None,
            pass_fds=[*fds, own] if own >= 0 else fds,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd="/",
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            # What a terminal sends is for the command's own terminal, or for the caller.
            start_new_session=True,
        )


@contextlib.contextmanager
def _on_own_mount() -> Iterator[int]:
    """Give a descriptor of the interpreter's file on a mount of its own that is read-only.

    Executed from there, it is no file that a command could write to by way of /proc/self/exe
    (CVE-2019-5736). It is -1 where this process may mount nothing, or the kernel is before 5.12.
    """
    try:
        own = syscalls.detached_mount(sys.executable, syscalls.MOUNT_ATTR_RDONLY, follow=True)
    except OSError:
        yield -1
        return
    try:
        yield own
    finally:
        os.close(own)
