"""The program that a run's packets pass: a process from its start, as nobody, to its end.

Owns that process. It ends with whoever started it, however that ends: it is killed then, and
slirp4netns sees a pipe closed besides. It has a /dev of its own with no more than it needs.
Source: tuntap.rst of the kernel.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import stat
from collections.abc import Callable, Sequence
from typing import NoReturn

from layerstore.drivers.errors import DriverError
from layerstore.drivers.sandbox.network.namespace import Place
from layerstore.drivers.system import syscalls as sc
from layerstore.drivers.system.printable import escaped
from layerstore.drivers.system.readable import receive_descriptors

API = "/dev/api/socket"
_TUN = "/dev/net/tun"
_PATIENCE = 30.0
"""Seconds until it has to be ready; it takes some hundredths."""
_LONGEST_WORD = 1 << 16
_LONGEST_QUOTE = 500

Words = Callable[[str, str, int, int], Sequence[str]]
"""Makes a command line of the namespace's path, the path and the number of a descriptor to write to
once it is ready, and that of one that tells when to end."""


class Helper:
    """One such process."""

    def __init__(self, program: str, place: Place, words: Words) -> None:
        """Start it. Raises OSError, DriverError."""
        self.program = os.path.basename(program)
        self._said, said = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)  # what nobody reads is dropped
        self._ready, ready = os.pipe2(os.O_CLOEXEC)
        until, self._until = os.pipe2(os.O_CLOEXEC)
        ours, theirs = socket.socketpair()
        os.fchown(ready, place.user, place.user)  # pasta opens it by its path
        line = words(f"/proc/self/fd/{place.network}", f"/proc/self/fd/{ready}", ready, until)
        self.pid = os.fork()
        if self.pid == 0:
            _become(program, line, place, theirs, said, [ready, until, place.network])
        for fd in (said, ready, until, theirs.detach()):
            os.close(fd)
        self._own = [self._said, self._ready, self._until]
        os.register_at_fork(after_in_child=self._forget)
        self._devices = -1
        with ours:
            _, fds, _ = receive_descriptors(ours, 1, 1)
            self._own += fds
            self._devices = fds[0] if fds else -1

    def _forget(self) -> None:
        """Keep nothing of it, in another fork, nor in what that forks."""
        while self._own:
            os.close(self._own.pop())

    def await_ready(self, alive: int) -> bool:
        """Wait until it is ready; false once nobody wants the command any more (`alive`).

        Raises DriverError with what it said where it ends instead, or takes too long.
        """
        poll = select.poll()
        for fd in (self._ready, alive):
            poll.register(fd, select.POLLIN)
        ready = dict(poll.poll(_PATIENCE * 1000))
        if alive in ready:
            return False
        if self._ready not in ready:
            raise self.failure(f"it isn't ready after {_PATIENCE:g} s")
        if not os.read(self._ready, 16):
            raise self.failure("it ended before it was ready")
        return True

    def failure(self, what: str) -> DriverError:
        """Return an error that says what went wrong, with what the program said."""
        return DriverError(
            "connect a network by", self.program, errno.EIO, f"{what}{self._heard()}"
        )

    def api(self) -> socket.socket:
        """Connect to its socket API."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(_PATIENCE)
        sock.connect(f"/proc/self/fd/{self._devices}/{os.path.basename(API)}")
        return sock

    def end(self) -> str:
        """End it and wait for that; returns how it has ended before by itself, or nothing."""
        before, _ = os.waitpid(self.pid, os.WNOHANG)
        lost = ""
        if before:
            lost = f"{self.program} ended before the command did{self._heard()}"
        else:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        while self._own:
            os.close(self._own.pop())
        return lost

    def _heard(self) -> str:
        with contextlib.suppress(BlockingIOError):
            lines = os.read(self._said, _LONGEST_WORD).decode("utf-8", "replace").splitlines()
            told = "; ".join(line for line in lines if line.strip() and "syslog" not in line)
            return f": {escaped(told[-_LONGEST_QUOTE:])}" if told else ""
        return ""


def _become(
    program: str,
    line: Sequence[str],
    place: Place,
    devices: socket.socket,
    said: int,
    kept: Sequence[int],
) -> NoReturn:
    """Become the program, in the fork; what goes wrong is what it says."""
    parent = os.getppid()
    try:
        os.setsid()
        _make_devices(place.user, devices)
        null = os.open("/dev/null", os.O_RDONLY)
        for fd, target in ((null, 0), (said, 1), (said, 2)):
            os.dup2(fd, target)
        if place.owner is not None:
            os.setgroups([])
            sc.setns(place.owner, sc.CLONE_NEWUSER)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        _keep_only(kept)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        sc.prctl(sc.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            os.chdir("/")
            os.execve(program, list(line), {"PATH": os.path.dirname(program)})  # noqa: S606
    except Exception as error:  # noqa: BLE001 - the parent reads it
        os.write(said, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(127)


def _make_devices(user: int, devices: socket.socket) -> None:
    """Make a mount namespace with a /dev of null, net/tun and a place for the API's socket.

    On many machines net/tun is for everybody; where it is not, this process's say is enough.
    Another process gets the directory of that socket, by a descriptor.
    """
    sc.unshare(sc.CLONE_NEWNS)
    sc.mount("none", "/", "", sc.MS_REC | sc.MS_PRIVATE, "")
    theirs = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in ("/dev/null",)}
    with contextlib.suppress(FileNotFoundError):
        theirs[_TUN] = os.open(_TUN, os.O_PATH | os.O_CLOEXEC)
    sc.mount("tmpfs", "/dev", "tmpfs", sc.MS_NOSUID | sc.MS_NOEXEC, "mode=755,size=64k")
    os.mkdir("/dev/net")
    for path, numbers in (("/dev/null", (1, 3)), (_TUN, (10, 200))):
        try:
            os.mknod(path, stat.S_IFCHR, os.makedev(*numbers))
            os.chmod(path, 0o666)
        except PermissionError:
            if path in theirs:
                with open(path, "wb"):
                    pass
                sc.mount(f"/proc/self/fd/{theirs[path]}", path, "", sc.MS_BIND, "")
    place = os.path.dirname(API)
    os.mkdir(place, 0o700)
    os.chown(place, user, user)
    directory = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    socket.send_fds(devices, [b"d"], [directory])
    devices.close()


def _keep_only(kept: Sequence[int]) -> None:
    """Have the program inherit these descriptors and the first three, and no others."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2:
            with contextlib.suppress(OSError):  # the listing's own
                os.set_inheritable(fd, fd in kept)
