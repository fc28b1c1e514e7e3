"""What a kill left, opened by a real dockerd, and by a store after it."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from layerstore import LayerStore
from tests.docker.api import Docker
from tests.docker.root import DockerRoot, control_groups, need_dockerd
from tests.ordeals.crash.rig import seam
from tests.ordeals.crash.rig.harness import Case, Harness, Try
from tests.ordeals.crash.rig.repair_scenarios import REPAIRS
from tests.ordeals.crash.rig.scenarios import SCENARIOS
from tests.ordeals.crash.rig.state import State, listed, read_answers
from tests.support.figures import Tell
from tests.support.options import Points

pytestmark = [pytest.mark.root, pytest.mark.thorough, pytest.mark.timeout(600)]
CASES = [
    Case(scenario, driver) for driver in ("overlay2", "vfs") for scenario in SCENARIOS | REPAIRS
]
STARTS = 5
"""Of dockerd for each case, where all points are wanted."""


@pytest.fixture(autouse=True)
def groups(request: pytest.FixtureRequest, base_directory: Path) -> Iterator[None]:
    need_dockerd(request, base_directory)
    with control_groups():
        yield


@pytest.mark.parametrize("case", CASES, ids=str)
def test_dockerd_opens_what_a_kill_left(
    case: Case, harness: Harness, points: Points, tell: Tell
) -> None:
    existing = harness.count(case)
    chance = random.Random(str(case))  # noqa: S311
    some = range(existing // 4, existing + 1)
    numbers = chance.sample(some, STARTS if points == "all" else 1)
    for number in numbers:
        harness.attempt(case, partial(_killed, number))
    tell(f"{case}: killed at {numbers} of {existing} points and opened by dockerd")


def _killed(number: int, attempt: Try) -> None:
    outcome = attempt.run(seam.Plan(seam.Mode.KILL, number))
    assert outcome.status == -9, outcome.told
    root = DockerRoot(attempt.directory, attempt.case.driver)
    os.rename(attempt.root, root.data)
    allowed = read_answers(attempt.answers).allowed
    damaged = any(state.damaged for state in allowed)
    with root.docker() as docker:
        allowed = _that_fit(allowed, docker)
        if not damaged:
            _check_content(docker)
    with LayerStore(root.data, driver=attempt.case.driver, workers=0) as store:
        found = listed(store)
        objections = [state.objection(found, mounts_survive=False) for state in allowed]
        assert not all(objections), objections
        if damaged:
            store.repair(force=any(state.damaged == "force" for state in allowed))
        store.drain()
        assert store.check(full=True) == []


def _that_fit(allowed: list[State], docker: Docker) -> list[State]:
    """Return the states whose images dockerd lists."""
    images = docker.images()
    names = {name: image for image, given in images.items() for name in given}
    objections = [
        state.objection(replace(state, images=frozenset(images), names=names), mounts_survive=False)
        for state in allowed
    ]
    assert not all(objections), objections
    assert docker.containers() == {}
    return [state for state, objection in zip(allowed, objections, strict=True) if not objection]


def _check_content(docker: Docker) -> None:
    named = [next(iter(names)) for names in docker.images().values() if names]
    for diff_id, tar in (docker.saved_layers(*named) if named else {}).items():
        assert f"sha256:{hashlib.sha256(tar).hexdigest()}" == diff_id
