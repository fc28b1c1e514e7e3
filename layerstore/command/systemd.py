"""A service of systemd's: the socket that it passes, and telling it how the service is.

Owns the environment variables about that, which are this process's alone and are taken away. Where
no systemd started the process, nothing is passed and nobody told. Sources: sd_listen_fds(3),
sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, MutableMapping

from layerstore.drivers.errors import DriverError, InvalidArgument

log = logging.getLogger("layerstore")

_FIRST = 3
"""The number of the first descriptor that is passed."""


class Systemd:
    """What systemd has told a service by its environment."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Take it out of there."""

        def taken(name: str) -> str:
            return environment.pop(name, "")

        pid, count, names = taken("LISTEN_PID"), taken("LISTEN_FDS"), taken("LISTEN_FDNAMES")
        self._passed = count if pid == str(os.getpid()) else ""
        self._names = names
        self._address = taken("NOTIFY_SOCKET")
        microseconds, pid = taken("WATCHDOG_USEC"), taken("WATCHDOG_PID")
        watched = microseconds.isdecimal() and pid in ("", str(os.getpid()))
        self.wants_signs = int(microseconds) / 4e6 if watched and int(microseconds) else None
        """Seconds between signs of life that leave time for one to be late; None: nobody waits."""

    @contextlib.contextmanager
    def passed(self) -> Iterator[socket.socket | None]:
        """Give the socket that was passed, for a `with` block; None if none was.

        Raises InvalidArgument where others were passed as well, DriverError.
        """
        if self._passed in ("", "0"):
            yield None
            return
        if self._passed != "1":
            named = f" ({self._names})" if self._names else ""
            raise InvalidArgument(f"LISTEN_FDS={self._passed}{named}", "one socket is listened on")
        try:
            os.set_inheritable(_FIRST, False)
            sock = socket.socket(fileno=_FIRST)
        except OSError as error:
            raise DriverError.from_os_error("take", f"descriptor {_FIRST}", error) from error
        with sock:
            yield sock

    def tell(self, *facts: str) -> None:
        """Tell how the service is, as `READY=1`. That nobody is to be reached is logged."""
        if not self._address:
            return
        # An address that begins with @ is a name without a file; the kernel has a zero there.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.connect(address)
                sock.sendall("\n".join(facts).encode())
        except OSError as error:
            log.warning("systemd can't be told that %s: %s", " ".join(facts), error)
