"""Mounts that show a tree with other owners: one copy on the disk, for whoever it is to be.

Owns the user namespace that such a mount is made with, and the mount until it is attached. Nothing
on the disk is changed. Sources: mount_setattr(2), "ID-mapped mounts"; the kernel's
Documentation/filesystems/idmappings.rst.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

from layerstore.drivers.userns.calls import (
    EndedChild,
    make_files_as,
    mapped_mount,
    move_mount,
    write_maps,
)
from layerstore.drivers.userns.id_map import IdMap, kernel_text


@contextlib.contextmanager
def user_namespace(id_map: IdMap) -> Iterator[int]:
    """Give the descriptor of a user namespace that has this map, for a `with` block.

    Nobody lives in it. Raises OSError, EPERM for IDs that aren't the caller's to map.
    """
    with EndedChild() as pid:
        fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            write_maps(pid, kernel_text(id_map.uids), kernel_text(id_map.gids))
        except BaseException:
            os.close(fd)
            raise
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def shown(path: str, id_map: IdMap) -> Iterator[int]:
    """Give the descriptor of a mount of `path` that lies nowhere, with other owners.

    It ends with the `with` block, unless it was attached. What is mounted beneath `path` isn't seen
    there. Raises OSError.
    """
    with user_namespace(id_map) as namespace:
        fd = mapped_mount(path, namespace)
    try:
        yield fd
    finally:
        os.close(fd)


def show_at(path: str, target: str, id_map: IdMap) -> None:
    """Show what is at `path` at the directory `target`, too, with other owners. Raises OSError."""
    with shown(path, id_map) as fd:
        move_mount(fd, target)


def as_root_of(id_map: IdMap, step: Callable[[], None]) -> None:
    """Take a step in a thread whose files are those of the map's root; raises what it raises.

    What it mounts keeps that for all that the kernel makes by itself there. A map without a 0
    inside is taken by its first ID.
    """
    user = id_map.uids[0].outside if (root := id_map.user(0)) is None else root
    group = id_map.gids[0].outside if (root := id_map.group(0)) is None else root
    failures: list[BaseException] = []

    def take() -> None:
        try:
            make_files_as(user, group)
            step()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failures.append(error)

    thread = threading.Thread(target=take, name="mount")
    thread.start()
    try:
        thread.join()
    finally:
        thread.join()  # an interrupt waits: what the step uses is closed after it
    if failures:
        raise failures[0]
