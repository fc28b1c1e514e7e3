"""Errors of the operating system, and which of them is which class.

Owns the choice of the most specific class for an OSError.
"""

from __future__ import annotations

import errno as errno_codes
import os

from layerstore.drivers.errors.base import LayerStoreError


class DriverError(LayerStoreError):
    """The operating system refused; `operation`, `path` and `errno` say what, where and why."""

    def __init__(self, operation: str, path: str, errno: int, detail: str = "") -> None:
        super().__init__(operation, path, errno, detail)
        self.operation = operation
        self.path = path
        self.errno = errno
        self.detail = detail

    def __str__(self) -> str:
        more = f" ({self.detail})" if self.detail else ""
        return f"{self.operation} {self.path}: {os.strerror(self.errno)}{more}"

    @staticmethod
    def from_os_error(
        operation: str, path: str | bytes, error: OSError, detail: str = ""
    ) -> DriverError:
        """Make the most specific class for an OSError; `error` should become its cause."""
        code = error.errno if error.errno is not None else errno_codes.EIO
        cls = _BY_ERRNO.get(code, DriverError)
        return cls(operation, os.fsdecode(path), code, detail)

    @staticmethod
    def from_os_error_in(operation: str, directory: str, error: OSError) -> DriverError:
        """Make it for a failure somewhere beneath a directory.

        Where the failed call was given a name beneath a descriptor, that name alone tells nobody
        where it lies: then the directory is the path, and the name a detail.
        """
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
        if name.startswith("/") and not name.startswith("/proc/self/fd/"):
            return DriverError.from_os_error(operation, name, error)
        detail = f"at {os.path.basename(name)}" if name else ""
        return DriverError.from_os_error(operation, directory, error, detail)


class StorageFull(DriverError):
    """No space, inodes or quota left beneath the root: free some, then try again."""


class ReadOnlyStorage(DriverError):
    """The file system beneath the root is read-only."""


class NotPermitted(DriverError):
    """The process lacks a privilege, usually CAP_SYS_ADMIN for mounts: run as root."""


_BY_ERRNO: dict[int, type[DriverError]] = {
    errno_codes.ENOSPC: StorageFull,
    errno_codes.EDQUOT: StorageFull,
    errno_codes.EROFS: ReadOnlyStorage,
    errno_codes.EPERM: NotPermitted,
    errno_codes.EACCES: NotPermitted,
}

_PASSING = {errno_codes.EMFILE, errno_codes.ENFILE, errno_codes.ENOMEM}


def is_passing(error: BaseException) -> bool:
    """Whether an error tells nothing of the disk, but that the system has run out of something."""
    return isinstance(error, OSError | DriverError) and error.errno in _PASSING


class DriverNotSupported(LayerStoreError):
    """The named graph driver does not exist or cannot work on this root."""

    def __init__(self, driver: str, root: str, reason: str) -> None:
        super().__init__(driver, root, reason)
        self.driver = driver
        self.root = root
        self.reason = reason

    def __str__(self) -> str:
        return f"graph driver {self.driver} cannot be used on {self.root}: {self.reason}"
