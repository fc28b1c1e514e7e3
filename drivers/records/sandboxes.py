"""Which read-write layers are sandboxes, that nobody wants any more once their process is gone.

Owns `<root>/layerstore/sandboxes`: a directory for each process that has any, with a file named
after each; and a file beside it that the process keeps locked as long as it lives (flock(2)).
It removes no layer.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator

from layerstore.drivers.errors import DriverError, InvalidMetadata, InvalidName
from layerstore.drivers.model.ids import check_layer_id, check_mount_name
from layerstore.drivers.system.small_file import read_metadata

_LOCK = ".lock"
_MAX_NOTE = 256
_OURS = re.compile(r"[0-9a-f]{32}")


class SandboxRecords:
    """The records of this process, and of those that have ended without removing theirs."""

    def __init__(self, root: str) -> None:
        """Begin with none. Raises DriverError."""
        self._home = f"{root}/layerstore/sandboxes"
        try:
            os.makedirs(self._home, mode=0o700, exist_ok=True)
            self._own, self._lock = self._lock_one()
        except OSError as error:
            raise DriverError.from_os_error("make", self._home, error) from error
        try:
            os.mkdir(self._path(self._own), 0o700)
        except OSError as error:
            self.close()
            raise DriverError.from_os_error("make", self._home, error) from error

    def _lock_one(self) -> tuple[str, int]:
        """Make the file that says that this process lives; returns its name and its descriptor.

        Who looks at it before it is locked takes it for that of a process which is gone, and
        removes it.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        while True:
            own = os.urandom(16).hex()
            path = self._path(own) + _LOCK
            lock = os.open(path, flags, 0o600)
            try:
                if _has_locked(lock, path):
                    return own, lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)

    def _path(self, process: str) -> str:
        return f"{self._home}/{process}"

    def note(self, name: str, mount_id: str = "") -> None:
        """Note a read-write layer: before it is made where its name is like no other's, else after.

        `mount_id` is its ID then: without that, what has the name later is removed. Raises
        DriverError.
        """
        path = f"{self._path(self._own)}/{check_mount_name(name)}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(path, flags, 0o600)
            try:
                os.write(fd, mount_id.encode())  # all of it, as it is short
            finally:
                os.close(fd)
        except OSError as error:
            raise DriverError.from_os_error("make", path, error) from error

    def strike(self, name: str) -> None:
        """Strike one that is gone. Raises DriverError."""
        path = f"{self._path(self._own)}/{check_mount_name(name)}"
        try:
            os.unlink(path)
        except OSError as error:
            raise DriverError.from_os_error("remove", path, error) from error

    @contextlib.contextmanager
    def left(self) -> Iterator[list[tuple[str, str]]]:
        """Have what processes have left that are gone, names and IDs, for a `with` block.

        An ID is empty where the name says enough. If nothing is raised in it, they are struck.
        Raises DriverError.
        """
        with contextlib.ExitStack() as stack:
            try:
                gone = list(self._gone(stack))
                noted = [one for process in gone for one in _noted(self._path(process))]
            except OSError as error:
                raise DriverError.from_os_error("read", self._home, error) from error
            yield noted
            for one in gone:
                self._delete(one)

    def _gone(self, stack: contextlib.ExitStack) -> Iterator[str]:
        """Give the processes that are gone; their locks are held by this one for a while."""
        for name in os.listdir(self._home):
            process = name.removesuffix(_LOCK)
            if name == process or not _OURS.fullmatch(process) or process == self._own:
                continue
            path = f"{self._home}/{name}"
            try:
                lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                continue  # it has just ended as it should
            stack.callback(os.close, lock)
            if _has_locked(lock, path):
                yield process

    def _delete(self, process: str) -> None:
        path = self._path(process)
        try:
            with contextlib.suppress(FileNotFoundError):  # its process had just begun
                for name in os.listdir(path):
                    os.unlink(f"{path}/{name}")
                os.rmdir(path)
            os.unlink(path + _LOCK)
        except OSError as error:
            raise DriverError.from_os_error_in("remove", path, error) from error

    def close(self) -> None:
        """End with none. Idempotent. Raises DriverError."""
        if self._lock >= 0:
            self._delete(self._own)
            os.close(self._lock)
            self._lock = -1


def _has_locked(lock: int, path: str) -> bool:
    """Lock an open file, if nobody has; whether that is so, and it is still there."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock), os.stat(path, follow_symlinks=False))
    except (BlockingIOError, FileNotFoundError):
        return False


def _noted(directory: str) -> Iterator[tuple[str, str]]:
    """Give the names and IDs of layers that a process has noted; what is no note is none."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(directory):
            with contextlib.suppress(InvalidName, InvalidMetadata):
                note = read_metadata(f"{directory}/{check_mount_name(name)}", _MAX_NOTE)
                yield name, check_layer_id(os.fsdecode(note)) if note else ""
