"""Reading: waiting until that can be done, small files at once, and descriptors of others.

select(2) takes none of more than 1,023. Source for the last: unix(7), SCM_RIGHTS.
"""

from __future__ import annotations

import array
import math
import os
import select
import socket
import sys
from typing import Protocol

_PIECE = 1 << 16
_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)


class HasDescriptor(Protocol):
    """A socket, a file."""

    def fileno(self) -> int:
        """Return the number."""


def is_readable(source: int | HasDescriptor, timeout: float | None = None) -> bool:
    """Wait at most `timeout` seconds, without end if None, until there is something to read.

    The end of a pipe, and of a process that a descriptor stands for, counts.
    """
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(None if timeout is None else math.ceil(timeout * 1000)))


def content_of(path: str, most: int = sys.maxsize) -> bytes:
    """Return what a file has, at most so many bytes from its beginning. Raises OSError.

    By three or four calls, which is what counts for one of the kernel's.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    pieces: list[bytes] = []
    try:
        while piece := os.read(fd, min(most, _PIECE)):
            pieces.append(piece)
            most -= len(piece)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)
    return b"".join(pieces)


def stat_of(process: int | str) -> list[bytes]:
    """Return the fields of a process, each one place before its number in proc_pid_stat(5).

    The name among them is the process's to choose, brackets and all. Raises OSError, also where
    there is no such process.
    """
    before, _, after = content_of(f"/proc/{process}/stat").rpartition(b")")
    number, _, name = before.partition(b" (")
    return [number, name, *after.split()]


def stream_socket(fd: int) -> socket.socket:
    """Return the socket of a descriptor that is known to be a Unix one of a stream.

    Without being told, Python asks the kernel three times.
    """
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd)


def receive_descriptors(
    sock: socket.socket, size: int, most: int, flags: int = 0
) -> tuple[bytes, list[int], int]:
    """Receive at most `size` bytes, and `most` descriptors beside them, which end with an exec.

    Returns recvmsg's flags, too: with MSG_CTRUNC there were more. socket.recv_fds drops the flags
    that it is given before Python 3.12, and with them close-on-exec. Raises OSError.
    """
    found = array.array("i")
    room = socket.CMSG_LEN(most * found.itemsize)
    data, ancillary, told, _ = sock.recvmsg(size, room, flags | _CLOEXEC)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return data, list(found), told
