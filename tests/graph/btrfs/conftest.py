"""A btrfs driver of a file system of its own, with full quotas, simple ones, or none."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore.drivers.graph.btrfs.driver import BtrfsDriver
from layerstore.drivers.graph.choose import open_driver
from layerstore.drivers.root.trash import prepare_trash, sweep, trash_path
from layerstore.drivers.tree import btrfs_ioctls
from layerstore.drivers.upkeep.recovery import prepare_root

_MIB = 400


@pytest.fixture(scope="module")
def quotas() -> str:
    """How quotas are switched on: `off`, `full`, `simple`."""
    return "off"


@pytest.fixture(scope="module")
def place(make_file_system: Callable[[str, int], Path], quotas: str) -> Path:
    found = make_file_system("btrfs", _MIB)
    if quotas != "off":
        _switch_on(found, quotas)
    return found


def _switch_on(place: Path, quotas: str) -> None:
    """By hand: Debian's btrfs knows no simple ones."""
    directory = os.open(place, os.O_RDONLY)
    try:
        arguments = struct.pack("<2Q", {"full": 1, "simple": 4}[quotas], 0)
        fcntl.ioctl(directory, btrfs_ioctls.QUOTA_CTL, bytearray(arguments))
    except OSError as error:
        if quotas != "simple" or error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        pytest.skip(f"the kernel has no simple quotas: {error}")
    finally:
        os.close(directory)


@pytest.fixture
def root(place: Path) -> str:
    return str(place / "root")


@pytest.fixture
def driver(root: str) -> Iterator[BtrfsDriver]:
    prepare_root(root, durable=True)
    prepare_trash(trash_path(root))
    found, _ = open_driver("btrfs", root, durable=False)
    assert isinstance(found, BtrfsDriver)
    found.prepare()
    yield found
    for layer_id in list(found.ids()):
        found.remove(layer_id, trash_path(root))
    sweep(trash_path(root))
    assert os.listdir(trash_path(root)) == []
    found.cleanup()


@pytest.fixture
def trash(root: str) -> str:
    return trash_path(root)
