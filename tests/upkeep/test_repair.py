"""Repairing a store: what goes and what stays, and that a check is clean afterwards."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from layerstore import DriverError, FaultKind, LayerNotRetained, LayerStore, StoreClosed
from layerstore.command import main
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.root.disk import DiskConfig, make_disk
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.syscalls import mount, umount
from layerstore.drivers.upkeep.check import survey
from layerstore.drivers.upkeep.repair_plan import plan
from layerstore.drivers.work import Repair
from layerstore.drivers.worker.perform import perform
from tests.conftest import OpenStore
from tests.support.ways.marks import OWNERS
from tests.upkeep.damage import ANY, CASES, OVERLAY, Place, damages, furnish
from tests.upkeep.test_check import CHEAP, closed_store, snapshot


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("driver", "damage", "full"), CASES)
def test_after_a_repair_with_force_a_full_check_is_clean(
    driver: str, damage: str, full: bool, root_dir: Path
) -> None:
    place = closed_store(root_dir, driver)
    damages(driver, full=full)[damage][1](place)
    with LayerStore(root_dir, recover=False, **CHEAP) as store:
        steps = store.repair(force=True)
        assert steps
        assert os.listdir(root_dir / "layerstore/trash") == []
        assert store.check(full=True) == []
        assert store.faults == []
    assert not [point for point in mount_points() if point.path.startswith(f"{root_dir}/")]
    with LayerStore(root_dir, recover=False, **CHEAP) as store:
        assert store.check(full=True) == []
        assert "empty" in {kept.name for kept in store.mounts()}
        assert place.base in store.map()


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("driver", "damage", "full"), [c for c in CASES if not c.values[2]])
def test_a_repair_without_force_loses_nothing(
    driver: str, damage: str, full: bool, root_dir: Path
) -> None:
    place = closed_store(root_dir, driver)
    with LayerStore(root_dir, driver=driver, **CHEAP) as store:
        layers, mounts, images = store.map().keys(), store.mounts(), store.images.list()
    kind, do = damages(driver, full=full)[damage]
    do(place)
    before = snapshot(root_dir)
    with LayerStore(root_dir, recover=False, **CHEAP) as store:
        planned = store.repair(dry_run=True)
        assert snapshot(root_dir) == before
        done = store.repair()
        assert [step.path for step in done] == [step.path for step in planned]
        if all(step.force for step in done):
            assert [fault.kind for fault in store.check()] == [kind]
            return
        assert store.check(full=True) == []
        assert store.map().keys() == layers
        assert [m.mount_id for m in store.mounts()] == [m.mount_id for m in mounts]
        assert [image.names for image in store.images.list()] == [image.names for image in images]
        with store.get_rw_layer("web").mounted() as path:
            assert sorted(os.listdir(path)) == ["b", "big", "etc", "init"]


def test_with_a_layer_go_the_mounts_and_images_on_it_and_no_other(
    root_dir: Path, driver_name: str
) -> None:
    place = closed_store(root_dir, driver_name)
    damages(driver_name, full=True)["changed file"][1](place)
    with LayerStore(root_dir, recover=False) as store:
        plan = store.repair(force=True, dry_run=True)
        actions = [str(step.action) for step in plan]
        assert actions == ["remove image", "remove read-write layer", "remove layer"]
        assert all(step.force for step in plan)
        assert {m.name for m in store.mounts()} == {"web", "plain", "empty"}
        assert store.repair(force=True) == plan
        assert {m.name for m in store.mounts()} == {"plain", "empty"}
        assert list(store.map()) == [place.base]
        assert store.images.list() == []
        with store.get_rw_layer("plain").mounted() as path:
            assert sorted(os.listdir(path)) == ["big", "etc"]


def test_a_repair_that_is_cut_off_between_steps_is_finished_by_the_next(
    root_dir: Path, driver_name: str
) -> None:
    place = damaged_in_many_ways(root_dir, driver_name)
    rounds = 0
    while True:
        with LayerStore(root_dir, recover=False, **CHEAP) as store:
            faults = store.check(full=True)
            disk = make_disk(DiskConfig(str(root_dir), driver_name, True, Limits()))
            steps = plan(disk, survey(disk, ()), faults, ())
        if not steps:
            break
        perform(disk, Repair(step=steps[0]), ())  # and then it is killed
        with LayerStore(root_dir, driver=driver_name, **CHEAP):
            rounds += 1
    assert rounds > 5
    with LayerStore(root_dir, recover=False, **CHEAP) as store:
        assert store.check(full=True) == []
        assert place.base in store.map()
        assert "empty" in {kept.name for kept in store.mounts()}


def damaged_in_many_ways(root: Path, driver: str) -> Place:
    place = closed_store(root, driver)
    for name in (
        "changed file", "evil layer", "evil mount", "evil image", "cut-off removal", "orphan",
        "transaction", "dangling name", "unfinished", "bad init ID", "no such parent",
        "no such layers", "mounted",
    ):  # fmt: skip
        (ANY | damages(driver, full=True))[name][1](place)
    if driver == "overlay2":
        for name in ("no short link", "dangling link", "no work"):
            OVERLAY[name][1](place)
    return place


def test_everything_at_once_is_repaired(root_dir: Path, driver_name: str) -> None:
    place = damaged_in_many_ways(root_dir, driver_name)
    with LayerStore(root_dir, recover=False) as store:
        assert len(store.check()) > 10
        store.repair(force=True)
        assert store.check(full=True) == []
        assert list(store.map()) == [place.base]


@pytest.mark.root
def test_what_is_mounted_in_an_orphan_is_not_deleted(root_dir: Path) -> None:
    place = closed_store(root_dir, "vfs")
    orphan, precious = place.home / ("ab" * 32), root_dir / "precious"
    (orphan / "inside").mkdir(parents=True)
    precious.mkdir()
    (precious / "file").write_text("kept")
    mount(str(precious), str(orphan / "inside"), "", 4096, "")
    with LayerStore(root_dir, recover=False) as store:
        kinds = {fault.kind for fault in store.check()}
        assert kinds == {FaultKind.ORPHAN_DIRECTORY, FaultKind.ORPHAN_MOUNT}
        store.repair()
        assert store.check() == []
    assert not orphan.exists()
    assert (precious / "file").read_text() == "kept"


@OWNERS
def test_a_repair_lets_go_of_references_only_where_something_is_to_be_done(
    store: LayerStore,
) -> None:
    place = furnish(store)
    layer, web = store.get(place.base), store.get_rw_layer("web")
    path = web.mount()
    assert store.repair() == []
    assert layer.tar_stream().read(10) != b""
    ANY["evil image"][1](place)
    assert len(store.repair()) == 1
    assert layer.tar_stream().read(10) != b""
    ANY["transaction"][1](place)
    assert len(store.repair()) == 2
    with pytest.raises(StoreClosed):
        web.unmount()
    with pytest.raises(LayerNotRetained):
        store.release(layer)
    again = store.get_rw_layer("web")
    assert again.mount() == path
    assert [fault.kind for fault in store.check()] == [FaultKind.IMAGE_NAME]
    again.release()


@pytest.mark.root
def test_a_repair_that_fails_can_be_tried_again(root_dir: Path, driver_name: str) -> None:
    place = closed_store(root_dir, driver_name)
    damages(driver_name, full=True)["changed file"][1](place)
    trash = str(root_dir / "layerstore/trash")
    with LayerStore(root_dir, driver=driver_name) as store:
        mount("tmpfs", trash, "tmpfs", 0, "")  # another file system takes no renames
        try:
            with pytest.raises(DriverError):
                store.repair(force=True)
            assert place.top in store.map()
        finally:
            store.drain()  # whoever sweeps has the trash open
            umount(trash)
        store.repair(force=True)
        assert store.check(full=True) == []


def test_nothing_that_a_link_leads_to_is_touched(root_dir: Path, tmp_path: Path) -> None:
    place = closed_store(root_dir, "vfs")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    for link in (
        place.layerdb / "sha256/link",
        place.layerdb / "mounts/link",
        place.home / ("cd" * 32),
        place.config.parent / "link",
    ):
        link.symlink_to(outside)
    with LayerStore(root_dir, recover=False) as store:
        store.repair(force=True)
        assert store.check(full=True) == []
    assert (outside / "file").read_text() == "kept"


def test_the_command_says_what_it_does(
    root_dir: Path, driver_name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(root_dir)]
    place = closed_store(root_dir, driver_name)
    ANY["evil image"][1](place)
    ANY["orphan"][1](place)
    before = snapshot(root_dir)
    assert main([*root, "repair", "--dry-run"]) == 1
    planned = capfd.readouterr().out
    assert snapshot(root_dir) == before
    assert main([*root, "repair"]) == 1
    assert capfd.readouterr().out == planned
    assert len(planned.splitlines()) == 1 + planned.count("[only with --force]")
    assert main([*root, "repair", "--force", "--json"]) == 0
    (step,) = json.loads(capfd.readouterr().out)
    assert step["force"]
    assert main([*root, "repair"]) == 0
    assert main([*root, "check", "--full"]) == 0
    assert capfd.readouterr() == ("", "")


@OWNERS
def test_a_repaired_store_is_used_on(open_store: OpenStore) -> None:
    store = open_store()
    place = furnish(store)
    damages(store.driver_name, full=True)["changed file"][1](place)
    store.repair(force=True)
    base = store.get(place.base)
    with store.create_rw_layer("new", base.chain_id) as rw, rw.mounted() as path:
        assert "big" in os.listdir(path)
    assert store.check(full=True) == []
