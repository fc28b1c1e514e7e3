"""vfs' copies share what they hold, where the file system can."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore.drivers.system.syscalls import syncfs
from layerstore.drivers.tree.copy import copy_tree
from tests.graph.btrfs import layers
from tests.graph.btrfs.layers import MIB
from tests.support.trees import read_tree

pytestmark = pytest.mark.root


@pytest.mark.parametrize(("fstype", "shares"), [("btrfs", True), ("xfs", True), ("ext4", False)])
def test_copies_of_a_tree_take_no_room_where_content_is_shared(
    fstype: str, shares: bool, make_file_system: Callable[[str, int], Path]
) -> None:
    place = make_file_system(fstype, 400)
    (place / "tree").mkdir()
    for name in ("a", "b"):
        (place / "tree" / name).write_bytes(os.urandom(8 * MIB))
    before = free_of(place)
    for number in range(4):
        (place / str(number)).mkdir()
        copy_tree(str(place / "tree"), str(place / str(number)))
        assert read_tree(str(place / str(number))) == read_tree(str(place / "tree"))
    assert (before - free_of(place) < 8 * MIB) == shares
    (place / "0/a").write_bytes(b"changed")
    assert (place / "tree/a").stat().st_size == (place / "1/a").stat().st_size == 8 * MIB


def free_of(place: Path) -> int:
    with layers.opened(str(place)) as directory:
        syncfs(directory)
    status = os.statvfs(place)
    return status.f_bfree * status.f_frsize
