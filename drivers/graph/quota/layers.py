"""Bounding the layers of one home by a project each.

Owns which project a layer gets: one that nobody uses, by chance among many, as a dockerd that has
the same root open counts up from the largest that it found there (moby: quota/projectquota.go).
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Sequence

from layerstore.drivers.errors import DriverError
from layerstore.drivers.graph.quota.limits import limit, taken, why_not_enforced
from layerstore.drivers.graph.quota.projects import open_directory, project_of, set_project
from layerstore.drivers.system.mountinfo import file_system_of

_FIRST, _LAST = 1 << 24, (1 << 31) - 1
_TRIES = 16
_UNCOUNTED = {
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTTY,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.ESRCH,
}
"""What is said by a file system without projects, by one without quotas, in a user namespace."""


class ProjectQuotas:
    """Quotas of the file system that a home lies on."""

    def __init__(self, home: str) -> None:
        self._home = home

    def why_not(self) -> str:
        """Return why no layer can be bounded here, or nothing where one can. Raises DriverError."""
        fd = open_directory(self._home)
        try:
            project_of(fd)
            reason = why_not_enforced(fd)
        except OSError as error:
            reason = f"files there belong to no projects ({error.strerror})"
        finally:
            os.close(fd)
        return f"{file_system_of(self._home)}: {reason}" if reason else ""

    def bound(self, directories: Sequence[str], size: int, inodes: int) -> None:
        """Give directories, empty ones, a project that takes at most so many bytes and inodes.

        Raises DriverError.
        """
        fd = open_directory(self._home)
        try:
            project = self._choose(fd)
            limit(fd, project, size, inodes)
        except OSError as error:
            raise DriverError.from_os_error("set a quota in", self._home, error) from error
        finally:
            os.close(fd)
        for directory in directories:
            set_project(directory, project)

    def _choose(self, fd: int) -> int:
        for _ in range(_TRIES):
            project = random.randint(_FIRST, _LAST)  # noqa: S311 - nobody gains by guessing it
            if taken(fd, project).is_nobodys:
                return project
        raise DriverError("find a free project in", self._home, 0, "all that were tried are used")

    def usage(self, directory: str) -> int | None:
        """Return the bytes that a directory's project takes; None where none is counted.

        Raises DriverError.
        """
        fd = open_directory(directory)
        try:
            project = project_of(fd)
            return taken(fd, project).bytes if project else None
        except OSError as error:
            if error.errno in _UNCOUNTED:
                return None
            raise DriverError.from_os_error("read the quota of", directory, error) from error
        finally:
            os.close(fd)
