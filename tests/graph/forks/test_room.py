"""Room for what is made: what was removed is gone before a reset is told that the disk is full."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore.drivers.graph.choose import open_driver
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.root.disk import DiskConfig, make_disk
from layerstore.drivers.root.forking import reset_mount
from layerstore.drivers.root.trash import prepare_trash, trash_path
from layerstore.drivers.upkeep.recovery import prepare_root
from layerstore.drivers.work import ResetMount
from tests.support.tars import layer_tar

MIB = 1 << 20


@pytest.mark.root
def test_a_reset_has_the_trash_emptied_where_room_is_short(
    make_file_system: Callable[[str, int], Path],
) -> None:
    root = str(make_file_system("tmpfs", 16) / "root")
    prepare_root(root, durable=False)
    prepare_trash(trash_path(root))
    driver, _ = open_driver("vfs", root, durable=False)
    driver.prepare()
    base, layer = new_id(), new_id()
    driver.create(base, None)
    driver.apply_diff(base, None, io.BytesIO(layer_tar({"file": bytes(range(256)) * (MIB // 64)})))
    driver.create_read_write(layer, base)
    Path(trash_path(root), "removed").write_bytes(bytes(6 * MIB))
    Path(driver.get(layer), "new").touch()
    disk = make_disk(DiskConfig(root, "vfs", durable=False, limits=Limits()), driver)
    reset_mount(disk, ResetMount(mount_id=layer, parent_id=base, spare_id=new_id()))
    assert list(driver.changes(layer, base)) == []
