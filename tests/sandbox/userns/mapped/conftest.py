"""A line of shell in a layer that has users of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from layerstore import Finished, LayerStore, RWLayer, mount_points, run
from tests.sandbox.conftest import Runs
from tests.support.busybox import NAME


@pytest.fixture
def box(store: LayerStore) -> Iterator[RWLayer]:
    with store.images.create("box", NAME, init=mount_points, id_map="auto") as layer:
        yield layer


@pytest.fixture
def first(box: RWLayer) -> int:
    """The user outside that root in the box is."""
    return int(box.id_map.split(":")[1])


@pytest.fixture
def sh(box: RWLayer) -> Runs:
    """A function that runs a line of shell in the box."""

    def run_it(line: str, **options: object) -> Finished:
        options.setdefault("env", {"PATH": "/bin"})
        options.setdefault("time_limit", 60)
        return run(box, ["sh", "-c", line], capture=True, **options)  # type: ignore[arg-type]

    return run_it
