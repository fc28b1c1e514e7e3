"""How much a layer takes is bounded and told by quota groups, of either kind."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from layerstore import DriverError, InvalidArgument
from layerstore.drivers.graph.btrfs.driver import BtrfsDriver
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.root.trash import sweep
from layerstore.drivers.tree import btrfs_ioctls
from tests.graph.btrfs import layers
from tests.graph.btrfs.layers import MIB
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", params=["full", "simple"])
def quotas(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_full_layer_harms_nobody_and_can_be_read_and_removed(
    driver: BtrfsDriver, trash: str, quotas: str
) -> None:
    base = layers.image_of(driver, {"image": os.urandom(4 * MIB)})
    size, counts = 12 * MIB, 4 if quotas == "full" else 0
    layer, path = layers.layer_on(driver, base, size=str(size))
    _, beside = layers.layer_on(driver, base)
    written, error = layers.write_until_refused(f"{path}/big", 20 * MIB)
    assert error in (errno.EDQUOT, errno.ENOSPC)
    assert size - (counts + 4) * MIB <= written <= size - counts * MIB
    assert layers.write_until_refused(f"{beside}/big", 20 * MIB) == (20 * MIB, None)
    assert [str(change) for change in driver.changes(layer, base)] == ["A /big"]
    out = io.BytesIO()
    driver.diff(layer, base, out)
    assert len(out.getvalue()) > written
    driver.put(layer)
    driver.remove(layer, trash)
    sweep(trash)
    assert os.listdir(trash) == []


def test_a_full_layer_goes_with_the_subvolumes_in_it(driver: BtrfsDriver, trash: str) -> None:
    layer, path = layers.layer_on(driver, None, size="8m")
    layers.make_subvolume(f"{layers.make_subvolume(f'{path}/nested')}/deeper")
    assert layers.write_until_refused(f"{path}/big", 20 * MIB)[1] is not None
    driver.remove(layer, trash)
    sweep(trash)
    assert os.listdir(trash) == []


def test_room_comes_back_by_deleting(driver: BtrfsDriver) -> None:
    _, path = layers.layer_on(driver, None, size="8m")
    assert layers.write_until_refused(f"{path}/big", 20 * MIB)[1] is not None
    os.unlink(f"{path}/big")
    layers.commit(path)
    assert layers.write_until_refused(f"{path}/again", 4 * MIB) == (4 * MIB, None)


def test_what_is_written_to_a_subvolume_in_a_layer_counts_with_simple_quotas_alone(
    driver: BtrfsDriver, quotas: str
) -> None:
    _, path = layers.layer_on(driver, None, size="8m")
    nested = layers.make_subvolume(f"{path}/nested")
    deeper = layers.make_subvolume(f"{nested}/deeper")
    written, error = layers.write_until_refused(f"{deeper}/big", 20 * MIB)
    if quotas == "simple":
        assert (written <= 8 * MIB, error) == (True, errno.EDQUOT)
    else:  # which docs/btrfs.md says
        assert (written, error) == (20 * MIB, None)


def test_what_a_layer_has_for_itself_is_told(driver: BtrfsDriver) -> None:
    base = layers.image_of(driver, {"image": os.urandom(8 * MIB)})
    layer, path = layers.layer_on(driver, base)
    layers.commit(path)
    empty = driver.usage(layer)
    assert empty is not None
    assert empty < MIB
    Path(path, "own").write_bytes(os.urandom(2 * MIB))
    Path(layers.make_subvolume(f"{path}/nested"), "own").write_bytes(os.urandom(3 * MIB))
    layers.commit(path)
    found = driver.usage(layer)
    assert found is not None
    assert 5 * MIB <= found - empty < 6 * MIB


def test_the_groups_of_removed_layers_go(driver: BtrfsDriver, place: Path, trash: str) -> None:
    before = layers.groups_of(str(place))
    layer, path = layers.layer_on(driver, None, size="8m")
    layers.make_subvolume(f"{path}/nested")
    assert len(layers.groups_of(str(place)) - before) >= 2
    driver.remove(layer, trash)
    sweep(trash)
    assert layers.groups_of(str(place)) == before


def test_a_group_that_a_crash_has_left_goes_at_the_next_open(
    driver: BtrfsDriver, place: Path, root: str, quotas: str
) -> None:
    before = layers.groups_of(str(place))
    layer, path = layers.layer_on(driver, None, size="8m")
    there = layers.subvolumes_of(str(place))
    os.rmdir(path)
    layers.commit(str(place))
    wait_until(lambda: layers.subvolumes_of(str(place)) < there)
    assert os.listdir(f"{root}/btrfs/quotas") == [layer]
    driver.tidy()
    assert os.listdir(f"{root}/btrfs/quotas") == []
    left = layers.groups_of(str(place)) - before
    # Of simple ones, a layer's own group tells that there was one; else older kernels keep it.
    assert left == set() if quotas == "simple" else len(left) <= 1


def test_a_size_that_the_image_has_taken_is_refused(driver: BtrfsDriver, quotas: str) -> None:
    if quotas == "simple":
        pytest.skip("an image counts with full quotas only")
    base = layers.image_of(driver, {"image": os.urandom(8 * MIB)})
    layer = new_id()
    with pytest.raises(InvalidArgument, match="of its image, which count on btrfs"):
        driver.create_read_write(layer, base, storage_opt={"size": "4m"})
    assert not driver.exists(layer)


@pytest.mark.parametrize("size", ["0", "-1", "much", ""])
def test_what_is_no_size_leaves_nothing(driver: BtrfsDriver, size: str) -> None:
    layer = new_id()
    with pytest.raises(InvalidArgument):
        driver.create_read_write(layer, None, storage_opt={"size": size})
    assert not driver.exists(layer)


def test_counts_that_are_wrong_are_counted_anew_before_they_bound_anything(
    driver: BtrfsDriver, quotas: str
) -> None:
    if quotas == "simple":
        pytest.skip("simple quotas are never wrong")
    base = layers.image_of(driver, {"image": os.urandom(MIB)})
    layer, path = layers.layer_on(driver, base)
    with layers.opened(path) as directory:
        # The kernel can't tell what a group of groups counts where one shares what it has.
        own = btrfs_ioctls.subvolume_id(directory)
        btrfs_ioctls.make_group(directory, 1 << 48 | own)
        btrfs_ioctls.join_group(directory, own, 1 << 48 | own)
        btrfs_ioctls.commit(directory)
        assert driver.usage(layer) is None
        bounded, path = layers.layer_on(driver, None, size="8m")
        assert layers.write_until_refused(f"{path}/big", 20 * MIB)[1] == errno.EDQUOT
        assert driver.usage(bounded) is not None


def test_a_fork_and_a_layer_that_was_reset_are_bounded_as_it_was(
    driver: BtrfsDriver, trash: str
) -> None:
    base = layers.image_of(driver, {"image": b"1"})
    layer, path = layers.layer_on(driver, base, size="8m")
    Path(layers.make_subvolume(f"{path}/nested"), "file").write_bytes(b"2")
    assert layers.write_until_refused(f"{path}/big", 20 * MIB)[1] == errno.EDQUOT
    fork = new_id()
    driver.fork(fork, layer, base)
    forked = driver.get(fork)
    assert Path(forked, "nested/file").read_bytes() == b"2"
    os.unlink(f"{forked}/big")
    layers.commit(forked)
    assert layers.write_until_refused(f"{forked}/again", 20 * MIB)[1] == errno.EDQUOT
    assert Path(path, "big").stat().st_size > 4 * MIB
    driver.put(layer)
    driver.reset(layer, new_id(), base, trash)
    path = driver.get(layer)
    assert os.listdir(path) == ["image"]
    assert layers.write_until_refused(f"{path}/big", 20 * MIB)[1] == errno.EDQUOT


def test_where_a_layer_is_no_subvolume_what_it_lies_in_is_not_bounded(
    driver: BtrfsDriver, place: Path
) -> None:
    layer, path = layers.layer_on(driver, None, size="8m")
    # As a copy of the root, file by file, has it.
    os.rmdir(path)
    os.mkdir(path)
    Path(path, "file").write_bytes(b"1")
    with pytest.raises(DriverError, match="no subvolume"):
        driver.get(layer)
    assert driver.usage(layer) is None
    Path(place, "elsewhere").write_bytes(os.urandom(9 * MIB))
    layers.commit(str(place))
    Path(place, "elsewhere").unlink()
    fork = new_id()
    driver.fork(fork, layer, None)
    driver.fill(fork, layer)
    forked = driver.get(fork)
    assert Path(forked, "file").read_bytes() == b"1"
    assert layers.write_until_refused(f"{forked}/big", 20 * MIB)[1] == errno.EDQUOT
