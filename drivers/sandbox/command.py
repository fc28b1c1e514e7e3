"""The process that becomes a run's command: from its fork to its exec.

Owns what happens in that process. It imports nothing once it is in the root file system, where the
modules would be somebody else's. What goes wrong is told over a socket, which exec closes.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import itertools
import os
import signal
import socket
import stat
import struct
import sys
import termios
from collections.abc import Mapping
from typing import NoReturn

from layerstore.drivers.confine.prepared import Calls
from layerstore.drivers.errors import CommandNotRun, DriverError, InvalidName, LayerStoreError
from layerstore.drivers.sandbox.first import be_first_process, hold
from layerstore.drivers.sandbox.namespaces import Held
from layerstore.drivers.sandbox.root import enter
from layerstore.drivers.sandbox.spec import PASSED_ON, RunSpec
from layerstore.drivers.sandbox.user import (
    NoSuchUser,
    User,
    become,
    become_powerless,
    find_user,
)
from layerstore.drivers.system import syscalls

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_PROGRAMS = 6
"""A program and what interprets it, each the one before: the kernel goes no further."""
_TIOCSPTLCK, _TIOCGPTN = 0x40045431, 0x80045430


def become_command(
    spec: RunSpec, report: socket.socket, parent: int, held: Held | None = None
) -> None:
    """Go into the root file system, give up privileges, and execute; called in a new fork.

    `parent` is the read end of a pipe whose other end is the waiting process's alone; `held` is
    what is open already. Raises LayerStoreError and OSError; returns never else.
    """
    forget_imports()
    os.setsid()
    os.umask(0o022)
    # Nothing in the container may look into this process, nor at its executable.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    try:
        if spec.hostname:
            socket.sethostname(spec.hostname)
        enter(spec, held)
    except OSError as error:
        raise DriverError.from_os_error("prepare", error.filename or spec.root, error) from error
    if spec.hold:
        _make_directory(spec.workdir)
        become_powerless(raw_packets=spec.private_network is None, new_users=bool(spec.id_map))
        end_with(parent)
        hold(report)
    try:
        user = find_user(spec.user)
    except NoSuchUser as error:
        raise InvalidName(spec.user, f"no user or group {error} is in it") from error
    if spec.terminal:
        try:
            _take_terminal(report, user)
        except OSError as error:
            raise DriverError.from_os_error("open a terminal in", "/dev/pts", error) from error
    _make_directory(spec.workdir)
    # By a packet made by hand it would get to this machine's loopback; see network.shut.
    become(user, raw_packets=spec.private_network is None, new_users=bool(spec.id_map))
    end_with(parent)
    environment = environment_of(spec, user)
    try:
        os.chdir(spec.workdir)
    except OSError as error:
        raise DriverError.from_os_error("go to", spec.workdir, error) from error
    if spec.init:
        be_first_process(report, terminal=spec.terminal)
    reset_signals()
    execute(spec.argv, environment)


_FORGOTTEN = (sys.path, sys.meta_path, sys.path_hooks, sys.path_importer_cache)
"""Kept: to take them apart would be to copy all their memory in each fork."""


def forget_imports() -> None:
    """Import nothing any more, as it would be somebody else's."""
    sys.path, sys.meta_path, sys.path_hooks, sys.path_importer_cache = [], [], [], {}


def close_all_but(*kept: int) -> None:
    """Close every descriptor that isn't a standard stream or one of these."""
    edges = [2, *sorted(kept), os.sysconf("SC_OPEN_MAX")]
    for low, high in itertools.pairwise(edges):
        if low + 1 < high:
            os.closerange(low + 1, high)


def _take_terminal(report: socket.socket, user: User) -> None:
    """Open a terminal of the root file system's own, and hand its other end over."""
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    (number,) = struct.unpack("I", fcntl.ioctl(master, _TIOCGPTN, bytes(4)))
    path = f"/dev/pts/{number}"
    slave = os.open(path, os.O_RDWR | os.O_NOCTTY)
    os.fchown(slave, user.uid, -1)
    syscalls.mount(path, "/dev/console", "", syscalls.MS_BIND, "")
    stand_on_terminal(report, master, slave)


