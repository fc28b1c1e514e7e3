"""Changing the owners of a tree from those of one map of IDs to those of another.

Owns the walk. It is for small trees that nobody else writes to, such as volumes that were just
copied: layers are shown with other owners instead.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from layerstore.drivers.userns.id_map import IdMap, IdRange


def change_owners(top: str, old: IdMap, new: IdMap) -> None:
    """Give what users and groups of `old` have beneath a directory to the same ones of `new`.

    What others have is left alone, and so are those in ACLs. Raises OSError.
    """
    for _, directories, files, directory in os.fwalk(top, follow_symlinks=False):
        for name in (*directories, *files):
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            user = _changed(found.st_uid, old.uids, new.user)
            group = _changed(found.st_gid, old.gids, new.group)
            if (user, group) == (found.st_uid, found.st_gid):
                continue
            os.chown(name, user, group, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISLNK(found.st_mode):  # which the kernel takes set-user-ID bits from
                os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=directory)


def _changed(number: int, ranges: tuple[IdRange, ...], outside: Callable[[int], int | None]) -> int:
    for one in ranges:
        if one.outside <= number < one.outside + one.count:
            found = outside(one.inside + number - one.outside)
            return number if found is None else found
    return number
