"""Fixtures for tests of the command: one root, one archive, a function that runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore.command import main
from tests.support.archives import NAME, as_tar, docker_archive
from tests.support.tars import layer_tar

BASE = layer_tar({"etc": None, "etc/name": b"base", "bin": None, "bin/sh": b"#!", "gone": b"x"})
TOP = layer_tar({"etc/name": b"top", ".wh.gone": b""})

Run = Callable[..., str]


@pytest.fixture
def arguments(root_dir: Path, driver_name: str) -> list[str]:
    """What every call begins with."""
    return ["--root", str(root_dir / "store"), "--driver", driver_name]


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
def loaded(run: Run, archive: Path) -> Run:
    """The same, with the image loaded."""
    assert run("load", archive) == f"Loaded image: {NAME}\n"
    return run
