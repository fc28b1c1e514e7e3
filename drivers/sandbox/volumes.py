"""The volumes of a run: what of this machine is mounted in its root file system.

Owns where their targets may be, and their order. Targets lead through the image's own links, which
are hostile. Sources: moby's order of mounts (sortMounts); mount(2).
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Sequence

from layerstore.drivers.errors import DriverError, InvalidArgument
from layerstore.drivers.sandbox.inside import HARMLESS, PLAIN, Tree, restrict
from layerstore.drivers.sandbox.spec import Volume
from layerstore.drivers.system import syscalls as sc


def mount_volumes(tree: Tree, volumes: Sequence[Volume]) -> list[str]:
    """Mount each, those above others first; return where inside those of a caller have come to.

    Raises OSError, DriverError, InvalidArgument.
    """
    inside = [(volume, _bind(tree, volume)) for volume in sorted(volumes, key=_depth)]
    return [path for volume, path in inside if not volume.of_image]


def _depth(volume: Volume) -> int:
    return _cleaned(volume.target).count("/")


def _cleaned(target: str) -> str:
    return posixpath.normpath(f"/{target.lstrip('/')}")


def _bind(tree: Tree, volume: Volume) -> str:
    source = os.open(volume.source, os.O_PATH | os.O_CLOEXEC)
    is_directory = stat.S_ISDIR(os.fstat(source).st_mode)
    try:
        return _bind_open(tree, volume, source, is_directory=is_directory)
    except OSError as error:
        fits = error.errno not in (errno.ENOTDIR, errno.EISDIR)
        why = "" if fits else "source and target are both directories, or neither is"
        raise DriverError.from_os_error("mount on", volume.target, error, why) from error
    finally:
        os.close(source)


def _bind_open(tree: Tree, volume: Volume, source: int, *, is_directory: bool) -> str:
    path = _cleaned(volume.target)
    target = tree.directory(path) if is_directory else tree.file(path)
    _refuse_places(tree, target, volume)
    inside = tree.inside(target)
    sc.mount(tree.place(source), tree.place(target), "", sc.MS_BIND, "")
    # Those that the file system has already stay.
    flags = os.fstatvfs(source).f_flag & (HARMLESS | sc.MS_RDONLY)
    read_only = sc.MS_RDONLY if volume.read_only else 0
    restrict(tree.place(tree.existing(path)), flags | sc.MS_NODEV | sc.MS_NOSUID | read_only)
    return inside


def _refuse_places(tree: Tree, target: int, volume: Volume) -> None:
    """Refuse a target that leads, by way of links, where nothing may be mounted."""
    found = os.fstat(target)
    proc = os.fstat(tree.existing("/proc", resolve=PLAIN))
    if found.st_dev == proc.st_dev or os.path.samestat(found, os.fstat(tree.root)):
        both = f"{volume.source}:{volume.target}"
        raise InvalidArgument(both, "a volume's target can't lead to / nor into /proc")
