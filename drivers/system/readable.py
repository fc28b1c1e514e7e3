"""Waiting until a descriptor can be read, and receiving descriptors.

select(2) takes none of more than 1,023. Source for the other: unix(7), SCM_RIGHTS.
"""

from __future__ import annotations

import array
import math
import select
import socket
from typing import Protocol


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


def receive_descriptors(
    sock: socket.socket, size: int, most: int, flags: int = 0
) -> tuple[bytes, list[int], int]:
    """Receive at most `size` bytes, and `most` descriptors beside them, which end with an exec.

    Returns recvmsg's flags, too: with MSG_CTRUNC there were more. socket.recv_fds drops the flags
    that it is given before Python 3.12, and with them close-on-exec. Raises OSError.
    """
    found = array.array("i")
    room = socket.CMSG_LEN(most * found.itemsize)
    data, ancillary, told, _ = sock.recvmsg(size, room, flags | socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return data, list(found), told
