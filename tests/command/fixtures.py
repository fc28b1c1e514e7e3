"""Fixtures for tests of the command: one root, one archive, a function that runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore import LayerStore
from layerstore.command import main
from layerstore.drivers.system.mountinfo import mount_points
from tests.support.archives import NAME, as_tar, docker_archive
from tests.support.busybox import image_tar
from tests.support.tars import layer_tar

BASE = layer_tar({"etc": None, "etc/name": b"base", "bin": None, "bin/sh": b"#!", "gone": b"x"})
TOP = layer_tar({"etc/name": b"top", ".wh.gone": b""})

Run = Callable[..., str]


@pytest.fixture
def arguments(root_dir: Path, driver_name: str, durability: str) -> list[str]:
    """What every call begins with."""
    root = ["--root", str(root_dir / "store")]
    return [*root, "--driver", driver_name, "--durability", durability]


@pytest.fixture
def archive(root_dir: Path) -> Path:
    """A docker archive with one image of two layers."""
    path = root_dir / "image.tar"
    path.write_bytes(as_tar(docker_archive([BASE, TOP])))
    return path


@pytest.fixture
def run(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> Run:
    """A function that runs the command and returns what it printed."""

    def run_it(*words: str | Path, status: int = 0) -> str:
        assert main([*arguments, *map(str, words)]) == status
        out, err = capfd.readouterr()
        if status:
            assert err.startswith("layerstore: ")
            assert err.count("\n") == 1
            return err
        assert err == ""
        return out

    return run_it


@pytest.fixture
def begun(run: Run, arguments: list[str], driver_name: str) -> Run:
    """The same, with a store in which nothing is."""
    LayerStore(arguments[1], driver=driver_name, durability="relaxed").close()
    return run


@pytest.fixture
def loaded(run: Run, archive: Path) -> Run:
    """The same, with the image loaded."""
    assert run("load", archive) == f"Loaded image: {NAME}\n"
    return run


@pytest.fixture
def app(run: Run, root_dir: Path) -> Run:
    """The same, with an image loaded that has programs to run."""
    path = root_dir / "image.tar"
    path.write_bytes(image_tar(User="app", WorkingDir="/srv", Entrypoint=["env", "E=1"]))
    run("load", path)
    return run


def nothing_left(run: Run, arguments: list[str]) -> bool:
    """Whether no read-write layer, no mount and no trash is left of what was run."""
    root = Path(arguments[1])
    return (
        run("ls", "-q") == ""
        and not [point for point in mount_points() if point.path.startswith(str(root))]
        and list((root / "layerstore/trash").iterdir()) == []
    )
