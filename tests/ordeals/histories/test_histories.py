"""Random histories of everything that a store can do, beside a model in plain dictionaries.

After every step the store's layers with their references, its read-write layers and its images are
the model's; the contents of mounts, streams and archives are compared by steps of their own. Run
more with `--history-steps=100000`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.ordeals.histories.faults import Histories
from tests.support.figures import Tell
from tests.support.homes import OVERLAYS
from tests.support.options import AmountOf

_STEPS_PER_HISTORY = 80
_DRIVERS = (*OVERLAYS, "vfs")

pytestmark = [pytest.mark.root, pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def place(make_file_system: Callable[[str, int], Path]) -> Path:
    return make_file_system("tmpfs", 4096)


@pytest.mark.parametrize("driver", _DRIVERS)
def test_the_store_does_what_its_model_does(
    driver: str, place: Path, amount: AmountOf, tell: Tell
) -> None:
    wanted = amount("--history-steps") // len(_DRIVERS)
    fields = {"place": place, "driver": driver, "steps": 0}
    machine: type[Histories] = type("History", (Histories,), fields)
    while machine.steps < wanted:
        before = machine.steps
        if settings().derandomize:
            seed(before)(machine)  # or each pass would begin like the first
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=max((wanted - before) // _STEPS_PER_HISTORY, 1),
                stateful_step_count=_STEPS_PER_HISTORY,
                database=None,
            ),
        )
        assert machine.steps > before
    tell(f"{machine.steps} steps of random histories on {driver}")
    assert machine.steps >= wanted
