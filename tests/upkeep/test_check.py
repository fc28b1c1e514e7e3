"""Checking a store: each kind of damage is told as that and nothing else; nothing is changed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from layerstore import FaultKind, LayerStore, LayerStoreError, WorkerDied, mount_points
from layerstore.command import main
from layerstore.drivers.system.proc_children import children_of
from tests.conftest import OpenStore
from tests.support.processes import kill
from tests.support.tars import layer_tar, many_files
from tests.support.ways.marks import CALLS_BACK, pid_of
from tests.upkeep.damage import ANY, CASES, OVERLAY, Place, damages, furnish

CHEAP: dict[str, Any] = {"workers": 0, "durability": "relaxed", "trace_size": 0}
"""Options for what is done many times."""


def closed_store(root: Path, driver: str) -> Place:
    with LayerStore(root, driver=driver, **CHEAP) as store:
        place = furnish(store)
        store.drain()
    return place


def snapshot(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything beneath a root, the lock's content aside."""
    found: dict[str, tuple[object, ...]] = {}
    for directory, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = Path(directory, name)
            status = path.lstat()
            content = path.read_bytes() if path.is_file() and name != "lock" else b""
            found[str(path)] = (status.st_ino, status.st_mode, status.st_mtime_ns, content)
    return {path: facts for path, facts in found.items() if not path.endswith("layerstore/lock")}


def test_a_whole_store_is_clean_while_it_is_used(store: LayerStore) -> None:
    furnish(store, mount_points)
    assert store.check() == []
    with store.get_rw_layer("web").mounted(), store.get_rw_layer("plain").mounted():
        assert store.check() == []
        assert store.check(full=True) == []


@pytest.mark.root
def test_a_layer_that_is_shown_outside_of_the_home_is_no_fault(open_store: OpenStore) -> None:
    store = open_store(driver="vfs")
    layer = store.create_rw_layer("web", id_map="auto")
    with layer.mounted() as path:
        assert not path.startswith(f"{store.root}/vfs/")
        assert store.check() == []


def test_a_whole_store_is_clean_when_opened_without_recovery(
    root_dir: Path, driver_name: str
) -> None:
    closed_store(root_dir, driver_name)
    before = snapshot(root_dir)
    with LayerStore(root_dir, recover=False) as store:
        assert store.check(full=True) == []
    assert snapshot(root_dir) == before


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("driver", "damage", "full"), CASES)
def test_each_damage_is_told_as_one_fault(
    driver: str, damage: str, full: bool, root_dir: Path
) -> None:
    place = closed_store(root_dir, driver)
    kind, do = damages(driver, full=full)[damage]
    do(place)
    before = snapshot(root_dir)
    with LayerStore(root_dir, recover=False, **CHEAP) as store:
        if full:
            assert store.check() == []
        (fault,) = store.check(full=full)
    assert fault.kind is kind
    assert fault.path.startswith(f"{root_dir}/")
    assert fault.reason
    assert snapshot(root_dir) == before
    if damage == "mounted":
        with LayerStore(root_dir, driver=driver) as store:
            store.repair()


def test_every_kind_of_fault_has_its_damage() -> None:
    told = {kind for kind, _ in (ANY | OVERLAY | damages("overlay2", full=True)).values()}
    assert told == set(FaultKind)


def test_layers_and_mounts_of_others_are_no_faults(root_dir: Path, driver_name: str) -> None:
    place = closed_store(root_dir, driver_name)
    for name in ("x2k3j4h5g6f7d8s9a0q1w2e3r", "notes", "l2"):
        (place.home / name).mkdir()
    if driver_name == "overlay2":
        (place.home / "l" / ("B" * 26)).symlink_to("../x2k3j4h5g6f7d8s9a0q1w2e3r/diff")
        (place.home / place.base_id / "committed").unlink()
    with LayerStore(root_dir, recover=False) as store:
        assert store.check() == []


