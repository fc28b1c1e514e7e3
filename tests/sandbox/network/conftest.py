"""Runs in a world of their own, by each of the programs; and Python in them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore import Running, RWLayer, Volume, start
from layerstore.sandbox import publishing
from tests.sandbox.network.world import World

Starts = Callable[..., Running]
PYTHON = "/usr/bin/python3"
"""In the root file system of a run, this machine's."""


@pytest.fixture(params=["slirp4netns", "pasta"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What packets pass, as if nothing else were installed."""
    name = str(request.param)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}")
    monkeypatch.setattr(publishing, "find_program", lambda: found)
    return name


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


@pytest.fixture
def starts(rw: RWLayer, world: World) -> Iterator[Starts]:
    """A function that starts a line of Python in the world, with a private network."""
    shown = [("/usr/lib", "/usr/lib"), ("/usr/bin", "/usr/bin")]
    shown += [
        (f"/usr/{name}", f"/{name}") for name in ("lib", "lib64") if Path(f"/{name}").exists()
    ]
    volumes = [Volume(source=source, target=to, read_only=True) for source, to in shown]

    def start_it(script: str, **options: object) -> Running:
        pipe = subprocess.PIPE
        return world.do(
            lambda: start(
                path,
                [PYTHON, "-c", script],
                volumes=volumes,
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=pipe,
                **{"network": "private", "time_limit": 60, **options},  # type: ignore[arg-type]
            )
        )

    with rw.mounted() as path:
        for volume in volumes:  # which others than root can't make there
            os.makedirs(path + volume.target, exist_ok=True)
        yield start_it
