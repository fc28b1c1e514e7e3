"""What tests that run a command share: a store with the image, a layer of it, a line of shell."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore import Finished, LayerStore, Running, RWLayer, Warm, mount_points, run, start
from tests.support.busybox import NAME, image_tar

Runs = Callable[..., Finished]


@pytest.fixture(scope="module")
def store(base_directory: Path) -> Iterator[LayerStore]:
    # No children of its own: they would come, one by one, while the first test is under way.
    place = tempfile.mkdtemp(prefix="run-", dir=base_directory)
    with LayerStore(place, durability="relaxed", driver="overlay2", workers=0) as opened:
        opened.images.load(_Bytes(image_tar()))
        yield opened


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self._left = content

    def read(self, size: int, /) -> bytes:
        piece, self._left = self._left[:size], self._left[size:]
        return piece


@pytest.fixture
def rw(store: LayerStore) -> Iterator[RWLayer]:
    with store.images.create("web", NAME, init=mount_points) as layer:
        yield layer


@pytest.fixture(scope="module", autouse=True)
def warm_process() -> Iterator[Warm]:
    """One for a module, that is there before a test counts what it leaves."""
    with Warm() as warm:
        yield warm


@pytest.fixture(params=["spawned", pytest.param("forked", marks=pytest.mark.thorough)])
def beside(request: pytest.FixtureRequest) -> Warm | None:
    """How the process beside a command comes to be: None for a new interpreter."""
    if request.param == "spawned":
        return None
    warm: Warm = request.getfixturevalue("warm_process")
    return warm


@pytest.fixture
def sh(rw: RWLayer, beside: Warm | None) -> Runs:
    """A function that runs a line of shell and returns how it ended, with its output."""

    def run_it(line: str, **options: object) -> Finished:
        options.setdefault("env", {"PATH": "/bin"})
        options.setdefault("time_limit", 60)
        argv = ["sh", "-c", line]
        return run(rw, argv, capture=True, warm=beside, **options)  # type: ignore[arg-type]

    return run_it


def lines(finished: Finished) -> list[str]:
    """Return what it printed; it complained of nothing."""
    assert finished.stderr == b"", finished.stderr
    assert finished.stdout is not None
    return finished.stdout.decode().splitlines()


def piped(path: str, script: str, **options: object) -> Running:
    """Start a line of shell whose output comes through a pipe."""
    return start(
        path,
        ["/bin/sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        **{"env": {"PATH": "/bin"}, **options},  # type: ignore[arg-type]
    )
