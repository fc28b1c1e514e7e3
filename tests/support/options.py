"""How much is tried: every behaviour once, or (`--thorough`) by number, by chance and everywhere.

Owns the options for it, what they are by default, and which tests of a kind are left out when not
all of them are wanted. Left out are those marked `thorough`, and all but one of a test's variants
that differ only by the graph driver (and by confinement), unless they are marked `each_driver`;
which one stays differs from test to test, and is the same in every run. Of what is marked
`sampled(n)` about one in n is tried. Of variants marked `seldom(n)`, which mostly do what others
do, about one in n is tried everywhere; of those marked `any_driver`, which hardly depend on that,
the one that differs from test to test; `--all-drivers` tries them all.

`--rest` is for after a run without any of these options: it has what that left out, and again those
that try more now, which are those that take `amount` or `points` and hypothesis's. So nothing else
may depend on how much is wanted but these, and `durability`, which `--durable` settles.
"""

from __future__ import annotations

import os
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Literal, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from layerstore.drivers.graph.builtin import PREFERENCE

Points = Literal["few", "many", "all"]
AmountOf = Callable[[str], int]
_DRIVERS = "|".join(map(re.escape, sorted(PREFERENCE, key=len, reverse=True)))
_VARIANT = re.compile(rf"({_DRIVERS})(-confined|-free)?(?![\w.])")


class Amount(NamedTuple):
    """How many there are of something."""

    by_default: int
    thorough: int
    what: str


