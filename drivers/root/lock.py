"""The lock of a store root: one process owns it at a time.

Owns `<root>/layerstore/lock`, which holds the owner's process ID for whoever comes second. The lock
is the kernel's (flock), so it ends with its owner however that ends.
"""

from __future__ import annotations

import errno
import fcntl
import os

from layerstore.drivers.errors import DriverError, StoreLocked

_MAX_PID_DIGITS = 32


def is_locked(root: str) -> bool:
    """Whether a process has a root open; where none has, the lock is taken for the look at it."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(f"{root}/layerstore/lock", flags)
    except OSError:  # whoever opens the root is told why
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


class RootLock:
    """A held lock; `release` gives it back, once nobody shares it any more."""

    def __init__(self, root: str) -> None:
        """Take the lock, or raise StoreLocked with the owner's process ID."""
        path = f"{root}/layerstore/lock"
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise DriverError.from_os_error("open", path, error) from error
        try:
            self._take()
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)
        except BlockingIOError as error:
            owner = os.pread(self._fd, _MAX_PID_DIGITS, 0)
            os.close(self._fd)
            raise StoreLocked(root, int(owner) if owner.isdigit() else 0) from error
        except OSError as error:
            os.close(self._fd)
            raise DriverError.from_os_error("lock", path, error) from error

    def _take(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Perhaps somebody only looks (`is_locked`), which is over at once.
            import tenacity  # noqa: PLC0415 - seldom needed, and long to import

            for attempt in tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(BlockingIOError),
                wait=tenacity.wait_fixed(0.005),
                stop=tenacity.stop_after_attempt(5),
                reraise=True,
            ):
                with attempt:
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def fileno(self) -> int:
        """Return its descriptor's number: whoever has a copy of that holds the lock, too."""
        return self._fd

    @classmethod
    def shared(cls, root: str, fd: int) -> RootLock:
        """Return a lock that is held already, by a copy of its descriptor.

        Raises DriverError where another directory has the root's path by now.
        """
        lock = cls.__new__(cls)
        lock._fd = fd
        path = f"{root}/layerstore/lock"
        try:
            if not os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(fd)):
                raise DriverError("find", path, errno.ESTALE, "it is another file than was locked")
        except OSError as error:
            raise DriverError.from_os_error("find", path, error) from error
        return lock

    def release(self) -> None:
        """Give the lock back. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
