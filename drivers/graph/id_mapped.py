"""Trees that are shown with other owners: for drivers whose layers are whole directories.

Owns `<root>/layerstore/idmapped/<layer ID>/`, with what a layer was asked to be and the mount point
of its tree. A layer without a map has nothing there and is not mounted. Also says why a root has no
such mounts, tried by a real one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator

from layerstore.drivers.errors import DriverError, InvalidArgument
from layerstore.drivers.graph.kept_options import KEPT, read_kept, write_kept
from layerstore.drivers.graph.storage_options import StorageOptions
from layerstore.drivers.model.ids import check_layer_id, is_layer_store_id
from layerstore.drivers.system.mountinfo import file_system_of, mount_points
from layerstore.drivers.system.retry import patiently
from layerstore.drivers.system.small_file import names_in
from layerstore.drivers.system.syscalls import MNT_DETACH, UMOUNT_NOFOLLOW, umount
from layerstore.drivers.tree.delete import delete_tree
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.userns.idmapped import show_at, shown
from layerstore.drivers.userns.ranges import has_all_ids
from layerstore.drivers.work import USERNS

_TREE = "tree"


class IdMappedTrees:
    """The layers of one root that have a map of user IDs."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._home = f"{root}/layerstore/idmapped"
        self._shows_maps = False
        """It was tried, with whichever map."""

    def _place(self, layer_id: str) -> str:
        return f"{self._home}/{check_layer_id(layer_id)}"

    def keep(self, layer_id: str, options: StorageOptions) -> list[str]:
        """Keep what a new layer was asked to be, if it has a map; before it is made.

        Returns what is to be synced. Raises InvalidArgument where the root has no such mounts,
        DriverError.
        """
        id_map = options.id_map
        if id_map is None:
            return []
        options = StorageOptions(userns=options.userns)
        if not self._shows_maps:
            check_mapped(self._root, id_map)
            self._shows_maps = has_all_ids()  # else only its own user's
        place = self._place(layer_id)
        try:
            os.makedirs(self._home, 0o700, exist_ok=True)
            os.mkdir(place, 0o700)
        except OSError as error:
            raise DriverError.from_os_error("mkdir", place, error) from error
        try:
            return [*write_kept(place, options), place, self._home]
        except BaseException:
            self.forget(layer_id)
            raise

    def options(self, layer_id: str) -> StorageOptions:
        """Return what was kept. Raises InvalidMetadata, DriverError."""
        return read_kept(self._place(layer_id))

    def get(self, layer_id: str, path: str) -> str:
        """Return where a layer's tree at `path` is to be seen: mounted, if it has a map."""
        id_map = self.options(layer_id).id_map
        if id_map is None:
            return path
        point = f"{self._place(layer_id)}/{_TREE}"
        try:
            with contextlib.suppress(FileExistsError):  # left by a crash
                os.mkdir(point, 0o700)
            show_at(path, point, id_map)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.rmdir(point)
            raise DriverError.from_os_error("mount on", point, error) from error
        return point

    def put(self, layer_id: str) -> None:
        """Undo get. Idempotent."""
        point = f"{self._place(layer_id)}/{_TREE}"
        try:
            take_down(point)
        except OSError as error:
            raise DriverError.from_os_error("unmount", point, error) from error

    def mounted(self) -> set[str]:
        """Return the IDs of the layers that are mounted."""
        prefix, suffix = f"{self._home}/", f"/{_TREE}"
        return {
            point.path[len(prefix) : -len(suffix)]
            for point in mount_points(self._home)
            if point.path.startswith(prefix) and point.path.endswith(suffix)
        }

    def may_be_mounted(self, layer_id: str) -> bool:
        """Whether a layer may be mounted; one look."""
        return os.path.lexists(f"{self._place(layer_id)}/{_TREE}")

    def point(self, layer_id: str) -> str | None:
        """Return where a layer's tree is mounted when it is; None for one without a map."""
        place = self._place(layer_id)
        return f"{place}/{_TREE}" if os.path.lexists(place) else None

    def forget(self, layer_id: str) -> None:
        """Remove what is kept of a layer that is gone, or was never made. Idempotent."""
        place = self._place(layer_id)
        if not os.path.lexists(place):
            return
        self.put(layer_id)
        try:
            for remove, path in ((os.unlink, f"{place}/{KEPT}"), (os.rmdir, place)):
                with contextlib.suppress(FileNotFoundError):
                    remove(path)
        except OSError as error:
            raise DriverError.from_os_error("remove", place, error) from error

    def tidy(self, exists: Callable[[str], bool]) -> None:
        """Forget layers that aren't there: a crash came between their removal and this one's."""
        for name in names_in(self._home):
            if is_layer_store_id(name) and not exists(name):
                self.forget(name)


@patiently
def _umount(target: str) -> None:
    try:
        umount(target, MNT_DETACH | UMOUNT_NOFOLLOW)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOENT}:
            raise


def take_down(point: str) -> None:
    """Unmount what is at a mount point, if anything is, and remove that. Raises OSError."""
    _umount(point)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(point)


@contextlib.contextmanager
def trial(root: str) -> Iterator[str]:
    """Give a directory beneath a root to try something in.

    What is left of it where this process is killed goes at the next open. Raises DriverError.
    """
    path = f"{root}/layerstore/overlay-{os.urandom(8).hex()}"
    try:
        os.mkdir(path, 0o700)
    except OSError as error:
        raise DriverError.from_os_error("mkdir", path, error) from error
    try:
        yield path
    finally:
        delete_tree(path)


def check_mapped(root: str, id_map: IdMap) -> None:
    """Raise InvalidArgument where a tree beneath a root can't be shown by a map, for the reason."""
    with trial(root) as path:
        try:
            with shown(path, id_map) as fd:
                seen = os.stat(f"/proc/self/fd/{fd}").st_uid
        except OSError as error:
            raise InvalidArgument(f"{USERNS}={id_map}", reason_for(root, error)) from error
    if seen != id_map.user(0) and id_map.user(0) is not None:
        raise InvalidArgument(f"{USERNS}={id_map}", "owners of files are not shown by it")


def reason_for(root: str, error: OSError) -> str:
    """Return why the kernel refuses to show files of a root by a map."""
    kind = file_system_of(root)
    if error.errno == errno.EPERM:
        return f"the IDs, or the file system ({kind}), aren't this process's to map"
    if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
        return f"the file system ({kind}) has no mounts with a map of IDs in this kernel"
    if error.errno == errno.ENOSYS:
        return "mounts with a map of IDs want Linux 5.12"
    return f"the kernel refuses a mount with a map of IDs: {error.strerror}"
