"""The power goes at any call: what had been answered is there, of the rest all or nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.ordeals.crash.rig import power, seam
from tests.ordeals.crash.rig.harness import AT_LEAST, Case, Harness, Try, spread
from tests.support.figures import Tell
from tests.support.homes import OVERLAYS
from tests.support.options import Points

CASES = [
    Case(scenario, driver, durability="durable")
    for driver in (*OVERLAYS, "vfs")
    for scenario in ("layers", "mounts", "images", "reopening", "repairing", "forcing", "together")
    if driver != "fuse-overlayfs" or scenario in ("layers", "mounts")  # only mounts are its own
] + [
    *(Case("forks", driver, durability="durable") for driver in ("overlay2", "vfs")),
    *(Case(scenario, "btrfs", durability="durable") for scenario in ("layers", "forks")),
]
ADVERSARIES = {
    "nothing that was not synced": power.nothing,
    "names without content": power.names_only,
    "a part of it": power.by_chance(1),
    "another part of it": power.by_chance(2),
}


def _recorded(attempt: Try) -> tuple[power.Recording, int, str]:
    outcome = attempt.run(seam.Plan(), log=True)
    assert outcome.status == 0, outcome.told
    recording = power.Recording(attempt.root, seam.events(attempt.log))
    return recording, attempt.seen().count, Path(attempt.answers).read_text()


@pytest.mark.root
@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_power_loss_before_any_call_leaves_what_was_answered(
    case: Case, harness: Harness, points: Points, tell: Tell
) -> None:
    recording, count, answers = harness.attempt(case, _recorded)
    names = list(ADVERSARIES)
    existing = [(number, name) for number in range(2, count + 2) for name in names]
    order = [existing[place - 1] for place in spread(len(existing))]

    def lost(attempt: Try, point: tuple[int, str]) -> str:
        before, name = point
        Path(attempt.answers).write_text(answers)
        root = attempt.directory / "disk"
        power.write_out(recording.left(before, ADVERSARIES[name]), root)
        after = attempt.verify_power_loss(str(root), before)
        return f"before call {before}, left {name}: {after.told}" if after.status else ""

    seconds = {"few": 0.5, "many": 2.0, "all": math.inf}[points]
    tried = harness.each(case, order, lost, seconds, AT_LEAST[points])
    tell(f"{case}: power lost at {tried} of {len(existing)} points")
    assert tried >= AT_LEAST[points]
