"""Reading many small files that lie in the subdirectories of one directory, as records do.

Owns the two ways of it: at once by their names, and, where anything is odd, with a look at what
each of them is. No device is opened, no symbolic link followed, nothing waited for.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from layerstore.drivers.errors import DriverError, InvalidMetadata
from layerstore.drivers.system import syscalls

_NO_PLACE = {errno.EINVAL, errno.ELOOP, errno.ENXIO, errno.ENOENT, errno.ENOTDIR}
"""What opening and reading say of what is no regular file, or isn't there."""
_PIECE = 448
"""Bytes that are read at first: most files here are shorter, and Python has memory for so few at
hand."""
_MORE = 4096
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

_NO_DEVICES = (
    syscalls.MOUNT_ATTR_NOSUID
    | syscalls.MOUNT_ATTR_NODEV
    | syscalls.MOUNT_ATTR_NOEXEC
    | syscalls.MOUNT_ATTR_NOATIME
)
"""Of a mount on which the kernel opens no device, and no reading changes a time."""


class Listing(Struct, frozen=True):
    """A directory that is read from, open, so that paths in it are short for the kernel too."""

    path: str
    fd: int
    names: list[str]
    """What lies in it, ordered."""
    quick: frozenset[str]
    """Directories in it whose files may be opened before anybody has looked what they are: by
    this descriptor the kernel opens no device."""


@contextlib.contextmanager
def listed(path: str) -> Iterator[Listing]:
    """Open and list a directory for a `with` block; one that isn't there is empty.

    Raises DriverError.
    """
    try:
        listing = _list(path)
    except FileNotFoundError:
        yield Listing(path, -1, [], frozenset())
        return
    except OSError as error:
        raise DriverError.from_os_error("list", path, error) from error
    try:
        yield listing
    finally:
        os.close(listing.fd)


def _list(path: str) -> Listing:
    with os.scandir(path) as entries:
        kinds = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    names = sorted(kinds)
    try:
        fd = syscalls.detached_mount(path, _NO_DEVICES, follow=True)
    except OSError:  # without the privilege, or on an older kernel, it takes longer
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        return Listing(path, os.open(path, flags), names, frozenset())
    return Listing(path, fd, names, frozenset(name for name in names if kinds[name]))


def read_directory(listing: Listing, name: str, limits: Mapping[str, int]) -> dict[str, str]:
    """Return the text of those files in a directory of a listing that are there and are wanted.

    `limits` has the bytes that each may have at most, none less than a few hundred. Raises
    InvalidMetadata for a directory that is missing or a symbolic link, for a file that is longer,
    none or no UTF-8, and DriverError where one can't be read. What somebody puts in the place of a
    file meanwhile is read, no more.
    """
    found = _read_quickly(listing.fd, name, limits) if name in listing.quick else None
    return found or _read_carefully(listing, name, limits)


def _read_quickly(at: int, name: str, limits: Iterable[str]) -> dict[str, str] | None:
    """Return what read_directory does, or None where anything isn't as it mostly is.

    Nothing is listed, which would take a third of the time.
    """
    found: dict[str, str] = {}
    try:
        for file in limits:
            try:
                fd = os.open(f"{name}/{file}", _FILE, dir_fd=at)
            except FileNotFoundError:
                continue
            try:
                content = os.pread(fd, _PIECE, 0)  # which no pipe takes
            finally:
                os.close(fd)
            if len(content) == _PIECE:
                return None
            found[file] = content.decode()
    except (OSError, UnicodeDecodeError):
        return None
    return found


def _read_carefully(listing: Listing, name: str, limits: Mapping[str, int]) -> dict[str, str]:
    """See read_directory. Of what kind a file is the listing tells."""
    at = ""
    found: dict[str, str] = {}
    try:
        directory = os.open(name, _DIRECTORY, dir_fd=listing.fd)
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    file = entry.name
                    if file in limits:
                        at = f"/{file}"
                        if not entry.is_file(follow_symlinks=False):
                            raise ValueError("not a regular file")
                        found[file] = _read_text(file, directory, limits[file])
        finally:
            os.close(directory)
    except OSError as error:
        path = f"{listing.path}/{name}{at}"
        if error.errno in _NO_PLACE:
            raise InvalidMetadata(path, error.strerror or str(error)) from error
        raise DriverError.from_os_error("read", path, error) from error
    except ValueError as error:  # of decoding, too
        raise InvalidMetadata(f"{listing.path}/{name}{at}", str(error)) from error
    return found


def _read_text(name: str, directory: int, limit: int) -> str:
    fd = os.open(name, _FILE, dir_fd=directory)
    try:
        content = piece = os.read(fd, _MORE)
        while len(piece) == _MORE and len(content) <= limit:
            piece = os.read(fd, _MORE)
            content += piece
    finally:
        os.close(fd)
    if len(content) > limit:
        raise ValueError(f"longer than {limit} bytes")
    return content.decode()
