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
from layerstore.drivers.userns.calls import move_mount


def mount_volumes(
    tree: Tree, volumes: Sequence[Volume], held: Sequence[int] | None = None
) -> list[str]:
    """Mount each, those above others first; return where inside those of a caller have come to.

    `held` are mounts of them that lie nowhere yet and are as they are to be, in the same order.
    Raises OSError, DriverError, InvalidArgument.
    """
    mounts: Sequence[int | None] = held if held is not None else [None] * len(volumes)
    both = zip(volumes, mounts, strict=True)
    ordered = sorted(both, key=lambda one: _depth(one[0]))
    inside = [(volume, _bind(tree, volume, mount)) for volume, mount in ordered]
    return [path for volume, path in inside if not volume.of_image]


_OF_ONE_KIND = "source and target are both directories, or neither is"
_WHY = {
    errno.ENOTDIR: _OF_ONE_KIND,
    errno.EISDIR: _OF_ONE_KIND,
    errno.EINVAL: "in a user namespace no directory is shown without what is mounted in it",
}


def _depth(volume: Volume) -> int:
    return _cleaned(volume.target).count("/")


def _cleaned(target: str) -> str:
    return posixpath.normpath(f"/{target.lstrip('/')}")


def _bind(tree: Tree, volume: Volume, mount: int | None) -> str:
    held = mount is not None
    source = mount if mount is not None else _source(volume.source)
    is_directory = stat.S_ISDIR(os.fstat(source).st_mode)
    try:
        return _bind_open(tree, volume, source, is_directory=is_directory, held=held)
    except OSError as error:
        why = _WHY.get(error.errno or 0, "")
        raise DriverError.from_os_error("mount on", volume.target, error, why) from error
    finally:
        if not held:
            os.close(source)


def _source(path: str) -> int:
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        why = "a volume's source is a path of this machine, and isn't made"
        raise DriverError.from_os_error("show", path, error, why) from error


def _bind_open(tree: Tree, volume: Volume, source: int, *, is_directory: bool, held: bool) -> str:
    path = _cleaned(volume.target)
    target = tree.directory(path) if is_directory else tree.file(path)
    _refuse_places(tree, target, volume)
    inside = tree.inside(target)
    if held:
        move_mount(source, target)
        return inside
    mount = sc.cloned_mount(tree.place(source), follow=True)
    try:
        move_mount(mount, target)
        # Those that the file system has already stay.
        flags = os.fstatvfs(source).f_flag & (HARMLESS | sc.MS_RDONLY)
        read_only = sc.MS_RDONLY if volume.read_only else 0
        # By no path: on a volume that others have, too, something else may be there by now.
        restrict(tree.place(mount), flags | sc.MS_NODEV | sc.MS_NOSUID | read_only)
    finally:
        os.close(mount)
    return inside


def _refuse_places(tree: Tree, target: int, volume: Volume) -> None:
    """Refuse a target that leads, by way of links, where nothing may be mounted."""
    found = os.fstat(target)
    proc = os.fstat(tree.existing("/proc", resolve=PLAIN))
    if found.st_dev == proc.st_dev or os.path.samestat(found, os.fstat(tree.root)):
        both = f"{volume.source}:{volume.target}"
        raise InvalidArgument(both, "a volume's target can't lead to / nor into /proc")
