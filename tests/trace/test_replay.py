"""Replay: a fresh store answers the recorded requests as the recorded one did, or it is told."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from layerstore import (
    AmbiguousName,
    CallerError,
    LayerStore,
    LayerStoreError,
    MountDoesNotExist,
    MountNameConflict,
)
from layerstore.actors.messages import FindTwin, Message
from layerstore.command import main
from layerstore.command.tracing.requests import RequestMaker
from layerstore.drivers.records.journal_format import Row
from layerstore.drivers.records.journal_read import read_sessions
from tests.support.archives import NAME, as_tar, docker_archive
from tests.support.tars import layer_tar
from tests.trace.traces import record_everything, write_rows

Replay = Callable[..., list[str]]


@pytest.fixture
def replay(root_dir: Path, capfd: pytest.CaptureFixture[str]) -> Replay:
    """A function that replays a journal in a fresh store and returns the lines it prints."""
    numbers = itertools.count(1)

    def run(journal: Path, *, status: int = 0) -> list[str]:
        new = root_dir / f"replayed-{next(numbers)}"
        found = main(["trace", str(journal), "replay", "--root", str(new), "--timeout", "10"])
        out, err = capfd.readouterr()
        assert (found, err) == (status, ""), out
        return out.splitlines()

    return run


def traced(place: Path, **options: Any) -> LayerStore:
    options.setdefault("workers", 1)
    return LayerStore(place / "store", driver="vfs", durability="relaxed", **options)


def test_everything_is_answered_again_as_it_was(
    root_dir: Path, driver_name: str, replay: Replay
) -> None:
    journal = record_everything(root_dir, driver_name)
    (summary,) = replay(journal)
    assert re.fullmatch(r"\d\d requests replayed in .*, 0 with another outcome", summary)
    with LayerStore(root_dir / "replayed-1") as store:
        assert store.driver_name == driver_name
        assert len(store.map()) == 1
        assert store.mounts() == []


def test_different_layers_have_different_stand_ins_and_equal_ones_the_same(
    root_dir: Path, replay: Replay
) -> None:
    with traced(root_dir, trace_file=root_dir / "trace") as store:
        first = store.register(layer_tar({"a": b"secret"}))
        store.register(layer_tar({"a": b"secret"}))
        store.register(layer_tar({"b": b"other"}), first.chain_id)
    replay(root_dir / "trace")
    with LayerStore(root_dir / "replayed-1") as store:
        layers = store.map()
        assert sorted(layer.depth for layer in layers.values()) == [1, 2]
        assert first.chain_id not in layers


def test_images_are_loaded_named_and_removed_again(root_dir: Path, replay: Replay) -> None:
    archive = root_dir / "image.tar"
    archive.write_bytes(as_tar(docker_archive([layer_tar({"a": b"1"}), layer_tar({"b": b"2"})])))
    with traced(root_dir, trace_file=root_dir / "trace") as store:
        (image,) = store.images.load(archive)
        store.images.load(archive)
        store.images.tag(image.id[:20], "other:1")
        store.images.config(NAME)
        rw = store.images.create("web", NAME)
        store.images.commit(rw, "made:1")
        rw.release()
        store.images.remove(NAME)
        store.images.remove("made:1")
    (summary,) = replay(root_dir / "trace")
    assert summary.endswith("0 with another outcome")
    with LayerStore(root_dir / "replayed-1") as store:
        (left,) = store.images.list()
        assert [name.rpartition("/")[2] for name in left.names] == ["other:1"]
        assert len(left.layers) == 2


def test_what_is_found_by_the_start_of_its_id_is_found_again(
    root_dir: Path, replay: Replay
) -> None:
    with traced(root_dir, trace_file=root_dir / "trace") as store:
        layers = [store.register(layer_tar({"n": str(n).encode()})) for n in range(17)]
        rw = store.create_rw_layer("web", layers[0].chain_id)
        assert store.find_layer(layers[0].chain_id[7:39]).depth == 1
        assert store.find_rw_layer(rw.mount_id[:32]).name == "web"
        assert (store.count_layers(), store.count_rw_layers(), store.images.count()) == (17, 1, 0)
        core = store.core
        core.call(core.actors.layers, FindTwin(diff_id=layers[0].diff_id))
        rw.release()
        with pytest.raises(MountDoesNotExist):
            store.find_rw_layer(rw.mount_id)
        ambiguous = Counter(layer.chain_id[7:8] for layer in layers).most_common(1)[0][0]
        with pytest.raises(AmbiguousName):
            store.find_layer(ambiguous)
    *lines, summary = replay(root_dir / "trace")
    assert summary.endswith("0 with another outcome")
    assert len(lines) == 1
    assert "IDs begin otherwise in another store" in lines[0]


def test_what_was_there_before_is_forked_and_reset(root_dir: Path, replay: Replay) -> None:
    with traced(root_dir) as store:
        store.create_rw_layer("web")
    with traced(root_dir, trace_file=root_dir / "trace") as store:
        rw = store.get_rw_layer("web")
        rw.fork("one").reset()
        with pytest.raises(MountNameConflict):
            rw.fork("one")
    *lines, summary = replay(root_dir / "trace")
    assert summary.endswith("0 with another outcome")
    assert len(lines) == 1
    with LayerStore(root_dir / "replayed-1") as store:
        assert [mount.name for mount in store.mounts()] == ["one", "web"]


def test_failures_are_made_to_fail_again(root_dir: Path, replay: Replay) -> None:
    def fail(_path: str) -> None:
        raise ValueError

    with traced(root_dir, trace_file=root_dir / "trace") as store:
        failing: list[Callable[[], object]] = [
            lambda: store.register(b"no tar" * 200),
            lambda: store.register(layer_tar({"a": b""}), expected_diff_id="sha256:" + "1" * 64),
            lambda: store.create_rw_layer("web", init=fail),
            lambda: store.create_rw_layer("../web"),
            lambda: store.create_rw_layer("web", "sha256:" + "2" * 64),
            lambda: store.get("sha256:" + "3" * 64),
            lambda: store.get_rw_layer("none"),
            lambda: store.images.get("none"),
        ]
        for call in failing:
            with pytest.raises(LayerStoreError):
                call()
        store.create_rw_layer("web", init=lambda _: None)
        with pytest.raises(MountNameConflict):
            store.create_rw_layer("web")
    rows = read_sessions(str(root_dir / "trace"))[0].rows
    assert {CallerError.__name__, "IntegrityError", "InvalidTar"} <= {row[10] for row in rows}
    (summary,) = replay(root_dir / "trace")
    assert summary.endswith("0 with another outcome")


def test_what_was_there_before_is_stood_for_and_told(root_dir: Path, replay: Replay) -> None:
    with traced(root_dir) as store:
        base = store.register(layer_tar({"a": b"1"}))
        held = store.create_rw_layer("held", base.chain_id)
        store.create_rw_layer("loose")
        store.trace_to(root_dir / "trace")
        store.get(base.chain_id).release()
        store.create_rw_layer("new", base.chain_id)
        held.mount()
        held.unmount()
        held.release()
        with pytest.raises(MountNameConflict):
            store.create_rw_layer("loose")
        store.get_rw_layer("loose").release()
        base.release()
    lines = replay(root_dir / "trace")
    assert lines[0] == f"layer {base.chain_id} was there before: a small one stands for it"
    assert set(lines[1:-1]) == {
        "read-write layer held was there before: an empty one stands for it",
        "read-write layer loose was there before: an empty one stands for it",
    }
    assert lines[-1].endswith("0 with another outcome")


def test_a_repair_in_the_middle_reopens_the_store(root_dir: Path, replay: Replay) -> None:
    with traced(root_dir, trace_file=root_dir / "trace") as store:
        store.create_rw_layer("web")
        os.mkdir(root_dir / f"store/vfs/dir/{'0' * 64}")
        assert store.repair()
        store.get_rw_layer("web").release()
    lines = replay(root_dir / "trace")
    assert "the store is closed and opened again, as a repair does" in lines
    assert [line for line in lines if line.startswith("not replayed: ")]
    assert lines[-1].endswith("0 with another outcome")


def test_another_outcome_is_told_and_is_the_exit_status(
    root_dir: Path, tmp_path: Path, replay: Replay
) -> None:
    with traced(root_dir, trace_file=root_dir / "trace") as store:
        store.create_rw_layer("web").release()
    rows = []
    for row in read_sessions(str(root_dir / "trace"))[0].rows:
        is_answer = (row[5], row[6]) == ("Answer", "ReleaseRWLayer")
        rows.append((*row[:10], "DriverError", row[11]) if is_answer else row)
    changed = write_rows(tmp_path / "changed", iter(rows))
    release = next(row for row in rows if row[5] == "ReleaseRWLayer")
    out = replay_with_driver(changed, root_dir / "new")
    assert f"request {release[0]} ReleaseRWLayer web: was DriverError, is now ok" in out
    replay(root_dir / "trace")


def replay_with_driver(journal: Path, root: Path) -> str:
    command = [sys.executable, "-m", "layerstore.command", "--driver", "vfs", "trace"]
    done = subprocess.run(
        [*command, str(journal), "replay", "--root", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    return done.stdout


def test_requests_that_overlapped_are_sent_before_the_first_is_answered(
    root_dir: Path, replay: Replay
) -> None:
    with (
        traced(root_dir, trace_file=root_dir / "trace", workers=2) as store,
        ThreadPoolExecutor(8) as threads,
    ):
        made = list(threads.map(lambda n: store.create_rw_layer(f"w{n}"), range(50)))
        list(threads.map(lambda layer: layer.release(), made))
    (summary,) = replay(root_dir / "trace")
    assert summary.startswith("100 requests replayed")


def test_hostile_requests_are_refused_as_any_callers(
    root_dir: Path, tmp_path: Path, replay: Replay
) -> None:
    facts: list[dict[str, Any]] = [
        {},
        {"reference": "1"},
        {"reference": 1, "name": "../../escaped", "parent": None, "mount_label": "",
         "storage_opt": {}, "init": True},
        {"reference": 1, "name": "x", "parent": "../../../etc", "mount_label": "",
         "storage_opt": {}, "init": False},
        {"reference": 2**63, "name": "\x1b[31m", "parent": None, "mount_label": "",
         "storage_opt": {}, "init": False},
    ]  # fmt: skip
    rows: list[Row] = []
    for number, given in enumerate(facts, 1):
        row = (number, 0, number, "caller", "mounts", "CreateRWLayer", "\x1b[31m", number, number)
        rows.append((*row, number, "ok", given))
    for number, kind in enumerate(("Register", "GetLayer", "WorkOnMount", "AddImage", "Odd"), 10):
        row = (number, 0, number, "caller", "../odd", kind, "", number, number)
        rows.append((*row, number, "ok", {"reference": 1, "diff_ids": []}))
    journal = write_rows(tmp_path / "hostile", iter(rows))
    out = replay_with_driver(journal, root_dir / "new")
    assert "\x1b" not in out
    assert "was ok, is now InvalidName" in out
    assert not list(root_dir.rglob("escaped"))


def test_an_image_is_added_again_though_nothing_was_recorded_of_its_annotations(
    root_dir: Path, tmp_path: Path
) -> None:
    """As in journals of earlier versions."""
    facts: dict[str, Any] = {
             "names": {"app:1": "app"}, "parent": None, "image_id": "sha256:" + "0" * 64,
             "diff_ids": []}  # fmt: skip
    row = (1, 0, 1, "caller", "images", "AddImage", "", 1, 1, 1, "ok", facts)
    journal = write_rows(tmp_path / "old", iter([row]))
    root = root_dir / "new"
    assert main(["--driver", "vfs", "trace", str(journal), "replay", "--root", str(root)]) == 0
    with LayerStore(root, driver="vfs") as store:
        assert store.images.get("app:1").annotations == ()


def test_a_replay_wants_an_empty_place(root_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal = record_everything(root_dir)
    assert main(["trace", str(journal), "replay", "--root", str(root_dir)]) == 1
    assert "it must be empty or missing" in capfd.readouterr().err
    assert main(["trace", str(journal), "replay"]) == 1
    assert "--root NEW" in capfd.readouterr().err


def kinds_of(root: type[Message]) -> Iterator[type[Message]]:
    for cls in root.__subclasses__():
        yield cls
        yield from kinds_of(cls)


def test_every_public_request_is_either_replayable_or_the_stores_own() -> None:
    public = {cls.__name__ for cls in kinds_of(Message) if cls.public}
    not_replayed = {"CloseBooks", "UnmountAll", "CutOff", "PoolStatus"}
    not_replayed |= {"Underway", "CheckDisk", "Restore"}
    played = {kind for kind in public if RequestMaker([], {}).plays(kind)}
    assert public - not_replayed == played
