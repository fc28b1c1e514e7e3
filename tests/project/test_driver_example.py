"""examples/driver is a package that anybody could have: it is found, used, and passes the tests."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from layerstore import LayerStore
from tests.graph.packages import Packages
from tests.project.documents import HERE
from tests.project.environments import install_anew
from tests.support.tars import layer_tar

EXAMPLE = HERE / "examples/driver"
TRYING = (
    *("-q", "-p", "no:cacheprovider", "--pyargs", "layerstore.testing.driver"),
    *("--layerstore-driver", "nosuid"),
)
pytestmark = pytest.mark.root


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example, as pip leaves it."""
    place = tmp_path / "site"
    place.mkdir()
    code = (EXAMPLE / "layerstore_nosuid.py").read_text()
    Packages(place, monkeypatch).install("layerstore-nosuid", "nosuid", code)


@pytest.mark.usefixtures("installed")
def test_it_shows_layers_without_what_set_user_id_bits_do(root_dir: Path) -> None:
    with LayerStore(root_dir, driver="nosuid", durability="relaxed") as store:
        layer = store.register(layer_tar({"su": b"#!"}, mode=0o4755))
        with store.create_rw_layer("web", layer.chain_id) as rw, rw.mounted() as path:
            assert os.stat(f"{path}/su").st_mode & stat.S_ISUID
            assert os.statvfs(path).f_flag & os.ST_NOSUID
            Path(path, "new").write_bytes(b"1")
            assert [str(change) for change in rw.changes()] == ["A /new"]
            assert store.check() == []
        layer.release()
    with LayerStore(root_dir) as store:
        assert store.driver_name == "nosuid"


@pytest.mark.usefixtures("installed")
@pytest.mark.thorough
def test_it_passes_the_tests_of_drivers(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pytest", *TRYING],
        cwd=tmp_path,
        check=True,
    )


@pytest.mark.timeout(600)
def test_it_is_installed_into_an_empty_environment(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if not request.config.getoption("--install-examples"):
        pytest.skip("fetches packages: --install-examples")
    example = shutil.copytree(
        EXAMPLE, tmp_path / "example"
    )  # what building leaves, it leaves there
    programs = install_anew(tmp_path / "venv", str(HERE), f"{example}[test]")
    subprocess.run(
        [programs / "pytest", *TRYING, "-k", "cycle or whiteout or remov"],
        cwd=tmp_path,
        check=True,
    )
    root = tmp_path / "root"
    command = [str(programs / "layerstore"), "--root", str(root), "--driver", "nosuid"]
    subprocess.run([*command, "create", "web"], check=True)
    told = subprocess.run([*command, "info"], check=True, capture_output=True, text=True).stdout
    assert "Storage Driver: nosuid\n" in told
    assert "layerstore-nosuid 1.0" in told
