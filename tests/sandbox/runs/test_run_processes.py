"""The processes of a command: who waits for whom, and that none outlives whoever started it."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from layerstore import RWLayer, WorkerDied
from layerstore.drivers.system.mountinfo import mount_points as mounts
from layerstore.drivers.system.proc_children import children_of
from tests.sandbox.conftest import piped
from tests.support.processes import ends, kill

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.mark.parametrize("init", [True, False])
def test_only_a_first_process_of_ours_reaps_orphans(rw: RWLayer, init: bool) -> None:
    script = "(sleep 0.2 & exec true); echo ready; exec sleep 60"
    with rw.mounted() as path, piped(path, script, init=init) as running:
        assert running.stdout is not None
        running.stdout.readline()
        (first,) = children_of(running.pid)
        # The command is the first process itself, or the one child that stays.
        wanted = ["S"] if init else ["Z"]
        deadline = time.monotonic() + 60
        while [_state_of(pid) for pid in children_of(first)] != wanted:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if init:
            running.send_signal(signal.SIGTERM)
            assert running.wait().status == 143


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def test_waiting_has_a_timeout_and_goes_on(rw: RWLayer) -> None:
    script = "until [ -e /go ]; do sleep 0.01; done; exit 4"
    with rw.mounted() as path, piped(path, script) as running:
        with pytest.raises(TimeoutError):
            running.wait(0.01)
        Path(path, "go").touch()
        assert running.wait().status == 4


def test_nothing_outlives_the_block(rw: RWLayer) -> None:
    with rw.mounted() as path, piped(path, "echo ready; sleep 60 & exec sleep 60") as running:
        assert running.stdout is not None
        running.stdout.readline()
        (first,) = children_of(running.pid)
    assert ends(first, 60)
    assert not [point for point in mounts() if f"{point.path}/".startswith(f"{path}/")]


def test_the_command_ends_with_the_process_beside_it(rw: RWLayer) -> None:
    with rw.mounted() as path, piped(path, "echo ready; exec sleep 60") as running:
        assert running.stdout is not None
        running.stdout.readline()
        (first,) = children_of(running.pid)
        kill(running.pid)
        with pytest.raises(WorkerDied, match="killed by SIGKILL"):
            running.wait()
        assert ends(first, 60)


def test_a_thread_that_started_a_command_may_end(rw: RWLayer) -> None:
    found = []
    with rw.mounted() as path:
        thread = threading.Thread(target=lambda: found.append(piped(path, "sleep 0.3; exit 5")))
        thread.start()
        thread.join()
        assert found[0].wait().status == 5
