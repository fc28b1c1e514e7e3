"""Links that somebody has put into a root: no mount, and no unmount, is led out of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore.drivers.errors import DriverError, InvalidMetadata
from layerstore.drivers.graph.choose import open_driver
from layerstore.drivers.graph.protocol import GraphDriver
from layerstore.drivers.model.ids import new_id
from layerstore.drivers.root.trash import prepare_trash, trash_path
from layerstore.drivers.system.mountinfo import mount_paths
from layerstore.drivers.system.syscalls import mount, umount
from layerstore.drivers.upkeep.recovery import prepare_root
from tests.conftest import NEEDS_FUSE

pytestmark = pytest.mark.root


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "elsewhere"
    place.mkdir()
    mount("tmpfs", str(place), "tmpfs", 0, "")
    yield place
    umount(str(place), 0)


@pytest.fixture(params=["overlay2", pytest.param("fuse-overlayfs", marks=NEEDS_FUSE)])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> GraphDriver:
    root = str(tmp_path / "root")
    prepare_root(root, durable=False)
    prepare_trash(trash_path(root))
    driver, _ = open_driver(request.param, root, durable=False)
    driver.prepare()
    return driver


def make(driver: GraphDriver) -> tuple[str, str]:
    base, layer = new_id(), new_id()
    driver.create(base, None)
    driver.create_read_write(layer, base)
    return base, layer


def _mounted(place: Path) -> list[str]:
    """What is mounted where the test is: others mount elsewhere meanwhile."""
    return [path for path in mount_paths() if path.startswith(f"{place}/")]


def test_a_link_in_place_of_a_mount_point_is_not_followed(
    driver: GraphDriver, tmp_path: Path, elsewhere: Path
) -> None:
    _, layer = make(driver)
    Path(driver.home, layer, "merged").symlink_to(elsewhere)
    before = _mounted(tmp_path)
    with pytest.raises(DriverError, match="merged"):
        driver.get(layer)
    driver.put(layer)
    driver.remove(layer, trash_path(str(tmp_path / "root")))
    assert _mounted(tmp_path) == before


@pytest.mark.parametrize("what", ["short link", "lower", "lower's diff", "layer", "diff", "work"])
def test_a_link_in_place_of_what_is_mounted_is_not_followed(
    what: str, driver: GraphDriver, tmp_path: Path, elsewhere: Path
) -> None:
    base, layer = make(driver)
    home = Path(driver.home)
    link = home / "l" / (home / base / "link").read_text()
    place = {
        "short link": link,
        "lower": home / base,
        "lower's diff": home / base / "diff",
        "layer": home / layer,
    }.get(what, home / layer / what)
    if what == "short link":
        link.unlink()
    else:
        shutil.move(place, elsewhere / "moved")
    place.symlink_to(elsewhere / "moved")
    again, _ = open_driver(driver.name, str(tmp_path / "root"), durable=False)
    before = _mounted(tmp_path)
    with pytest.raises(InvalidMetadata):
        again.get(layer)
    assert _mounted(tmp_path) == before