AMOUNTS = {
    "--docker-rounds": Amount(2, 6, "turns of dockerd and layerstore on one root"),
    "--dying-rounds": Amount(1, 2, "rounds in which parts die at random under load"),
    "--examples": Amount(30, 300, "tars that each property is tried on"),
    "--history-rounds": Amount(2, 10, "concurrent histories of each kind"),
    "--history-steps": Amount(320, 2_000, "steps of random histories, all in all"),
    "--hostile-entries": Amount(5_000, 200_000, "entries of a layer with very many"),
    "--joins": Amount(3, 40, "commands that join a container which looks for them"),
    "--killed-runs": Amount(1, 6, "runs of the example supervisor that are killed"),
    "--leak-cycles": Amount(50, 1_000, "cycles after which nothing may have grown"),
    "--supervised-jobs": Amount(30, 200, "jobs of the example supervisor"),
    "--stress-rounds": Amount(1, 8, "rounds of the stress test"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("layerstore's own tests")
    group.addoption(
        "--thorough", action="store_true", help="all that there is: a quarter of an hour"
    )
    group.addoption(
        "--rest",
        action="store_true",
        help="what --thorough adds to a run without it, as CI does after that",
    )
    group.addoption(
        "--durable", action="store_true", help="wait for the disk, as stores do by default"
    )
    group.addoption(
        "--all-points",
        action="store_true",
        help="kill and fail calls at every point, however long that takes",
    )
    group.addoption(
        "--all-drivers", action="store_true", help="try what is seldom tried with a graph driver"
    )
    group.addoption("--docker-seed", type=int, default=1, help="seed of the turns with dockerd")
    group.addoption(
        "--fuzz-seconds", type=int, default=10, help="seconds for which each target is fuzzed"
    )
    for name, amount in AMOUNTS.items():
        group.addoption(
            name,
            type=int,
            metavar="N",
            help=f"{amount.what} ({amount.by_default}; thorough: {amount.thorough})",
        )


def pytest_configure(config: pytest.Config) -> None:
    # What a change is judged by should not hang on luck; elsewhere every run looks at others.
    settings.register_profile(
        "examples",
        max_examples=amount_of(config, "--examples"),
        derandomize="CI" in os.environ,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("examples")


def is_thorough(config: pytest.Config) -> bool:
    """Whether everything is wanted."""
    return any(config.getoption(name) for name in ("--thorough", "--rest", "--all-points"))


def amount_of(config: pytest.Config, name: str) -> int:
    """How many are wanted of what an option counts."""
    given: int | None = config.getoption(name)
    if given is not None:
        return given
    return AMOUNTS[name].thorough if is_thorough(config) else AMOUNTS[name].by_default


@pytest.fixture(scope="session")
def amount(pytestconfig: pytest.Config) -> AmountOf:
    """A function that takes an option's name and says how many are wanted."""
    return lambda name: amount_of(pytestconfig, name)


@pytest.fixture(scope="session")
def points(request: pytest.FixtureRequest) -> Points:
    """How many of the points at which something can go wrong are tried."""
    if request.config.getoption("--all-points"):
        return "all"
    return "many" if is_thorough(request.config) else "few"


@pytest.fixture(scope="session")
def durability(request: pytest.FixtureRequest) -> str:
    """How stores are opened: as by default, or without waiting for the disk where time counts."""
    durable = is_thorough(request.config) or request.config.getoption("--durable")
    return "durable" if durable else "relaxed"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    named = any("::" in argument for argument in config.args)  # whoever wants just these gets them
    if named:
        return
    if not config.getoption("--all-drivers"):
        _leave_out(config, items, {item for item in items if not _is_its_turn(item)})
        indifferent = [item for item in items if item.get_closest_marker("any_driver")]
        _leave_out(config, items, _by_turns(_variants(indifferent)))
    rest = config.getoption("--rest")
    if is_thorough(config) and not rest:
        return
    left_out = _left_out(items)
    if rest:
        left_out = {item for item in items if item not in left_out and not _grows(item)}
    _leave_out(config, items, left_out)


def _leave_out(
    config: pytest.Config, items: list[pytest.Item], left_out: Collection[pytest.Item]
) -> None:
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))


def _is_its_turn(item: pytest.Item) -> bool:
    """Whether a test isn't marked `seldom`, or is one of those of them that are tried."""
    mark = item.get_closest_marker("seldom")
    if mark is None or item.get_closest_marker("each_driver"):
        return True
    return dice(item.nodeid) % int(mark.args[0]) == 0


def _grows(item: pytest.Item) -> bool:
    """Whether a test tries more where more is wanted."""
    by_number = {"amount", "points"} & set(getattr(item, "fixturenames", ()))
    return bool(by_number) or hasattr(getattr(item, "obj", None), "hypothesis")


def _left_out(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return what is left out by default."""
    never = ("thorough", "beyond")
    left_out = {item for item in items if any(map(item.get_closest_marker, never))}
    variants = _variants([item for item in items if item not in left_out])
    unsampled = _unsampled(variants)
    for name in unsampled:
        left_out.update(variants.pop(name))
    return left_out | _by_turns(variants)


def _variants(items: list[pytest.Item]) -> dict[str, list[pytest.Item]]:
    """Group what differs only by the graph driver, but for what runs with each."""
    variants: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if not item.get_closest_marker("each_driver"):
            variants[without_driver(item.nodeid)].append(item)
    return variants


def _by_turns(variants: dict[str, list[pytest.Item]]) -> set[pytest.Item]:
    """Return all but one of each group, of those that can run here."""
    left_out: set[pytest.Item] = set()
    for name, group in variants.items():
        runnable = [item for item in group if not item.get_closest_marker("skip")] or group
        kept = runnable[dice(name) % len(runnable)]
        left_out.update(item for item in group if item is not kept)
    return left_out


def _unsampled(variants: dict[str, list[pytest.Item]]) -> set[str]:
    """Return the names of what is marked `sampled` and isn't in the sample; one always is."""
    sampled: dict[str, list[str]] = defaultdict(list)
    numbers: dict[str, int] = {}
    for name, group in variants.items():
        mark = group[0].get_closest_marker("sampled")
        if mark is not None:
            test = name.partition("[")[0]
            sampled[test].append(name)
            numbers[test] = mark.args[0]
    left_out: set[str] = set()
    for test, names in sampled.items():
        kept = [name for name in names if dice(name) % numbers[test] == 0] or names[:1]
        left_out.update(set(names) - set(kept))
    return left_out


def without_driver(name: str) -> str:
    """Return a test's name as that of all its variants which differ by the graph driver alone."""
    return _VARIANT.sub("*", name)


def dice(name: str) -> int:
    """Return a number of a test that is the same in every run."""
    return zlib.crc32(name.encode())
