"""Deleting trees that nothing names, however deep they are.

Owns that no link is followed and that a tree deeper than descriptors allow is deleted all the same.
A btrfs subvolume goes as a whole, where that may be; its bytes later.
Several may delete the same tree at once: what is gone already one of them has deleted, and none of
them is done before all of it is gone.
"""

from __future__ import annotations

import errno
import os

from layerstore.drivers.tree import subvolumes

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEPTH = 64
_ROUNDS = 5_000
"""How often a tree is gone through that others still move about in, or make more in."""
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)


def delete_tree(path: str) -> None:
    """Delete a directory that nothing names and nothing is mounted in. Raises OSError."""
    _delete_all_of(None, path, os.open(path, DIRECTORY))


def delete_entry(top: int, name: str) -> list[int]:
    """Delete what is in a directory by some name, however deep a tree it is. Raises OSError.

    What isn't there, somebody else has deleted. Returns the IDs of the subvolumes that went with
    it; see `subvolumes.settle`.
    """
    try:
        directory = os.open(name, DIRECTORY, dir_fd=top)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        _unlink(top, name)
        return []
    return _delete_all_of(top, name, directory)


def _delete_all_of(top: int | None, name: str, directory: int) -> list[int]:
    """Delete a tree whose directory is open, and close that; returns as delete_entry.

    Which is the last: the kernel gives back what an open directory takes when it is closed, and
    has nobody else who needs `top` wait for it.
    """
    tree = _Tree(directory)
    try:
        if top is not None and tree.destroyed_whole(top, name):
            return tree.destroyed
        for _ in range(_ROUNDS):
            tree.empty()
            if _remove(top, name):
                return tree.destroyed
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), name)
    finally:
        os.close(directory)


class _Tree:
    """A tree that is being emptied."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._moved: list[str] = []
        """Directories that were too deep, by the names that they have at the top now.

        They stay in the tree, so nobody finds that empty before they are gone.
        """
        self._may_have_subvolumes = subvolumes.on_btrfs(top)
        self.destroyed: list[int] = []
        """The IDs of the subvolumes that went as a whole."""

    def destroyed_whole(self, above: int, name: str) -> bool:
        """Destroy the whole tree if it is a subvolume that may be; whether it was."""
        return self._destroyed(above, name, self._top)

    def _destroyed(self, at: int, name: str, directory: int) -> bool:
        if not self._may_have_subvolumes or not subvolumes.is_subvolume(directory):
            return False
        own = subvolumes.destroy(at, name, directory)
        self.destroyed += own
        return _remove(at, name)

    def empty(self) -> None:
        """Delete all that is found in the tree."""
        self._empty(self._top, _DEPTH)
        while self._moved:
            self._delete(self._top, self._moved.pop(), _DEPTH)

    def _empty(self, directory: int, depth: int) -> None:
        with os.scandir(directory) as found:
            entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
        for name, is_directory in entries:
            if is_directory:
                self._delete(directory, name, depth)
            else:
                _unlink(directory, name)

    def _delete(self, at: int, name: str, depth: int) -> None:
        """Delete a directory, or move it to the top if it lies deeper than `depth`."""
        if _remove(at, name):
            return  # as most of a layer that nothing was written to
        try:
            if not depth:
                moved = os.urandom(16).hex()
                os.rename(name, moved, src_dir_fd=at, dst_dir_fd=self._top)
                self._moved.append(moved)
                return
            directory = os.open(name, DIRECTORY, dir_fd=at)
        except FileNotFoundError:
            return
        try:
            if self._destroyed(at, name, directory):
                return
            self._empty(directory, depth - 1)
        finally:
            os.close(directory)
        _remove(at, name)  # where others are at it, too, whoever began looks again


def _unlink(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return


def _remove(at: int | None, name: str) -> bool:
    """Remove a directory that is empty; whether it is gone."""
    try:
        os.rmdir(name, dir_fd=at)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in _NOT_EMPTY:
            raise
        return False
    return True
