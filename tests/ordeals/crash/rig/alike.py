"""Which calls of a scenario are tried where not all are: those that show what no other has shown.

Owns what makes calls alike: they are of one kind, at one place, during requests of one name. Names
that are made up are one place, and so is all that lies in a layer, where a file more is one more
turn of the same loop. Of those that are alike the first or the last is tried; and what two
scenarios begin with in the same way, an open of an empty root above all, is tried in one of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from tests.ordeals.crash.rig import seam
from tests.ordeals.crash.rig.harness import Try

_MADE_UP = re.compile(r"(?<=#)[0-9a-f]+|[0-9a-f]{16,}|(?<=/l/)[A-Z0-9]{26}|(?<=-)\w{8}(?=/|$)")
_IN_A_LAYER = re.compile(r"((?:/diff|/(?:dir|subvolumes)/[^/]+|/trash/[^/]+)/).+")


class Alike(NamedTuple):
    """What calls have in common."""

    during: str
    kind: str
    place: str
    other: str


class Call(NamedTuple):
    """One call of a recorded run."""

    number: int
    request: int
    """During which request of the scenario's, counted."""
    alike: Alike
    event: seam.Event


def recorded(reach: int) -> Callable[[Try], list[Call]]:
    """Return what records an undisturbed run."""

    def record(attempt: Try) -> list[Call]:
        outcome = attempt.run(seam.Plan(reach=reach), log=True)
        assert outcome.status == 0, outcome.told
        begun = list(_requests(attempt))
        counted: dict[int, Call] = {}
        for event in seam.events(attempt.log):
            if event.number in counted or not event.number:
                continue  # what was done to the disk by hand has the number of the call before
            request = sum(at < event.number for at, _ in begun)
            name = begun[request - 1][1] if request else ""
            places = (_place(path, attempt) for path in (event.path, event.other))
            alike = Alike(name, event.kind, *places)
            counted[event.number] = Call(event.number, request, alike, event)
        return [counted[number] for number in sorted(counted)]

    return record


def _requests(attempt: Try) -> Iterator[tuple[int, str]]:
    """Give how many calls came before each request, and its name."""
    with open(attempt.answers, encoding="utf-8") as file:
        for entry in map(json.loads, file):
            if "begin" in entry:
                yield entry["at"], entry["begin"]


def _place(path: str, attempt: Try) -> str:
    inside = path.replace(attempt.root, "", 1).replace(f"/{attempt.case.driver}", "/driver", 1)
    return _IN_A_LAYER.sub(r"\1*", _MADE_UP.sub("*", inside))


def hit(attempt: Try) -> tuple[str, str]:
    """Return the kind and the place of the call that a plan was for, as Alike has them."""
    seen = attempt.seen()
    return seen.kind, _place(seen.path, attempt)


def worth_a_try(calls: Sequence[Call], others: Iterable[Sequence[Call]]) -> list[Call]:
    """Return the calls to try, where the other scenarios are tried as well: one of each kind.

    By turns that is the first and the last one.
    """
    begun = max((_common(calls, other) for other in others), default=0)
    own = [call for call in calls if call.request > begun]
    first = {call.alike: call for call in reversed(own)}
    last = {call.alike: call for call in own}
    chosen = [(first, last)[turn % 2][alike] for turn, alike in enumerate(last)]
    return sorted(chosen, key=lambda call: call.number)


def not_shown_by(others: Sequence[Call], calls: Sequence[Call]) -> list[Call]:
    """Return the calls that are like none of others."""
    shown = {call.alike for call in others}
    return [call for call in calls if call.alike not in shown]


def _common(calls: Sequence[Call], others: Sequence[Call]) -> int:
    """How many requests two scenarios begin with that make calls of the same kinds."""
    common = 0
    for mine, others_ in zip(_kinds(calls), _kinds(others), strict=False):
        if mine != others_:
            break
        common = mine[0]
    return common


def _kinds(calls: Sequence[Call]) -> Iterator[tuple[int, set[Alike]]]:
    for request, some in groupby(calls, lambda call: call.request):
        yield request, {call.alike for call in some}
