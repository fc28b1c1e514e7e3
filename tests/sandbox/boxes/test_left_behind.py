"""What a command has started and left behind: it holds nobody up, and is killed with it in time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from layerstore import LayerStore, Sandbox
from tests.support.busybox import NAME

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.fixture(scope="module", autouse=True)
def warmed(store: LayerStore) -> None:
    """The store has the process that forks for its sandboxes, as long as it is open."""
    store.sandbox(NAME).close()


@pytest.fixture
def box(store: LayerStore) -> Iterator[Sandbox]:
    with store.sandbox(NAME, env={"PATH": "/bin"}) as made:
        yield made


def running(box: Sandbox) -> bytes:
    return box.exec(["ps"]).stdout or b""


def test_what_is_killed_in_time_takes_what_it_started_with_it(box: Sandbox) -> None:
    begun = time.monotonic()
    done = box.exec(["sh", "-c", "echo begun; sleep 60 & sleep 61; echo never"], time_limit=0.3)
    assert time.monotonic() - begun < 2
    assert (done.timed_out, done.stdout) == (True, b"begun\n")
    assert b"sleep" not in running(box)


@pytest.mark.thorough
def test_what_goes_on_holds_up_nobody_who_waits_for_output(box: Sandbox) -> None:
    begun = time.monotonic()
    done = box.exec(["sh", "-c", "sleep 60 & echo begun"])
    assert time.monotonic() - begun < 30
    assert (done.status, done.stdout) == (0, b"begun\n")
    assert b"sleep" in running(box)
