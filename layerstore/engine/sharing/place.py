"""Where a store's owner listens: the socket in the root's own place, and who may be at its ends.

Owns `<root>/layerstore/socket`. Whoever holds the root's lock owns it: what lies there then is left
by somebody who is dead, or kept there for owners by somebody who starts them when they are called.
It knows nothing of what is said.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import stat
import struct
from collections.abc import Iterator

from layerstore.drivers.errors import CannotAttach, DriverError, InvalidArgument

log = logging.getLogger("layerstore")

_NAME = "socket"
_BACKLOG = 1_000
_CREDENTIALS = struct.Struct("3i")
_TIME = struct.Struct("ll")
_OTHERS = "a process that isn't the owner has a socket there"
_ENDING = 0.5
"""Seconds that an owner which was killed has for its socket to go, once its lock is gone."""


@contextlib.contextmanager
def _place(root: str) -> Iterator[str]:
    """Give a path of the socket that is short, whatever the root's is: a socket's has 108 bytes."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open(f"{root}/layerstore", flags)
    try:
        yield f"/proc/self/fd/{directory}/{_NAME}"
    finally:
        os.close(directory)


def listen(root: str) -> socket.socket:
    """Make the socket, in place of one that was left, and listen; the root's lock must be held.

    Raises DriverError where there can be none, or some process keeps one there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _place(root) as path:
            _wait_until_nobody_has(path)
            _remove(path)
            os.fchmod(sock.fileno(), 0o600)  # before there is a name, so that it never is another
            sock.bind(path)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        path = f"{root}/layerstore/{_NAME}"
        detail = _OTHERS if error.errno == errno.EADDRINUSE else ""
        raise DriverError.from_os_error("listen on", path, error, detail) from error
    return sock


def take_over(root: str, descriptor: int) -> socket.socket:
    """Listen with a socket that listens in the place already, and stays whose it is.

    Raises InvalidArgument where it is another, DriverError.
    """
    place = f"{root}/layerstore/{_NAME}"
    try:
        sock = socket.socket(fileno=os.dup(descriptor))
        try:
            _check_is_in_place(root, sock)
            # Who calls sees the process that said so last, and its credentials.
            sock.listen(_BACKLOG)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise DriverError.from_os_error("listen on", place, error) from error
    return sock


def _check_is_in_place(root: str, sock: socket.socket) -> None:
    """Raise InvalidArgument for a socket that isn't the one which those find who look there."""
    wanted = f"a socket of this store listens at {root}/layerstore/{_NAME}"
    if (
        sock.family != socket.AF_UNIX
        or sock.type != socket.SOCK_STREAM
        or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ):
        raise InvalidArgument(repr(sock), wanted)
    name = os.fsdecode(sock.getsockname())
    directory, _, last = name.rpartition("/")
    with _place(root) as path:
        if not (
            name.startswith("/")
            and last == _NAME
            and os.path.isdir(directory)
            and os.path.samefile(directory, os.path.dirname(path))
            and _has_somebody(path)
        ):
            raise InvalidArgument(name, wanted)


def unlisten(root: str, sock: socket.socket, *, lent: bool) -> None:
    """Close the socket and take its name away; the root's lock must still be held.

    One that is `lent` stays with those who have it, too, and keeps its name.
    """
    sock.close()
    if lent:
        return
    try:
        with _place(root) as path:
            _remove(path)
    except OSError as error:  # whoever has the root next replaces it
        log.info("the socket of %s is left: %s", root, error)


def _wait_until_nobody_has(path: str) -> None:
    """Raise OSError where a process has the socket that lies there, though it is no owner."""
    if not _has_somebody(path):
        return
    # Only here: seldom anybody has.
    from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed  # noqa: PLC0415

    patiently = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(_ENDING),
        wait=wait_fixed(_ENDING / 50),
        retry_error_callback=lambda _: True,
    )
    if patiently(_has_somebody, path):
        raise OSError(errno.EADDRINUSE, _OTHERS)


def _has_somebody(path: str) -> bool:
    """Whether some process has the socket that lies there; it doesn't notice.

    It would if it were called, and might start an owner then. A socket of another kind is told
    that this one is of another kind, before anything else; one that is dead refuses.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.connect(path)
    except OSError as error:
        return error.errno == errno.EPROTOTYPE
    return True


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)


def connect(root: str, timeout: float) -> tuple[socket.socket, int]:
    """Connect to a root's owner; returns the socket and the owner's process ID.

    Raises CannotAttach, with what stands in the way, and DriverError.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Of one that doesn't block the kernel would take no account of how long it may wait.
        seconds, rest = divmod(max(timeout, 1e-6), 1.0)
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIME.pack(int(seconds), int(rest * 1e6))
        )
        with _place(root) as path:
            sock.connect(path)
        pid, user = peer_of(sock)
        if os.geteuid() and not is_trusted(user):
            raise CannotAttach(root, f"process {pid} listens there, which is user {user}'s")
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        sock.close()
        raise CannotAttach(root, "no process listens there") from error
    except BlockingIOError as error:
        sock.close()
        raise CannotAttach(root, f"its owner took no call for {timeout:g} s") from error
    except OSError as error:
        sock.close()
        path = f"{root}/layerstore/{_NAME}"
        raise DriverError.from_os_error("connect to", path, error) from error
    except BaseException:
        sock.close()
        raise
    return sock, pid


def peer_of(sock: socket.socket) -> tuple[int, int]:
    """Return the process ID and the user ID of the other end, as when it connected or listened."""
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, _group = _CREDENTIALS.unpack(found)
    return pid, user


def is_trusted(user: int) -> bool:
    """Whether a user may do whatever this process may: it is the same, or root."""
    return user in (0, os.geteuid())
