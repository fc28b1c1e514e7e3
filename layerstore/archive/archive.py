"""Image archives as a set of named blobs: a tar that is indexed once, or a directory.

Owns finding a blob and reading small ones. A tar is never extracted and a directory's symbolic
links are never followed; what the blobs mean is not known here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Protocol, cast

from layerstore.asking.source import Readable, Region
from layerstore.drivers.errors import DriverError, InvalidImage, LimitExceeded
from layerstore.drivers.system.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

_MAX_MEMBERS = 200_000
_MAX_HEADER_READ = 1 << 20
_MAX_HEADERS_READ = 256 << 20
_MAX_LINKS = 8
_BLOCK = 512
_ONCE = ("manifest.json", "index.json", "oci-layout", "repositories")
_NOT_FOLLOWED = {
    errno.ELOOP: "a symbolic link leads there, and none is followed",
    errno.EXDEV: "it leads out of the directory",
}


class Archive(Protocol):
    """Named blobs; `label` names the archive in errors."""

    label: str

    def size(self, name: str) -> int | None:
        """Return a blob's size in bytes, or None where there is no such blob."""

    def open(self, name: str) -> contextlib.AbstractContextManager[Region]:
        """Give a blob as a window of a file, for a `with` block. Raises InvalidImage."""

    def folders(self) -> list[str]:
        """Return the names of the directories that lie at its top."""

    def close(self) -> None:
        """Close what the archive has open. Idempotent."""


class StreamingArchive(Archive, Protocol):
    """Named blobs of which layers come as they are made or fetched, and no other way."""

    def open_layer(self, name: str) -> contextlib.AbstractContextManager[Readable]:
        """Give a layer's blob to be read to its end, for a `with` block. Raises LayerStoreError."""


def read_blob(archive: Archive, name: str, limit: int) -> bytes:
    """Read a small blob whole.

    Raises InvalidImage where it is missing or cut short, LimitExceeded above `limit` bytes.
    """
    size = archive.size(name)
    if size is None:
        raise InvalidImage(archive.label, f"{name} is missing")
    if size > limit:
        raise LimitExceeded(f"the size in bytes of {name} in {archive.label}", limit)
    with archive.open(name) as region:
        content = os.pread(cast("int", region.file), region.size, region.offset)
    if len(content) != size:
        raise InvalidImage(archive.label, f"{name} is cut short")
    return content


# A tar


@dataclass(frozen=True, slots=True)
class _Member:
    offset: int
    size: int
    link: str | None = None
    """Name of the member that this one stands for."""


class TarArchive:
    """An uncompressed tar in a regular file, whose descriptor it owns."""

    def __init__(self, fd: int, label: str) -> None:
        """Index the members. Raises InvalidImage, LimitExceeded; the descriptor is then closed."""
        self.label = label
        os.lseek(fd, 0, os.SEEK_SET)
        self._file = os.fdopen(fd, "rb", buffering=0)
        try:
            self._members = _index(self._file, label)
        except BaseException:
            self.close()
            raise

    def size(self, name: str) -> int | None:
        """See Archive."""
        member = self._find(name)
        return member.size if member is not None else None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Region]:
        """See Archive."""
        member = self._find(name)
        if member is None:
            raise InvalidImage(self.label, f"{name} is missing")
        yield Region(self._file.fileno(), member.offset, member.size)

    def folders(self) -> list[str]:
        """See Archive."""
        tops = (name.partition("/") for name in self._members)
        return list(dict.fromkeys(top for top, slash, _ in tops if slash))

    def _find(self, name: str) -> _Member | None:
        """Follow links from member to member; a legacy save links equal layers to each other."""
        wanted = _normal(name)
        for _ in range(_MAX_LINKS):
            member = self._members.get(wanted)
            if member is None or member.link is None:
                return member
            wanted = member.link
        raise InvalidImage(self.label, f"{name} is a link that leads nowhere")

    def close(self) -> None:
        """See Archive."""
        self._file.close()


class _Sparing:
    """A file that lets the indexing read headers only, so that no header can fill the memory."""

    def __init__(self, file: IO[bytes], label: str) -> None:
        self._file = file
        self._label = label
        self._left = _MAX_HEADERS_READ

    def read(self, size: int = -1) -> bytes:
        self._left -= size
        if not 0 <= size <= _MAX_HEADER_READ or self._left < 0:
            raise LimitExceeded(f"the headers in bytes of {self._label}", _MAX_HEADER_READ)
        return self._file.read(size)

    def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def tell(self) -> int:
        return self._file.tell()


def _index(file: IO[bytes], label: str) -> dict[str, _Member]:
    members: dict[str, _Member] = {}
    end = os.fstat(file.fileno()).st_size
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Sparing(file, label)), mode="r:") as tar:
            for count, info in enumerate(tar):
                if count >= _MAX_MEMBERS:
                    raise LimitExceeded(f"the number of members of {label}", _MAX_MEMBERS)
                _enter(members, info, end, label)
            tail = tar.offset
    except (tarfile.TarError, ValueError, OverflowError, OSError) as error:
        raise InvalidImage(label, f"not a tar: {error}") from error
    # tarfile takes a broken header for the end of the archive.
    if any(os.pread(file.fileno(), _BLOCK, tail)):
        raise InvalidImage(label, f"broken tar header at offset {tail}")
    return members


def _normal(name: str) -> str:
    """Return a member's name as others are to find it: `./a` and `/a` are `a`, as for docker."""
    return posixpath.normpath(name).lstrip("/")


def _enter(members: dict[str, _Member], info: tarfile.TarInfo, end: int, label: str) -> None:
    name = _normal(info.name)
    if name in _ONCE and name in members:
        raise InvalidImage(label, f"{name} is there twice")
    if info.issym():
        target = _normal(posixpath.join(posixpath.dirname(name), info.linkname))
        members[name] = _Member(0, 0, target)
    elif info.islnk():
        members[name] = _Member(0, 0, _normal(info.linkname))
    elif info.isreg():
        if info.sparse is not None:
            raise InvalidImage(label, f"{name} is a sparse member")
        if info.offset_data + info.size > end:
            raise InvalidImage(label, f"truncated in the middle of {name}")
        members[name] = _Member(info.offset_data, info.size)


# A directory


class DirectoryArchive:
    """A directory with an OCI image layout, or with what a tar of an archive has in it."""

    def __init__(self, path: str) -> None:
        """Open the directory. Raises DriverError."""
        self.label = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise DriverError.from_os_error("open", path, error) from error

    def size(self, name: str) -> int | None:
        """See Archive."""
        fd = self._open(name)
        if fd is None:
            return None
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Region]:
        """See Archive."""
        fd = self._open(name)
        if fd is None:
            raise InvalidImage(self.label, f"{name} is missing")
        try:
            yield Region(fd, 0, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def folders(self) -> list[str]:
        """See Archive."""
        with os.scandir(self._fd) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))

    def _open(self, name: str) -> int | None:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
            fd = openat2(self._fd, _normal(name), flags, 0, resolve)
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = _NOT_FOLLOWED.get(error.errno or 0, error.strerror)
            raise InvalidImage(self.label, f"{name}: {reason}") from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InvalidImage(self.label, f"{name} is not a regular file")
        return fd

    def close(self) -> None:
        """See Archive."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
