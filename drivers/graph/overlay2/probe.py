"""Whether overlay2 works on a root, tried by one real mount.

Owns a temporary directory beneath the root for as long as the trial lasts.
"""

from __future__ import annotations

import contextlib
import errno
import os

from layerstore.drivers.errors import DriverError, NotPermitted
from layerstore.drivers.graph.overlay2.mount import MountOptions, mount_overlay, unmount
from layerstore.drivers.system.mountinfo import mount_paths
from layerstore.drivers.tree.delete import delete_tree

_TRIAL = "overlay-"
_TROUBLE = {
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.EROFS,
}
"""What says nothing of overlay mounts: the trial has failed, not shown anything."""


def remove_trials(root: str) -> None:
    """Remove what a trial has left whose process was killed. Raises DriverError."""
    own = f"{root}/layerstore"
    try:
        trials = [name for name in os.listdir(own) if name.startswith(_TRIAL)]
        if trials:
            for path in reversed(list(mount_paths())):
                if path.startswith(f"{own}/{_TRIAL}"):
                    unmount(path)
        for name in trials:
            _remove(f"{own}/{name}")
    except OSError as error:
        raise DriverError.from_os_error("clean", own, error) from error


def why_not(root: str, options: MountOptions) -> str:
    """Return one sentence on why overlay2 can't be used beneath `root`, or nothing if it can.

    Raises NotPermitted where it is only the privilege that is missing, and DriverError where the
    root can't be written to.
    """
    trial = f"{root}/layerstore/{_TRIAL}{os.urandom(8).hex()}"
    try:
        os.mkdir(trial, 0o700)
    except OSError as error:
        raise DriverError.from_os_error("mkdir", f"{root}/layerstore", error) from error
    try:
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{trial}/{name}")
        with open(f"{trial}/lower/file", "wb"):
            pass
        return _try(trial, options)
    except NotPermitted:
        raise
    except OSError as error:
        raise DriverError.from_os_error("try an overlay mount in", trial, error) from error
    finally:
        _remove(trial)


def _remove(trial: str) -> None:
    try:
        delete_tree(trial)
    except OSError as error:
        raise DriverError.from_os_error("remove", trial, error, str(error)) from error


def _try(trial: str, options: MountOptions) -> str:
    if not _knows_types(f"{trial}/lower"):
        return "the file system doesn't tell file types in directory entries (d_type)"
    merged = f"{trial}/merged"
    try:
        mount_overlay(trial, merged, options, lowers=["lower"], upper="upper", work="work")
    except NotPermitted:
        raise
    except DriverError as error:
        if error.errno in _TROUBLE:
            raise
        who = "the kernel" if options.instead is None else "the program"
        return f"{who} refuses an overlay mount there ({error})"
    try:
        os.unlink(f"{merged}/file")
        whiteout = os.lstat(f"{trial}/upper/file")
        if whiteout.st_rdev != 0:
            return "the file system can't hold whiteouts"
    except OSError as error:
        if error.errno in _TROUBLE:
            raise
        return f"removing a file in an overlay mount there fails ({error})"
    finally:
        unmount(merged)
    return ""


def _knows_types(path: str) -> bool:
    with os.scandir(path) as entries:
        return all(_has_type(entry) for entry in entries)


def _has_type(entry: os.DirEntry[str]) -> bool:
    # An entry of unknown type makes is_file() fall back to stat, which would hide the lack, so the
    # type is asked for after the file is gone.
    with contextlib.suppress(OSError):
        os.unlink(entry.path)
    known = entry.is_file(follow_symlinks=False)
    with open(entry.path, "wb"):
        pass
    return known
