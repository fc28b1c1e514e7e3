"""Opening what is given as an image archive: a directory, a tar, a compressed tar, a stream.

Owns the recognition, and the spooling of what can't be read at any offset: a compressed tar or a
stream goes into a nameless file beneath the store's own directory, which the kernel frees with its
last descriptor, however the process ends.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from typing import IO

from layerstore.archive.archive import Archive, DirectoryArchive, TarArchive
from layerstore.asking.source import Readable
from layerstore.drivers.errors import (
    CallerError,
    DriverError,
    InvalidImage,
    InvalidTar,
    LayerStoreError,
    LimitExceeded,
)
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.tar.source import open_source
from layerstore.drivers.work import OwnedDescriptor, TarSource

_CHUNK = 1 << 20
_MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\x00")

ArchiveSource = str | os.PathLike[str] | Readable
Spooled = Callable[[str, int, int], None]
"""Called with what is spooled, the bytes done, and 0 for the unknown total."""


def open_archive(
    source: ArchiveSource,
    spool: str,
    limits: Limits,
    spooled: Spooled | None = None,
    label: str = "the stream",
) -> Archive:
    """Open an archive; `spool` is an existing directory of the store for nameless files.

    `spooled` is called as it fills; `label` is what a stream is called in errors. Raises
    DriverError where the source can't be opened, InvalidImage where it is no archive,
    LimitExceeded, StorageFull.
    """
    if not isinstance(source, str | os.PathLike):
        raw = spool_file(spool)
        try:
            copy_into(source, raw, label, limits.max_bytes, spooled)
            fd = os.dup(raw.fileno())
        finally:
            raw.close()
        return _open_tar(fd, label, spool, limits, spooled)
    path = os.fspath(source)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            return DirectoryArchive(path)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise DriverError.from_os_error("open", path, error) from error
    if not stat.S_ISREG(status.st_mode):
        with os.fdopen(fd, "rb", buffering=0) as stream:
            return open_archive(stream, spool, limits, spooled)
    return _open_tar(fd, path, spool, limits, spooled)


def _open_tar(
    fd: int, label: str, spool: str, limits: Limits, spooled: Spooled | None
) -> TarArchive:
    """Index a regular file whose descriptor is handed over, inflating it first if need be."""
    os.lseek(fd, 0, os.SEEK_SET)
    start = os.pread(fd, 8, 0)
    if not start:
        os.close(fd)
        raise InvalidImage(label, "it is empty")
    if not start.startswith(_MAGIC):
        return TarArchive(fd, label)
    given = OwnedDescriptor(fd)
    try:
        with spool_file(spool) as inflated:
            with open_source(TarSource(inflate=True), (given,), limits) as tar:
                copy_into(tar.stream, inflated, label, limits.max_bytes, spooled)
            return TarArchive(os.dup(inflated.fileno()), label)
    except InvalidTar as error:
        raise InvalidImage(label, error.reason) from error
    finally:
        given.close()


def spool_file(directory: str) -> IO[bytes]:
    """Make a nameless file. Raises DriverError."""
    try:
        return tempfile.TemporaryFile(dir=directory, buffering=0)
    except OSError as error:
        raise DriverError.from_os_error("make a file in", directory, error) from error


def copy_into(
    source: Readable, target: IO[bytes], label: str, most: int, spooled: Spooled | None = None
) -> int:
    """Copy a stream of at most so many bytes into a file, and return how many there were.

    Raises CallerError with the stream's own exception as its cause, LimitExceeded, DriverError.
    """
    done = 0
    while True:
        try:
            chunk = source.read(_CHUNK)
        except LayerStoreError:
            raise
        except Exception as error:
            raise CallerError(f"reading {label}", f"{type(error).__name__}: {error}") from error
        if not chunk:
            return done
        done += len(chunk)
        if done > most:
            raise LimitExceeded(f"the size in bytes of {label}", most, "max_bytes")
        write_all(target, chunk, "an archive")
        if spooled is not None:
            spooled(label, done, 0)


def write_all(target: IO[bytes], chunk: bytes, what: str) -> None:
    """Write to a raw file, which may take a part at a time. Raises DriverError, about `what`."""
    view = memoryview(chunk)
    try:
        while view:
            view = view[target.write(view) :]
    except OSError as error:
        raise DriverError.from_os_error("spool", what, error) from error


def spool_directory(root: str) -> str:
    """Make the store's directory for spooled archives and return its path."""
    path = f"{root}/layerstore/tmp"
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise DriverError.from_os_error("mkdir", path, error) from error
    return path


def copy_whole(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy a spooled file from its start to a stream."""
    source.seek(0)
    shutil.copyfileobj(source, target, _CHUNK)
