"""What systemd does for a service: it listens for it, starts it, and hears how it is."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_START = """
import os, sys
fd, *command = sys.argv[1:]
if fd != "none":
    os.dup2(int(fd), 3)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "store"}
os.execv(command[0], command)
"""


class Manager:
    """Plays systemd for one service."""

    def __init__(self, listens_at: Path | None = None, *, abstract: bool = False) -> None:
        self._news = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._news.bind("" if abstract else f"{os.environ.get('TMPDIR', '/tmp')}/notify-{id(self)}")  # noqa: S108
        self._news.settimeout(60)
        name = self._news.getsockname()
        self.address = "@" + name[1:].decode() if abstract else name
        self.socket: socket.socket | None = None
        if listens_at is not None:
            listens_at.parent.mkdir(parents=True, exist_ok=True)
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(str(listens_at))
            self.socket.listen(5)

    @contextlib.contextmanager
    def service(
        self, words: Sequence[str], more: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[str]]:
        """Start the service; it is killed in the end."""
        given = [] if self.socket is None else [self.socket.fileno()]
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(given[0]) if given else "none", *words],
            env={**os.environ, "NOTIFY_SOCKET": self.address, **more},
            pass_fds=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def hears(self) -> list[str]:
        """Return what the service says next."""
        return self._news.recv(10_000).decode().split("\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        name = self._news.getsockname()
        self._news.close()
        if isinstance(name, str):
            os.unlink(name)
        if self.socket is not None:
            self.socket.close()
