"""In which ways a test runs: all of what is public, and by default in one.

Owns the fixtures, the marker and the option for it. A test whose fixtures are `every_way` runs in
all ways with `--thorough` (beyond the first one of its variants), or in those that `--ways` names;
by default in the first alone. What is marked `ways` runs in these only, for the reason that the
marker gives, and in as many variants as that says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.options import dice, is_thorough, without_driver
from tests.support.ways.opening import Opening, Way
from tests.support.ways.owners import Owners

WAYS: tuple[Way, ...] = ("thread", "process", "attached")
_FIRST: Way = "thread"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("layerstore's own tests").addoption(
        "--ways", metavar="WAY,...", help="in which a store is had (thread; thorough: all)"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "ways(way, ..., why=reason, variants=1): runs where a store is had in one of these ways"
        " only, and in those beyond the first so many of its variants",
    )
    config.addinivalue_line("markers", "beyond: is in no default run; nobody marks it by hand")


@pytest.fixture
def way() -> Way:
    """How a store is had; see `every_way`."""
    return _FIRST


@pytest.fixture(params=WAYS)
def every_way(request: pytest.FixtureRequest) -> Way:
    """Every way to have a store; a conftest.py of tests of what is public has it as its `way`."""
    found: Way = request.param
    return found


@pytest.fixture(scope="session")
def owners() -> Iterator[Owners]:
    """Whoever owns the roots to which tests attach."""
    there = Owners()
    yield there
    there.end()


@pytest.fixture
def opening(
    root_dir: Path, way: Way, owners: Owners, prespawn: bool, durability: str
) -> Iterator[Opening]:
    """What opens the test's stores, and closes them before their roots are deleted."""
    options: dict[str, object] = {
        "prespawn": prespawn,
        "durability": durability if way == _FIRST else "relaxed",
    }
    there = Opening(way, owners, root_dir, options)
    yield there
    there.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked: str | None = config.getoption("--ways")
    wanted = set(asked.split(",")) if asked else set(WAYS) if _all_wanted(config) else {_FIRST}
    if not wanted <= set(WAYS):
        raise pytest.UsageError(f"--ways takes some of {', '.join(WAYS)}")
    left_out = {item for item in items if not (_way_of(item) in wanted and _may(item))}
    if asked is None:
        for item in items:
            if _way_of(item) != _FIRST:
                item.add_marker(pytest.mark.beyond)
    if asked is None and not _are_named(config):
        left_out |= _too_many([item for item in items if item not in left_out])
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))


def _all_wanted(config: pytest.Config) -> bool:
    return is_thorough(config) or _are_named(config)


def _are_named(config: pytest.Config) -> bool:
    return any("::" in argument for argument in config.args)


def _way_of(item: pytest.Item) -> str:
    found: str = item.callspec.params.get("way", _FIRST) if hasattr(item, "callspec") else _FIRST
    return found


def _may(item: pytest.Item) -> bool:
    """Whether a test is marked for its way, or isn't marked."""
    for mark in item.iter_markers("ways"):
        if not mark.kwargs.get("why"):
            raise pytest.UsageError(f"{item.nodeid} doesn't say why it runs in some ways only")
        if _way_of(item) not in mark.args:
            return False
    return True


def _too_many(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return which variants of tests are left out in the ways beyond the first."""
    variants: dict[tuple[str, str], list[pytest.Item]] = defaultdict(list)
    for item in items:
        if _way_of(item) != _FIRST:
            variants[item.nodeid.partition("[")[0], _way_of(item)].append(item)
    left_out: set[pytest.Item] = set()
    for group in variants.values():
        group.sort(key=lambda item: (_is_thorough(item), dice(item.nodeid)))
        kept = {without_driver(item.nodeid): item for item in reversed(group)}
        left_out.update(set(group) - set(list(kept.values())[-_variants(group[0]) :]))
    return left_out


def _is_thorough(item: pytest.Item) -> bool:
    return item.get_closest_marker("thorough") is not None


def _variants(item: pytest.Item) -> int:
    mark = item.get_closest_marker("ways")
    return 1 if mark is None else int(mark.kwargs.get("variants", 1))