def test_what_is_being_made_is_no_fault(store: LayerStore) -> None:
    reader, writer = os.pipe()
    tar = many_files(6000)
    registered: list[object] = []
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb", buffering=0) as sink:
        thread = threading.Thread(target=lambda: registered.append(store.register(source)))
        thread.start()
        sink.write(tar[: len(tar) // 2])  # more than all pipes hold, so it is being unpacked
        begun = Path(store.root, "image", store.driver_name, "layerdb/tmp")
        assert len(os.listdir(begun)) == 1
        assert store.check() == []
        sink.write(tar[len(tar) // 2 :])
        sink.close()
        thread.join()
    assert len(registered) == 1


@CALLS_BACK
def test_an_init_function_may_run_during_a_check(store: LayerStore) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def init(_path: str) -> None:
        inside.set()
        assert go_on.wait(60)

    base = store.register(layer_tar({"a": b"1"}))
    thread = threading.Thread(target=lambda: store.create_rw_layer("web", base.chain_id, init=init))
    thread.start()
    assert inside.wait(60)
    assert store.check() == []
    go_on.set()
    thread.join()


def test_a_check_finds_nothing_while_others_make_and_remove(open_store: OpenStore) -> None:
    store = open_store(durability="relaxed")
    base = store.register(layer_tar({"a": b"1"}))
    stop = threading.Event()
    failures: list[LayerStoreError] = []

    def churn(number: int) -> None:
        try:
            while not stop.is_set():
                with store.create_rw_layer(f"rw-{number}", base.chain_id) as rw, rw.mounted():
                    pass
                tar = layer_tar({"b": os.urandom(10)})
                store.register(io.BytesIO(tar), base.chain_id).release()
        except LayerStoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    found = [store.check(full=number % 4 == 0) for number in range(12)]
    stop.set()
    for thread in threads:
        thread.join()
    assert found == [[]] * 12
    assert failures == []


def test_a_full_check_removes_no_layer_that_nobody_retains(open_store: OpenStore) -> None:
    store = open_store()
    layer = store.register(layer_tar({"a": b"1"}))
    store.close()
    store = open_store()
    assert store.check(full=True) == []
    assert list(store.map()) == [layer.chain_id]


def test_a_full_check_tells_how_far_it_is(store: LayerStore) -> None:
    furnish(store, mount_points)
    told: list[tuple[str, int, int]] = []
    store.check(full=True, progress=lambda *facts: told.append(facts))
    assert len(told) == 2
    assert told[-1][1] == told[-1][2] == sum(layer.diff_size for layer in store.map().values())


def test_the_command_prints_a_line_for_each_fault(
    root_dir: Path, driver_name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(root_dir)]
    place = closed_store(root_dir, driver_name)
    assert main([*root, "check", "--full"]) == 0
    assert capfd.readouterr() == ("", "")
    for damage in ("evil layer", "evil mount", "transaction"):
        ANY[damage][1](place)
    assert main([*root, "check"]) == 1
    out, err = capfd.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 3
    assert "evil\\n\\x1b[31mname" in out
    assert main([*root, "check", "--json"]) == 1
    kinds = [fault["kind"] for fault in json.loads(capfd.readouterr().out)]
    assert sorted(kinds) == ["layer-name", "mount-name", "transaction"]


def test_a_root_that_is_not_there_is_an_error(
    root_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(root_dir / "nothing"), "check"]) == 1
    assert "nothing" in capfd.readouterr().err
    assert not (root_dir / "nothing").exists()


def test_a_child_that_dies_is_told(open_store: OpenStore) -> None:
    store = open_store(workers=1)
    furnish(store, mount_points)
    with ThreadPoolExecutor(1) as thread:
        checking = thread.submit(store.check, full=True)
        while not checking.done():
            for pid in children_of(pid_of(store)):
                with contextlib.suppress(ProcessLookupError):
                    kill(pid)
    assert isinstance(checking.exception(), WorkerDied)
    assert store.check() == []
