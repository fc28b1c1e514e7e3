"""Graph drivers of other packages: found by their entry points, refused with the package's name."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from layerstore import DriverNotSupported, LayerStore
from layerstore.drivers.graph import choose
from layerstore.drivers.graph.builtin import DRIVERS, LAST_RESORT
from layerstore.drivers.graph.plugin import PROTOCOL, installed_names
from tests.graph.packages import COPYING, Packages
from tests.support.tars import layer_tar


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    place = tmp_path / "site"
    place.mkdir()
    return Packages(place, monkeypatch)


@pytest.fixture
def package() -> str:
    """A name that no module has that another test imported."""
    return f"driver-{uuid.uuid4().hex}"


def command(root: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "layerstore.command", "--root", root, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.root
@pytest.mark.parametrize("engine", ["thread", "process"])
def test_a_package_s_driver_does_all_that_a_built_in_one_does(
    packages: Packages, package: str, root_dir: Path, engine: str
) -> None:
    packages.copying(package, "mine")
    with LayerStore(root_dir, driver="mine", durability="relaxed", engine=engine) as store:  # type: ignore[arg-type]
        layer = store.register(layer_tar({"file": b"content"}))
        rw = store.create_rw_layer("web", layer.chain_id)
        path = Path(rw.mount())
        (path / "new").write_bytes(b"1")
        assert [str(change) for change in rw.changes()] == ["A /new"]
        assert store.check() == []
        assert path.is_relative_to(root_dir / "mine/layers")
        assert f"{package} 1.0" in store.driver_reason
        with LayerStore.attach(root_dir) as other:
            assert other.driver_name == "mine"
            assert [str(change) for change in other.get_rw_layer("web").changes()] == ["A /new"]
    # Nobody needs to name it again; nor does the command, in another process.
    with LayerStore(root_dir, durability="relaxed") as store:
        assert store.driver_name == "mine"
    assert "Storage Driver: mine\n" in command(root_dir, "info")
    command(root_dir, "check", "--full")
    assert "Kept by: a package" in command(root_dir, "info")


def refusal(root: Path, name: str | None) -> str:
    with pytest.raises(DriverNotSupported) as caught:
        choose.open_driver(name, str(root))
    return str(caught.value)


BROKEN = {
    "import nowhere_to_be_found": "can't be imported: ModuleNotFoundError",
    "plugin = 1": "is of type int, not a DriverPlugin",
    "other = 1": "can't be imported: AttributeError",
    COPYING.format(name="broken", why_not="", automatic=True).replace(
        "protocol=PROTOCOL", "protocol=PROTOCOL + 1"
    ): f"version {PROTOCOL + 1} of the driver protocol, and this is version {PROTOCOL}",
    COPYING.format(name="other", why_not="", automatic=True): "names it 'broken', and itself",
    COPYING.format(name="broken", why_not="it rains", automatic=True): "it rains",
    COPYING.format(name="broken", why_not="", automatic=True).replace(
        "/broken/layers", "/elsewhere"
    ): "doesn't lie in",
    COPYING.format(name="broken", why_not="", automatic=True).replace(
        "open=Driver", "open=lambda root, durable: root"
    ): "of type str, no GraphDriver",
}


@pytest.mark.parametrize("code", BROKEN, ids=BROKEN.values())
def test_a_broken_package_is_named_and_keeps_no_other_driver_from_working(
    packages: Packages, package: str, tmp_path: Path, code: str
) -> None:
    packages.install(package, "broken", code)
    told = refusal(tmp_path, "broken")
    assert BROKEN[code] in told
    assert "broken" in told
    if BROKEN[code] != "it rains":
        assert f"{package} 1.0" in told
    driver, _ = choose.open_driver("vfs", str(tmp_path))
    assert driver.name == "vfs"


def test_a_name_that_two_packages_have_is_nobody_s(
    packages: Packages, package: str, tmp_path: Path
) -> None:
    packages.copying(package, "mine")
    packages.copying(f"{package}-too", "mine")
    told = refusal(tmp_path, "mine")
    assert f"{package} 1.0, {package}-too 1.0" in told


@pytest.mark.parametrize("name", ["../up", "Upper", "image", "layerstore", "a" * 65, "a.b"])
def test_a_name_that_is_no_driver_s_is_refused(
    packages: Packages, package: str, tmp_path: Path, name: str
) -> None:
    packages.copying(package, name)
    assert "64 lower-case letters" in refusal(tmp_path, name)


def test_who_asks_for_an_unknown_driver_is_told_those_that_there_are(
    packages: Packages, package: str, tmp_path: Path
) -> None:
    packages.copying(package, "mine")
    told = refusal(tmp_path, "yours")
    assert f"{', '.join(DRIVERS)}; installed are mine" in told


@pytest.fixture
def only_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    """No driver that is built in works but the one that always does."""
    for name in [name for name in DRIVERS if name != LAST_RESORT]:
        monkeypatch.delitem(DRIVERS, name)


@pytest.mark.usefixtures("only_the_last_resort")
def test_what_may_be_chosen_by_itself_comes_before_the_last_resort(
    packages: Packages, package: str, tmp_path: Path
) -> None:
    packages.copying(package, "asked-for")
    packages.copying(f"{package}-b", "sulking", automatic=True, why_not="it sulks")
    packages.install(f"{package}-c", "crashing", "1 / 0")
    driver, why = choose.open_driver(None, str(tmp_path))
    assert driver.name == LAST_RESORT
    assert "sulking can't be used: it sulks" in why
    assert "crashing can't be used" in why
    packages.copying(f"{package}-d", "willing", automatic=True)
    driver, why = choose.open_driver(None, str(tmp_path))
    assert driver.name == "willing"
    assert f"{package}-d 1.0" in why


@pytest.mark.usefixtures("only_the_last_resort")
def test_a_built_in_driver_s_name_can_t_be_taken(
    packages: Packages, package: str, tmp_path: Path
) -> None:
    packages.copying(package, LAST_RESORT, automatic=True)
    driver, why = choose.open_driver(None, str(tmp_path))
    assert driver.home == f"{tmp_path}/vfs/dir"
    assert f"vfs of {package} 1.0 can't be used: that name is a built-in driver's" in why


def test_nobody_looks_for_packages_where_a_built_in_driver_is_meant(tmp_path: Path) -> None:
    looking = "import sys; from layerstore import LayerStore; from pathlib import Path\n"
    for name in ("None", "'vfs'"):
        os.makedirs(tmp_path / "image/vfs/layerdb", exist_ok=True)
        opening = (
            f"from layerstore.drivers.graph.choose import open_driver\n"
            f"assert open_driver({name}, {str(tmp_path)!r})[0].name == 'vfs'\n"
            "assert 'importlib.metadata' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", looking + opening], check=True)


def test_completion_knows_installed_drivers(packages: Packages, package: str) -> None:
    from layerstore.command.parsing.completing import _all_drivers  # noqa: PLC0415

    packages.copying(package, "mine")
    assert "mine" in installed_names()
    assert {"mine", *DRIVERS} <= set(_all_drivers())
