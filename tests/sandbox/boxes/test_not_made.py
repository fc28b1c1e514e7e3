"""A sandbox whose container can't be made says why, to all who want something run in it."""

from __future__ import annotations

import pytest

from layerstore import DriverError, LayerStore, NotRunning, Volume
from tests.support.busybox import NAME

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.fixture(scope="module", autouse=True)
def warmed(store: LayerStore) -> None:
    """The store has the process that forks for its sandboxes, as long as it is open."""
    store.sandbox(NAME).close()


def test_why_a_container_could_not_be_made_is_told(store: LayerStore) -> None:
    volumes = [Volume(source="/none-there", target="/data")]
    with store.sandbox(NAME, volumes=volumes) as box:
        for _ in range(2):
            with pytest.raises(
                DriverError, match=r"show /none-there: No such file .*\(a volume's source"
            ):
                box.exec(["true"])
    assert store.mounts() == []


def test_one_that_has_ended_by_itself_is_not_running(store: LayerStore) -> None:
    with store.sandbox(NAME, time_limit=0.2) as box:
        assert box.exec(["sleep", "60"]).status == 137
        for _ in range(2):
            with pytest.raises(NotRunning):
                box.exec(["true"])
