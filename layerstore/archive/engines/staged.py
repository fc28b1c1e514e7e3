"""Adding files to a directory so that it has all of them or is as it was.

Owns the order: files are written in a directory of ours in it, take their places once all are
whole, and the document that says what is there is replaced last. Nothing is followed out of the
directory, and what is there stays, but for that document and for what hasn't its name's content.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from typing import BinaryIO

from layerstore.archive.write import Tar, copied
from layerstore.drivers.errors import DriverError
from layerstore.drivers.system.durable import TEMPORARY, temporary_beside
from layerstore.drivers.system.small_file import open_regular, read_small

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class Staged:
    """Files on their way into a directory, by their names there; see Members."""

    def __init__(self, fd: int, stage: int) -> None:
        """Take descriptors of the directory and of ours in it; they stay the caller's."""
        self._fd = fd
        self._stage = stage
        self._files: dict[str, str] = {}
        """What each is called on the stage."""
        self._placed: list[str] = []
        self._made: list[str] = []

    # Before

    def small(self, name: str, content: bytes) -> None:
        """Write a file whole. Raises OSError."""
        with self._new(name) as file:
            file.write(content)

    def stream(self, name: str, tar: Tar) -> int:
        """Write a file from a stream, and return its size in bytes. Raises OSError."""
        with self._new(name) as file:
            return copied(tar, file)

    def _new(self, name: str) -> BinaryIO:
        staged = str(len(self._files))
        # Like any other file that a user makes: readable as the umask says.
        file = os.fdopen(os.open(staged, _NEW, 0o666, dir_fd=self._stage), "wb")
        self._files[name] = staged
        return file

    def rename(self, name: str, new: str) -> None:
        """Have a file take another place."""
        self._files[new] = self._files.pop(name)

    def names(self) -> list[str]:
        """Return the names in the directory, but for stages."""
        return sorted(name for name in os.listdir(self._fd) if not TEMPORARY.match(name))

    def there(self, name: str, most: int) -> bytes | None:
        """Return a file that is there, or as many bytes of it; None for none. Raises OSError."""
        try:
            return read_small(name, most, directory=self._fd)
        except FileNotFoundError:
            return None

    # The end

    def alone(self) -> None:
        """Wait until no other who does this is at the same directory; it ends with the block."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def place(self, first: str, last: str) -> list[str]:
        """Have all files take their places, one first and one last, and name them.

        `first` says what kind of directory it is, for others who come meanwhile. Raises OSError.
        """
        for name in sorted(self._files, key=lambda name: (name == last, name != first, name)):
            with self._directory_of(name) as directory:
                base = name.rpartition("/")[2]
                staged = self._files[name]
                if name == last or not self._is_there(directory, base, staged):
                    os.rename(staged, base, src_dir_fd=self._stage, dst_dir_fd=directory)
                    self._placed.append(name)
        self._placed.clear()
        self._made.clear()
        return list(self._files)

    def _is_there(self, directory: int, base: str, staged: str) -> bool:
        try:
            old = _hash(open_regular(base, directory=directory))
        except FileNotFoundError:
            return False
        return old == _hash(open_regular(staged, directory=self._stage))

    @contextlib.contextmanager
    def _directory_of(self, name: str) -> Iterator[int]:
        """Open the directory of a file, made where it is missing."""
        with contextlib.ExitStack() as stack:
            fd = self._fd
            parts = name.split("/")[:-1]
            for count, part in enumerate(parts, 1):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=fd)
                    self._made.append("/".join(parts[:count]))
                fd = os.open(part, _DIRECTORY, dir_fd=fd)
                stack.callback(os.close, fd)
            yield fd

    def remove(self, name: str) -> None:
        """Remove a file of the directory's own. Raises OSError."""
        os.unlink(name, dir_fd=self._fd)

    def undo(self) -> None:
        """Take away what has got its place."""
        for name in self._placed:
            with contextlib.suppress(OSError), self._directory_of(name) as directory:
                os.unlink(name.rpartition("/")[2], dir_fd=directory)
        for name in reversed(self._made):
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=self._fd)

    def clear(self) -> None:
        """Empty the stage. Raises OSError."""
        _empty(self._stage)


def _hash(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@contextlib.contextmanager
def staged_in(path: str) -> Iterator[Staged]:
    """Give a way into a directory, which is made where it is missing, for a `with` block.

    Where the block fails, the directory is as it was. Raises DriverError.
    """
    made: list[str] = []
    try:
        _make(path, made)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with _stage_in(path, fd) as stage:
                staged = Staged(fd, stage)
                try:
                    yield staged
                except BaseException:
                    staged.undo()
                    raise
                finally:
                    staged.clear()
        finally:
            os.close(fd)
    except BaseException as error:
        for directory in reversed(made):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        if isinstance(error, OSError):
            raise DriverError.from_os_error_in("write", path, error) from error
        raise


def _make(path: str, made: list[str]) -> None:
    missing = []
    path = path.rstrip("/")
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        try:
            os.mkdir(directory)
            made.append(directory)
        except FileExistsError:
            if not os.path.isdir(directory):  # as others make it, too
                raise


@contextlib.contextmanager
def _stage_in(path: str, fd: int) -> Iterator[int]:
    _sweep(fd)
    name, stage = _new_stage(path, fd)
    try:
        yield stage
    finally:
        try:
            os.rmdir(name, dir_fd=fd)  # while it is locked still
        finally:
            os.close(stage)


def _new_stage(path: str, fd: int) -> tuple[str, int]:
    """Make a stage and lock it: one that isn't locked was left."""
    while True:
        name = os.path.basename(temporary_beside(f"{path}/layerstore"))
        os.mkdir(name, 0o700, dir_fd=fd)
        # Others may sweep it away before it is locked.
        with contextlib.suppress(FileNotFoundError):
            stage = os.open(name, _DIRECTORY, dir_fd=fd)
            try:
                fcntl.flock(stage, fcntl.LOCK_EX)
                os.stat(name, dir_fd=fd)
            except BaseException:
                os.close(stage)
                raise
            return name, stage


def _sweep(fd: int) -> None:
    """Remove stages that a process which was killed has left."""
    for name in os.listdir(fd):
        if name.startswith("layerstore.") and TEMPORARY.match(name):
            with contextlib.suppress(OSError):  # it is in use, or no stage
                stage = os.open(name, _DIRECTORY, dir_fd=fd)
                try:
                    fcntl.flock(stage, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _empty(stage)
                    os.rmdir(name, dir_fd=fd)
                finally:
                    os.close(stage)


def _empty(stage: int) -> None:
    for name in os.listdir(stage):
        os.unlink(name, dir_fd=stage)
