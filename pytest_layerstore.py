"""The pytest plugin: a session's store, a fresh root file system for a test, a check for leaks.

Owns options, markers and fixtures. It stands beside the package and imports it only for a test that
asks for one of the fixtures, since pytest loads it into every run. docs/pytest.md is the manual.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from layerstore import LayerStore
    from layerstore.testing.rootfs import RootFS, Workplace

_MARKER = "layerstore(image=None, tar=None): what layerstore_rootfs is made from"
_NO_LEAKS = "layerstore_no_leaks"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, each on the command line and in the configuration."""
    group = parser.getgroup("layerstore")
    group.addoption("--layerstore-root", metavar="DIR", help="store to use, which stays")
    group.addoption("--layerstore-driver", metavar="NAME", help="graph driver, such as overlay2")
    group.addoption(
        "--layerstore-place",
        metavar="DIR",
        help="where layerstore.testing.driver makes its root (default: where the driver works)",
    )
    group.addoption(
        "--layerstore-check-leaks",
        action="store_true",
        help="have every test fail that leaves layers, mounts, processes or threads",
    )
    parser.addini("layerstore_root", "store to use, which stays (default: a temporary one)")
    parser.addini("layerstore_driver", "graph driver, such as overlay2 (default)")
    parser.addini("layerstore_image", "what layerstore_rootfs is made from without a marker")
    parser.addini("layerstore_check_leaks", "as --layerstore-check-leaks", type="bool")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have the check for leaks around everything else of a test, if it is wanted for all."""
    config = item.config
    wanted = config.getoption("--layerstore-check-leaks") or config.getini("layerstore_check_leaks")
    names = getattr(item, "fixturenames", None)
    if wanted and names is not None and _NO_LEAKS not in names:
        names.insert(_first_of_the_test(item, names), _NO_LEAKS)


def _first_of_the_test(item: pytest.Item, names: list[str]) -> int:
    """Return where the fixtures begin that are not a module's or session's: those may stay."""
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    for place, name in enumerate(names):
        if name in known and known[name][-1].scope == "function":
            return place
    return len(names)


@pytest.fixture(scope="session")
def _layerstore_workplace(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workplace]:
    from layerstore.testing.rootfs import opened_workplace  # noqa: PLC0415

    with opened_workplace(pytestconfig, tmp_path_factory.getbasetemp()) as workplace:
        yield workplace


@pytest.fixture(scope="session")
def layerstore_store(_layerstore_workplace: Workplace) -> LayerStore:
    """The session's open store; skips where there can be none."""
    return _layerstore_workplace.store


@pytest.fixture
def layerstore_rootfs(
    request: pytest.FixtureRequest, _layerstore_workplace: Workplace
) -> Iterator[RootFS]:
    """A mounted root file system of the test's own, as its marker says; gone afterwards."""
    if _NO_LEAKS in request.fixturenames:
        request.getfixturevalue(_NO_LEAKS)  # it is to look after this is gone
    marker = request.node.get_closest_marker("layerstore")
    given = dict(marker.kwargs) if marker is not None else {}
    if marker is not None and (marker.args or set(given) - {"image", "tar"}):
        pytest.fail("the marker layerstore takes image=... or tar=...", pytrace=False)
    if not given and (image := request.config.getini("layerstore_image")):
        given = {"image": image}
    with _layerstore_workplace.rootfs(**given) as rootfs:
        yield rootfs


@pytest.fixture
def layerstore_no_leaks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Fail a test that leaves layers, references, mounts, child processes or threads."""
    from layerstore.testing.leaks import no_leaks  # noqa: PLC0415

    used = {"layerstore_store", "layerstore_rootfs", "_layerstore_workplace"}
    workplace = None
    if used & set(request.fixturenames):
        workplace = request.getfixturevalue("_layerstore_workplace")
    with no_leaks(workplace, tmp_path_factory.getbasetemp()):
        yield
