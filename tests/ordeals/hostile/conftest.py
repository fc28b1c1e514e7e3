"""What attacks run in: stores whose root lies beside a sentinel tree, on one file system."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore.drivers.system.proc_children import children_of
from layerstore.drivers.system.syscalls import mount
from tests.ordeals.hostile.arena import Arena
from tests.support.homes import OVERLAYS

_STRICTATIME = 1 << 24


@pytest.fixture(scope="module", autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """No thread and no child process outlives a file of tests, which share their stores."""
    before = (set(threading.enumerate()), children_of(os.getpid()))
    yield
    assert (set(threading.enumerate()), children_of(os.getpid())) == before


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory on a file system that keeps the time of every access."""
    place = tmp_path_factory.mktemp("watched")
    mount("tmpfs", str(place), "tmpfs", _STRICTATIME, "size=2g,mode=755")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-R", str(place)], check=True)


_TURNS = {"overlay2": 1, "vfs": 3, "btrfs": 12, "fuse-overlayfs": 12}
"""Of how many attacks each tries one: what it does with a layer is mostly what others do."""


@pytest.fixture(scope="session")
def watched_btrfs(make_file_system: Callable[[str, int], Path]) -> Path:
    """The same on btrfs."""
    place = make_file_system("btrfs", 2048)
    subprocess.run(["mount", "-o", "remount,strictatime", str(place)], check=True)
    return place


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((driver, confine), marks=pytest.mark.seldom(_TURNS[driver]))
        for driver in (*OVERLAYS, "btrfs", "vfs")
        for confine in ("required", "off")
    ],
    ids=lambda param: f"{param[0]}-{'confined' if param[1] == 'required' else 'free'}",
)
def arena(request: pytest.FixtureRequest, watched: Path) -> Iterator[Arena]:
    """A store of each driver, confined and not, with the default limits.

    It is kept for all attacks, since opening one takes longer than most of them.
    """
    driver, confine = request.param
    if driver == "btrfs":
        watched = request.getfixturevalue("watched_btrfs")
    with Arena(watched / f"{driver}-{confine}", driver, confine) as made:
        yield made
