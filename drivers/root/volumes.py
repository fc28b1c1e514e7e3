"""Volumes that images ask for: `<root>/layerstore/volumes/<mount ID>/<sha256 of the path>/`.

Owns these directories, which Docker ignores. They belong to a read-write layer, begin with what its
image has at their paths, and go into the trash with it. It mounts nothing.
Sources: moby's createContainerOSSpecificSettings and Container.CopyImagePathContent.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Container

from layerstore.drivers.errors import DriverError, InvalidArgument
from layerstore.drivers.model.ids import check_layer_id
from layerstore.drivers.sandbox.inside import Tree
from layerstore.drivers.system.throwing_away import throw_away
from layerstore.drivers.tree.copy import copy_tree
from layerstore.drivers.tree.delete import delete_entry
from layerstore.drivers.tree.live_copy import copy_live_tree
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.userns.owners import change_owners

_NAME = re.compile(r"[0-9a-f]{64}\Z")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_volume(root: str, mount_id: str, rootfs: str, path: str, id_map: str = "") -> str:
    """Return the directory of a read-write layer's volume, made and filled if it is a new one.

    `rootfs` is where the layer is mounted; `path` is one in it, which may be hostile and need not
    be there. Content, owner and mode are copied; where nothing is to be copied, it is the root's of
    the layer's `id_map`. Raises DriverError; then no new directory is left.
    """
    import hashlib  # noqa: PLC0415 - few runs have volumes

    home = f"{_home(root)}/{check_layer_id(mount_id)}"
    name = hashlib.sha256(os.fsencode(path)).hexdigest()
    if os.path.isdir(f"{home}/{name}"):
        return f"{home}/{name}"
    unfinished = f"{name}-{os.urandom(8).hex()}"
    try:
        os.makedirs(home, 0o700, exist_ok=True)
        os.mkdir(f"{home}/{unfinished}", 0o755)
        try:
            _give(f"{home}/{unfinished}", id_map)
            _fill(f"{home}/{unfinished}", rootfs, path)
            os.rename(f"{home}/{unfinished}", f"{home}/{name}")
        except BaseException:
            _delete(home, unfinished)
            raise
    except OSError as error:
        raise DriverError.from_os_error("make a volume for", path, error) from error
    return f"{home}/{name}"


def _give(directory: str, id_map: str) -> None:
    if id_map:
        found = IdMap.parse(id_map)
        os.chown(directory, found.user(0) or 0, found.group(0) or 0)


def _fill(directory: str, rootfs: str, path: str) -> None:
    os.chmod(directory, 0o755)  # whatever the umask
    tree = Tree(rootfs)
    try:
        found = tree.existing(path)
        if os.path.samestat(os.fstat(found), os.fstat(tree.root)):
            raise InvalidArgument(path, "a volume's target can't lead to / nor into /proc")
        if not stat.S_ISDIR(os.fstat(found).st_mode):
            why = "an image's volume is a directory, and it has something else there"
            raise DriverError("make a volume for", path, errno.ENOTDIR, why)
        _copy(tree, found, path, directory)
    except FileNotFoundError:
        return
    finally:
        tree.close()


def _copy(tree: Tree, found: int, path: str, directory: str) -> None:
    source = f"{tree.place(found)}/."
    try:
        copy_tree(source, directory)
    except DriverError as error:
        where = error.path.replace(source, path, 1)
        raise DriverError(error.operation, where, error.errno, "into a volume") from error


def _delete(home: str, name: str) -> None:
    top = os.open(home, _DIRECTORY)
    try:
        delete_entry(top, name)
    finally:
        os.close(top)


def has_volumes(root: str) -> bool:
    """Whether there may be volumes of any read-write layer."""
    return os.path.isdir(_home(root))


def fork_volumes(root: str, source_id: str, mount_id: str) -> None:
    """Copy all volumes of a read-write layer for another, as they stand. Raises DriverError."""
    source, target = (f"{_home(root)}/{check_layer_id(each)}" for each in (source_id, mount_id))
    try:
        names = [name for name in os.listdir(source) if _NAME.match(name)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise DriverError.from_os_error("list", source, error) from error
    try:
        os.mkdir(target, 0o700)
        for name in names:
            os.mkdir(f"{target}/{name}", 0o700)
            copy_live_tree(f"{source}/{name}", f"{target}/{name}")
    except OSError as error:
        raise DriverError.from_os_error("fork the volumes in", source, error) from error


def give_volumes(root: str, mount_id: str, old: str, new: str) -> None:
    """Have what belongs to users of one map, in a layer's volumes, belong to those of another.

    Raises DriverError.
    """
    if old == new or not old:
        return
    home = f"{_home(root)}/{check_layer_id(mount_id)}"
    try:
        change_owners(home, IdMap.parse(old), IdMap.parse(new))
    except OSError as error:
        raise DriverError.from_os_error_in("change owners in", home, error) from error


def discard_volumes(root: str, mount_id: str, trash: str) -> None:
    """Move all volumes of a read-write layer into the trash. Idempotent. Raises DriverError."""
    throw_away(f"{_home(root)}/{mount_id}", trash, "volumes")


def others_volumes(root: str, mount_ids: Container[str]) -> list[str]:
    """Return the IDs of all other mounts that volumes are left of. Raises DriverError."""
    try:
        return [name for name in os.listdir(_home(root)) if name not in mount_ids]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DriverError.from_os_error("list", _home(root), error) from error


def _home(root: str) -> str:
    return f"{root}/layerstore/volumes"