def stand_on_terminal(report: socket.socket, master: int, slave: int) -> None:
    """Have a terminal for the standard streams, and hand its other end over. Raises OSError."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    socket.send_fds(report, [b"t"], [master])
    os.close(master)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.close(slave)


def _make_directory(path: str) -> None:
    try:
        os.makedirs(path, 0o755, exist_ok=True)
    except FileExistsError as error:
        raise _no_directory(path) from error
    except OSError as error:
        raise DriverError.from_os_error("make", error.filename or path, error) from error


def _no_directory(path: str) -> DriverError:
    """Say what is there instead of a directory: something else, or a link that leads nowhere."""
    try:
        os.stat(path)
    except OSError as why:
        return DriverError.from_os_error("go to", path, why)
    return DriverError("go to", path, errno.ENOTDIR)


def end_with(parent: int) -> None:
    """Be killed when the waiting process ends, which may have happened by now."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.set_blocking(parent, False)
    try:
        os.read(parent, 1)
    except BlockingIOError:
        return
    os._exit(1)


def environment_of(spec: RunSpec, user: User) -> Mapping[str, str]:
    """Return a command's variables, with the usual ones where nothing is said."""
    usual = {"PATH": DEFAULT_PATH, "HOME": user.home}
    if spec.hostname:
        usual["HOSTNAME"] = spec.hostname
    if spec.terminal:
        usual["TERM"] = "xterm"
    return {**usual, **spec.env}


def reset_signals() -> None:
    """Have signals do to the command what they do by default."""
    _by_default.make()


def _defaults() -> Calls:
    """Return calls that make the signals do so and block none; of what is ready see `prepared`.

    sigaction(2) and sigprocmask(2), whose structures of zeros say that.
    """
    calls, nothing = Calls(), ctypes.create_string_buffer(256)
    for number in (*PASSED_ON, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGWINCH):
        calls.add("sigaction", int(number), nothing, None)
    calls.add("sigprocmask", int(signal.SIG_SETMASK), nothing, None)
    return calls


_by_default = _defaults()


def execute(argv: tuple[str, ...], environment: Mapping[str, str]) -> NoReturn:
    """Execute a program, looked for on the PATH where it is a bare name."""
    name = argv[0]
    places = [name] if "/" in name else _on_path(name, environment.get("PATH", DEFAULT_PATH))
    refused = errno.ENOENT
    for program in places:
        try:
            _refuse_magic(program)
            os.execve(program, argv, environment)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError) as error:
            if os.path.exists(program):  # its interpreter is what is missing
                raise _not_run(program, error) from error
        except PermissionError:
            refused = errno.EACCES
        except OSError as error:
            raise _not_run(program, error) from error
    raise CommandNotRun(name, refused)


def _on_path(name: str, path: str) -> list[str]:
    return [f"{directory or '.'}/{name}" for directory in path.split(":")] if name else [name]


def _not_run(program: str, error: OSError) -> LayerStoreError:
    detail = "what interprets it is missing" if isinstance(error, FileNotFoundError) else ""
    return CommandNotRun(program, error.errno or errno.ENOEXEC, detail)


def _refuse_magic(program: str) -> None:
    """Refuse a program that is, or is interpreted by, one of this machine's reached by /proc.

    /proc/self/exe is this process's own interpreter, which the command could write to as soon as
    it isn't busy any more. Who can change files meanwhile, on a volume or where a second command
    joins, may get by; the interpreter is then where nobody can write, see `spawning`.
    """
    for _ in range(_MAX_PROGRAMS):
        fd = syscalls.openat2(
            syscalls.AT_FDCWD, program, os.O_PATH, 0, syscalls.RESOLVE_NO_MAGICLINKS
        )
        os.close(fd)
        program = _interpreter(_start_of(program))
        if not program:
            return
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), program)


def _interpreter(start: bytes) -> str:
    """Return the name that the kernel reads there; empty where it finds none.

    fs/binfmt_script.c: only spaces and tabs go before it, and they, a NUL or the line's end end it.
    """
    if not start.startswith(b"#!"):
        return ""
    line = start[2:].split(b"\n")[0].lstrip(b" \t")
    return os.fsdecode(line.translate(bytes.maketrans(b"\t\0", b"  ")).split(b" ")[0])


def _start_of(program: str) -> bytes:
    try:
        fd = os.open(program, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except PermissionError:
        return b""
    try:
        return os.read(fd, 256) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)
