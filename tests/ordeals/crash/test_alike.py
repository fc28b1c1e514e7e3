"""Which of a scenario's calls are tried where not all are."""

from __future__ import annotations

from tests.ordeals.crash.rig.alike import Alike, Call, worth_a_try
from tests.ordeals.crash.rig.seam import Event


def calls(*requests: str) -> list[Call]:
    """Make a recording: of each request its calls, a letter for those that are alike."""
    found: list[Call] = []
    for request, kinds in enumerate(requests, 1):
        for kind in kinds:
            number = len(found) + 1
            event = Event(number, kind, done=True, a=0, b=0, path="", other="", data=b"")
            found.append(Call(number, request, Alike(kinds[0], kind, "", ""), event))
    return found


def tried(mine: list[Call], *others: list[Call]) -> list[tuple[int, str]]:
    return [(call.number, call.alike.kind) for call in worth_a_try(mine, others)]


def test_of_calls_that_are_alike_the_first_or_the_last_is_tried_by_turns() -> None:
    assert tried(calls("abbbba")) == [(1, "a"), (5, "b")]
    assert tried(calls("ab", "cb")) == [(1, "a"), (2, "b"), (3, "c"), (4, "b")]


def test_what_two_scenarios_begin_with_is_tried_in_one() -> None:
    mine = calls("oab", "rcc", "xd")
    assert tried(mine, calls("oba"), calls("oab", "rc", "y")) == [(7, "x"), (8, "d")]
    assert tried(mine, calls("oabe", "rcc", "xd")) == tried(mine), "it begins otherwise"
    assert tried(mine, mine) == []
