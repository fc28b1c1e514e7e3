"""Waiting until something in a directory changes: inotify(7)."""

from __future__ import annotations

import os

from layerstore.drivers.errors import DriverError
from layerstore.drivers.system import syscalls
from layerstore.drivers.system.readable import is_readable

_SOME = 1 << 16


class DirectoryWatch:
    """Notices what is written, made or renamed in a directory."""

    def __init__(self, path: str) -> None:
        """Begin to watch. Raises DriverError."""
        try:
            self._fd = syscalls.inotify_init()
            try:
                changes = syscalls.IN_MODIFY | syscalls.IN_CREATE | syscalls.IN_MOVED_TO
                syscalls.inotify_add_watch(self._fd, path, changes)
            except BaseException:
                os.close(self._fd)
                raise
        except OSError as error:
            raise DriverError.from_os_error("watch", path, error) from error

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds for a change since the last wait; whether one came."""
        changed = is_readable(self._fd, timeout)
        if changed:
            os.read(self._fd, _SOME)
        return changed

    def close(self) -> None:
        """End it. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
