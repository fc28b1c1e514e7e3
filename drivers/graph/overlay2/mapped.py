"""Overlay mounts that show other owners: by a view of the home in which all layers have these.

Owns the view, and the thread that mounts. An overlay takes its layers as they are shown where it
finds them, and what it makes by itself is its mounter's, who has to have an ID in that view.
Source: Documentation/filesystems/overlayfs.rst; fs/overlayfs, ovl_override_creds.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence

from layerstore.drivers.errors import DriverError, InvalidArgument
from layerstore.drivers.graph.id_mapped import reason_for, take_down, trial
from layerstore.drivers.graph.overlay2.mount import MountOptions, mount_overlay, unmount
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.userns.idmapped import as_root_of, show_at, shown
from layerstore.drivers.work import USERNS


@contextlib.contextmanager
def mapped_home(home: str, views: str, id_map: IdMap, inner: Sequence[str] = ()) -> Iterator[str]:
    """Give a path at which the home is shown by a map, for a `with` block.

    `inner` are mount points in it, relative, whose mounts are shown as well. What was mounted by
    its layers stays. Raises OSError.
    """
    point = f"{views}/{os.urandom(8).hex()}"
    os.mkdir(point, 0o700)
    try:
        show_at(home, point, id_map)
        for name in inner:
            show_at(f"{home}/{name}", f"{point}/{name}", id_map)
        yield point
    finally:
        take_down(point)


def mount_mapped(
    home: str,
    views: str,
    id_map: IdMap,
    mount: Callable[[str], None],
    inner: Sequence[str] = (),
) -> None:
    """Have `mount` called with a path at which the home is shown by a map.

    What it mounts is its map's root's. Raises what it raises, and DriverError.
    """
    try:
        if not inner and _mounted_from_nowhere(home, id_map, mount):
            return
        with mapped_home(home, views, id_map, inner) as view:
            as_root_of(id_map, lambda: mount(view))
    except OSError as error:
        detail = f"by the map of IDs {id_map}"
        raise DriverError.from_os_error("show", home, error, detail) from error


def _mounted_from_nowhere(home: str, id_map: IdMap, mount: Callable[[str], None]) -> bool:
    """Mount from a view that lies nowhere, which is let go of in no time; whether the kernel does.

    Before Linux 6.15 it takes no layers from there. A view that lies somewhere is unmounted, and
    for that the kernel waits until nobody can be at it any more.
    """
    with shown(home, id_map) as view:
        try:
            as_root_of(id_map, lambda: mount(f"/proc/self/fd/{view}"))
        except DriverError as error:
            if error.errno != errno.EINVAL:
                raise
            return False
    return True


def show_mapped(path: str, target: str, id_map: IdMap) -> None:
    """Show a layer without a parent, which is its own tree. Raises DriverError."""
    try:
        show_at(path, target, id_map)
    except OSError as error:
        raise DriverError.from_os_error("mount on", target, error) from error


def check_mapped_overlays(root: str, options: MountOptions, id_map: IdMap) -> None:
    """Raise InvalidArgument where no overlay beneath a root can show a map, for the reason.

    Raises DriverError where that can't be tried.
    """
    with trial(root) as path:
        try:
            for name in ("home", "home/lower", "home/upper", "home/work", "views", "merged"):
                os.mkdir(f"{path}/{name}", 0o755)
            with open(f"{path}/home/lower/file", "wb"):
                pass
            reason = _why_not(root, path, options, id_map)
        except OSError as error:
            raise DriverError.from_os_error("try a mount in", path, error) from error
    if reason:
        raise InvalidArgument(f"{USERNS}={id_map}", reason)


def _why_not(root: str, path: str, options: MountOptions, id_map: IdMap) -> str:
    merged = f"{path}/merged"

    def mount(view: str) -> None:
        mount_overlay(view, merged, options, lowers=["lower"], upper="upper", work="work")

    try:
        with mapped_home(f"{path}/home", f"{path}/views", id_map) as view:
            as_root_of(id_map, lambda: mount(view))
    except DriverError as error:
        return f"the kernel refuses an overlay mount with a map of IDs ({error})"
    except OSError as error:
        return reason_for(root, error)
    try:
        as_root_of(id_map, lambda: os.unlink(f"{merged}/file"))
        gone = os.lstat(f"{path}/home/upper/file")
    except OSError as error:
        return f"an overlay mount with a map of IDs can't be written to ({error.strerror})"
    finally:
        unmount(merged)
    return "" if gone.st_uid == 0 else "owners of files are not stored by it"
