"""Paths in the root file system of a run: found inside of it, and made where they are missing.

Owns how a hostile tree is walked: every path is resolved inside of it (openat2(2),
RESOLVE_IN_ROOT), and what was found is held by a descriptor, so that nothing is mounted by a path.
Errors name paths as they are inside.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterator

from layerstore.drivers.system import syscalls as sc

IN_ROOT = sc.RESOLVE_IN_ROOT | sc.RESOLVE_NO_MAGICLINKS
PLAIN = IN_ROOT | sc.RESOLVE_NO_SYMLINKS
"""No symbolic links either: for what has to be where it is."""
HARMLESS = sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC
_DIRECTORY = os.O_PATH | os.O_DIRECTORY


class Tree:
    """A root file system in which mount points are found, and made where they are missing."""

    def __init__(self, path: str) -> None:
        """Open it. Raises OSError."""
        self.root = os.open(path, _DIRECTORY | os.O_CLOEXEC)
        self._held = [self.root]
        self._above: str | None = None

    def place(self, fd: int | None = None) -> str:
        """Return a path of an open descriptor, for calls that take paths only."""
        return f"/proc/self/fd/{self.root if fd is None else fd}"

    def inside(self, fd: int) -> str:
        """Return the path in the root file system that an open descriptor has, without links."""
        if self._above is None:
            self._above = os.readlink(self.place()).rstrip("/")  # of this machine's, that is /
        return os.readlink(self.place(fd)).removeprefix(self._above) or "/"

    def directory(self, path: str, *, resolve: int = IN_ROOT) -> int:
        """Open a directory, making it and those above it (mode 0755) where they are missing."""
        try:
            return self._open(path, _DIRECTORY, resolve)
        except FileNotFoundError:
            above, _, name = path.strip("/").rpartition("/")
            if not name:
                raise
        parent = self.directory(f"/{above}", resolve=resolve)
        try:
            with self.named(path):
                os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            return self.directory(self._behind(parent, name), resolve=resolve)
        return self._open(path, _DIRECTORY, resolve)

    def file(self, path: str) -> int:
        """Open anything but a directory, making an empty file where nothing is."""
        try:
            return self.existing(path)
        except FileNotFoundError:
            above, _, name = path.strip("/").rpartition("/")
        parent = self.directory(f"/{above}")
        try:
            self.new_file(path, name, parent)
        except FileExistsError:
            return self.file(self._behind(parent, name))
        return self.existing(path)

    def new_file(self, path: str, name: str, parent: int) -> None:
        """Make an empty file in an open directory; `path` is what errors call it."""
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        with self.named(path):
            os.close(os.open(name, flags, 0o644, dir_fd=parent))

    def _behind(self, parent: int, name: str) -> str:
        """Return where a link leads that leads nowhere yet, so that it can be made there.

        A name that is no link (as `..` is none) is there since what is above it was made.
        """
        inside = self.inside(parent)
        try:
            return posixpath.join(inside, os.readlink(name, dir_fd=parent))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return posixpath.join(inside, name)

    def existing(self, path: str, *, resolve: int = IN_ROOT) -> int:
        """Open whatever is there."""
        return self._open(path, os.O_PATH, resolve)

    def _open(self, path: str, flags: int, resolve: int) -> int:
        try:
            fd = sc.openat2(self.root, path, flags, 0, resolve)
        except NotADirectoryError as error:
            culprit = self._no_directory(path, resolve)
            raise NotADirectoryError(error.errno, error.strerror, culprit) from error
        self._held.append(fd)
        return fd

    def _no_directory(self, path: str, resolve: int) -> str:
        """Return how far a path leads until something that is no directory."""
        parts = path.strip("/").split("/")
        for count in range(1, len(parts)):
            above = "/" + "/".join(parts[:count])
            with contextlib.suppress(OSError):
                fd = sc.openat2(self.root, above, os.O_PATH, 0, resolve)
                try:
                    if not stat.S_ISDIR(os.fstat(fd).st_mode):
                        return above
                finally:
                    os.close(fd)
        return path

    @contextlib.contextmanager
    def aside(self, flags: int, data: str) -> Iterator[int]:
        """Have a tmpfs for a `with` block, by its descriptor; what is bound from it stays.

        It is on /proc for the moment: that is there for certain, and no volume.
        """
        above = self.place(self.existing("/proc", resolve=PLAIN))
        sc.mount("tmpfs", above, "tmpfs", flags, data)
        held = self.existing("/proc", resolve=PLAIN)
        try:
            yield held
        finally:
            sc.umount(self.place(held), sc.MNT_DETACH)

    @contextlib.contextmanager
    def named(self, path: str) -> Iterator[None]:
        """Have errors of calls beneath a descriptor name the whole path."""
        try:
            yield
        except OSError as error:
            error.filename = path
            raise

    def close(self) -> None:
        """Close all that was opened."""
        while self._held:
            os.close(self._held.pop())


def restrict(place: str, flags: int) -> None:
    """Give a mount in the tree these flags and no others."""
    sc.mount("none", place, "", sc.MS_REMOUNT | sc.MS_BIND | flags, "")
