"""Files outside a store that nobody may change or read, and the proof that nobody has.

Owns a tree on a file system that keeps the time of every access. Looking at it here leaves no trace
(O_NOATIME), so its times stay in the past for as long as nobody else comes.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

_LONG_AGO = 1_000_000_000
_QUIETLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME
SECRET = b"what nobody may read\n"


class Disturbed(AssertionError):
    """The sentinel tree is not as it was."""


class Sentinel:
    """A tree with one of everything, and copies of what else is to be watched.

    Its file system is mounted with strictatime.
    """

    def __init__(self, path: Path, *copied: Path) -> None:
        self.path = path
        (path / "directory").mkdir(parents=True)
        (path / "secret").write_bytes(SECRET)
        (path / "passwd").write_bytes(b"root:x:0:0:root:/root:/bin/sh\n")
        (path / "directory/inner").write_bytes(b"inner")
        (path / "link").symlink_to("secret")
        os.mkfifo(path / "fifo")
        for directory in copied:
            shutil.copytree(directory, path / directory.name)
        self._expected = self._calmed()

    def _calmed(self) -> dict[str, tuple[object, ...]]:
        for place, directories, files in list(os.walk(self.path)):  # walking is reading
            for name in directories + files:
                os.utime(Path(place, name), (_LONG_AGO, _LONG_AGO), follow_symlinks=False)
        os.utime(self.path, (_LONG_AGO, _LONG_AGO))
        return self._look()

    def check(self) -> None:
        """Raise Disturbed where anything was read, changed, made or removed since the last call."""
        found = self._look()
        differing = {
            name: (self._expected.get(name), found.get(name))
            for name in self._expected.keys() | found.keys()
            if self._expected.get(name) != found.get(name)
        }
        if differing:
            self._expected = self._calmed()
            raise Disturbed(f"outside the root: {differing}")

    def _look(self) -> dict[str, tuple[object, ...]]:
        seen: dict[str, tuple[object, ...]] = {}
        waiting = [self.path]
        while waiting:
            path = waiting.pop()
            seen[str(path.relative_to(self.path))] = _facts(path)
            if stat.S_ISDIR(path.lstat().st_mode):
                waiting.extend(path / name for name in _names(path))
        return seen


def _names(path: Path) -> list[str]:
    fd = os.open(path, _QUIETLY | os.O_DIRECTORY)
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def _facts(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    content = _content(path) if stat.S_ISREG(status.st_mode) else None
    times = (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
    owner = (status.st_mode, status.st_uid, status.st_gid, status.st_nlink)
    attributes = os.listxattr(path, follow_symlinks=False)
    return (status.st_ino, status.st_size, owner, times, attributes, content)


def _content(path: Path) -> bytes:
    fd = os.open(path, _QUIETLY)
    with open(fd, "rb") as file:
        return file.read()
