"""Sandboxes end with the store and its process; what a killed one has left, the next removes."""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import LayerStore, MountNameConflict, StoreClosed
from layerstore.drivers.records.sandboxes import SandboxRecords
from tests.sandbox.boxes.looking import ENV, words
from tests.store.sharing.elsewhere import python
from tests.support.busybox import NAME, image_tar
from tests.support.processes import ends

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.fixture
def own_root(base_directory: Path) -> Path:
    """A root that nobody else has open, with the image."""
    root = Path(tempfile.mkdtemp(prefix="boxes-", dir=base_directory))
    with LayerStore(root, durability="relaxed", driver="overlay2", workers=0) as store:
        store.images.load(io.BytesIO(image_tar()))
    return root


def test_the_end_of_the_store_is_theirs(own_root: Path) -> None:
    with LayerStore(own_root, workers=0) as store:
        box = store.sandbox(NAME, env=ENV)
        running = box.start(["sh", "-c", "echo; sleep 60"], stdout=subprocess.PIPE)
        assert running.stdout is not None
        running.stdout.readline()
    assert running.wait().status == 137
    box.close()
    with pytest.raises(StoreClosed):
        store.sandbox(NAME)
    with LayerStore(own_root, workers=0) as store:
        assert store.mounts() == []


def test_a_commit_is_an_image_of_it(own_root: Path) -> None:
    with LayerStore(own_root, workers=0) as store, store.sandbox(NAME, env=ENV) as box:
        box.write_file("/state", b"committed")
        box.commit("state:1")
        with store.sandbox("state:1", env=ENV) as again:
            assert again.read_file("/state") == b"committed"


_HOST = """
import sys
from layerstore import LayerStore
store = LayerStore(sys.argv[1], workers=0)
box = store.sandbox(sys.argv[2], env={"PATH": "/bin"}, name="left")
box.fork(1)
box.start(["sleep", "60"])
with box._container.member() as member:
    print("open", flush=True)
    print(member.started.pid, flush=True)
sys.stdin.read()
"""


def test_what_a_host_that_was_killed_has_left_is_removed_by_the_next(own_root: Path) -> None:
    with python(_HOST, own_root, NAME) as host:
        assert host.stdout is not None
        first = int(host.stdout.readline())
    assert ends(first, 60)
    with LayerStore(own_root, workers=0) as store:
        assert "left" in {mount.name for mount in store.mounts()}
        store.images.create("kept", NAME)
        with store.sandbox(NAME, env=ENV) as box:
            assert {mount.name for mount in store.mounts()} == {"kept", box.name}


def test_a_name_that_somebody_else_has_by_then_is_left_alone(own_root: Path) -> None:
    with python(_HOST, own_root, NAME) as host:
        assert host.stdout is not None
        first = int(host.stdout.readline())
    assert ends(first, 60)
    with LayerStore(own_root, workers=0) as store:
        store.get_rw_layer("left").release()
        store.images.create("left", NAME)
        with store.sandbox(NAME, env=ENV):
            assert "left" in {mount.name for mount in store.mounts()}
            with pytest.raises(MountNameConflict):
                store.sandbox(NAME, name="left")
        assert [mount.name for mount in store.mounts()] == ["left"]


def test_hosts_that_are_alive_keep_theirs(own_root: Path) -> None:
    with (
        LayerStore(own_root, workers=0) as store,
        store.sandbox(NAME, env=ENV) as ours,
        LayerStore.attach(own_root) as attached,
        attached.sandbox(NAME, env=ENV) as theirs,
    ):
        assert words(ours, "echo ours") == ["ours"]
        assert words(theirs, "echo theirs") == ["theirs"]


def test_of_many_that_want_the_first_sandbox_all_get_one(own_root: Path) -> None:
    many = 8
    with LayerStore(own_root, workers=0) as store, ThreadPoolExecutor(many) as threads:
        together = threading.Barrier(many)

        def one(_: int) -> bytes:
            together.wait(60)
            with store.sandbox(NAME, env=ENV) as box:
                return box.exec(["echo", "here"]).stdout or b""

        assert list(threads.map(one, range(many))) == [b"here\n"] * many
        assert store.mounts() == []


def test_who_begins_while_others_look_for_what_is_left_is_not_taken_for_gone(
    tmp_path: Path,
) -> None:
    rounds, many = 40, 4
    together = threading.Barrier(many)

    def begin(number: int) -> list[list[tuple[str, str]]]:
        found = []
        for turn in range(rounds):
            together.wait(60)
            records = SandboxRecords(str(tmp_path))
            records.note(f"sandbox-{number}-{turn}")
            with records.left() as left:
                found.append(left)
            records.strike(f"sandbox-{number}-{turn}")
            records.close()
        return found

    with ThreadPoolExecutor(many) as threads:
        for found in threads.map(begin, range(many)):
            assert found == [[]] * rounds
    assert os.listdir(tmp_path / "layerstore/sandboxes") == []
