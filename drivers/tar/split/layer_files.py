"""A layer's files, opened by the names that its tar gave them.

Owns the way from such a name to a descriptor: the directories on it stay open for a while, nothing
outside the layer is reached, and nothing but regular files is opened. What is read it doesn't know.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Self

from layerstore.drivers.errors import DriverError, InvalidMetadata
from layerstore.drivers.system import syscalls
from layerstore.drivers.tar.names import clean, split

if TYPE_CHECKING:
    from types import TracebackType

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_SAFE = syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_XDEV
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENXIO})
_NO_NAMES = frozenset({b"", b".", b".."})
_OPEN_DIRECTORIES = 64


class LayerFiles:
    """Opens files beneath one root. Tars hold those of one directory one after the other."""

    def __init__(self, root: str, *, chroot: bool = True) -> None:
        """Open a root. Raises OSError.

        `chroot` says that symbolic links on the way begin at the root, as for a process whose root
        directory it is; without, those that are absolute or lead out of it count as missing.
        """
        self._root = root
        self._top = os.open(root, _DIRECTORY)
        self._resolve = _SAFE | (syscalls.RESOLVE_IN_ROOT if chroot else syscalls.RESOLVE_BENEATH)
        self._open: dict[bytes, int] = {}
        """Directories by the part of a name in front of its last slash, as tars spell it."""

    def open(self, name: bytes, size: int) -> int | None:
        """Open a member's file; None where there is no regular file of this size.

        Raises InvalidMetadata for a name that leads out of the root, and DriverError.
        """
        above, _, base = name.rpartition(b"/")
        try:
            directory = self._open.get(above)
            if directory is None or base in _NO_NAMES or b"\0" in base:
                directory, base = self._look_up(name, above)
            # First, since opening a device, which the name may have become, can do anything.
            status = os.stat(base, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode) or status.st_size != size:
                return None
            return os.open(base, _FILE, dir_fd=directory)
        except OSError as error:
            if error.errno in _GONE:
                return None
            path = f"{self._root}/{os.fsdecode(clean(name) or name)}"
            raise DriverError.from_os_error("open", path, error) from error

    def _look_up(self, name: bytes, above: bytes) -> tuple[int, bytes]:
        """Return the directory that a member's file is in, and what the file is called there."""
        path = clean(name)
        if not path or b"\0" in name:
            what = f"a file with the name {os.fsdecode(name)!r}"
            raise InvalidMetadata("tar-split", what)
        where, base = split(path)
        if name.rpartition(b"/")[2] in _NO_NAMES:
            above = where  # `a/b/..` says nothing of what `a/b` is
        if len(self._open) == _OPEN_DIRECTORIES:
            self._forget()
        fd = syscalls.openat2(self._top, where or b".", _DIRECTORY, 0, self._resolve)
        old = self._open.pop(above, None)
        if old is not None:
            os.close(old)
        self._open[above] = fd
        return fd, base

    def _forget(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._forget()
        os.close(self._top)
