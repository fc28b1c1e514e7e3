"""Where a store's owner listens: the socket in the root's own place, and who may be at its ends.

Owns `<root>/layerstore/socket`. Whoever holds the root's lock owns it: what lies there then is left
by somebody who is dead. It knows nothing of what is said.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import struct
from collections.abc import Iterator

from layerstore.drivers.errors import CannotAttach, DriverError

log = logging.getLogger("layerstore")

_NAME = "socket"
_BACKLOG = 1_000
_CREDENTIALS = struct.Struct("3i")
_TIME = struct.Struct("ll")


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

    Raises DriverError where there can be none.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _place(root) as path:
            _remove(path)
            os.fchmod(sock.fileno(), 0o600)  # before there is a name, so that it never is another
            sock.bind(path)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise DriverError.from_os_error("listen on", f"{root}/layerstore/{_NAME}", error) from error
    return sock


def unlisten(root: str, sock: socket.socket) -> None:
    """Close the socket and take its name away; the root's lock must still be held."""
    sock.close()
    try:
        with _place(root) as path:
            _remove(path)
    except OSError as error:  # whoever has the root next replaces it
        log.info("the socket of %s is left: %s", root, error)


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
