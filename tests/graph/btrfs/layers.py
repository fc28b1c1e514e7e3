"""Making layers by hand, and what their users do in them."""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager

from layerstore.drivers.graph.btrfs.driver import BtrfsDriver
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.tree import btrfs_ioctls as btrfs
from tests.support.tars import Content, layer_tar

MIB = 1 << 20


def image_of(driver: BtrfsDriver, files: dict[str, Content]) -> str:
    """Make a read-only layer."""
    layer_id = new_id()
    driver.create(layer_id, None)
    driver.apply_diff(layer_id, None, io.BytesIO(layer_tar(files)))
    return layer_id


def layer_on(driver: BtrfsDriver, parent: str | None, **options: str) -> tuple[str, str]:
    """Make a read-write layer; returns its ID and its path."""
    layer_id = new_id()
    driver.create_read_write(layer_id, parent, storage_opt=options)
    return layer_id, driver.get(layer_id)


@contextmanager
def opened(path: str) -> Iterator[int]:
    """Open a directory."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield directory
    finally:
        os.close(directory)


def make_subvolume(path: str) -> str:
    """Make a subvolume, as any user may in a directory of theirs."""
    above, name = os.path.split(path)
    with opened(above) as directory:
        btrfs.create(directory, name.encode())
    return path


def make_snapshot(source: str, path: str) -> None:
    """Make a snapshot of a subvolume."""
    above, name = os.path.split(path)
    with opened(source) as subvolume, opened(above) as directory:
        btrfs.snapshot(subvolume, directory, name.encode())


def make_read_only(path: str) -> None:
    """Make a subvolume read-only, as its owner may."""
    with opened(path) as subvolume:
        flags = btrfs.READ_ONLY.to_bytes(8, "little")
        fcntl.ioctl(subvolume, btrfs.SUBVOL_SETFLAGS, flags)


def commit(path: str) -> None:
    """Have the file system write all that it has, so that its counts are right."""
    with opened(path) as directory:
        btrfs.commit(directory)


def write_until_refused(path: str, most: int) -> tuple[int, int | None]:
    """Write a file until an error or so many bytes; returns how many were, and the error's number.

    What is written can't be compressed, nor is any of it put off until later.
    """
    written = 0
    try:
        with open(path, "wb", buffering=0) as file:
            while written < most:
                written += file.write(os.urandom(MIB))
                os.fsync(file.fileno())
    except OSError as error:
        return written, error.errno
    return written, None


def subvolumes_of(place: str) -> set[int]:
    """Return the IDs of all subvolumes that are there, or not deleted yet."""
    with opened(place) as directory:
        return {
            one
            for one in range(btrfs.FIRST_INODE, btrfs.FIRST_INODE + 4096)
            if any(btrfs.search(directory, btrfs.ROOT_TREE, one, btrfs.ROOT_ITEM))
        }


def groups_of(place: str) -> set[int]:
    """Return the IDs of all quota groups."""
    with opened(place) as directory:
        return {
            group for group, _ in btrfs.search(directory, btrfs.QUOTA_TREE, 0, btrfs.QGROUP_INFO)
        }
