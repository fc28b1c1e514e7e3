"""What tests that join a container share: one to be joined, in both ways in which that is done."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from layerstore import Running, RWLayer, Warm
from layerstore.sandbox.warm import Keeping
from tests.sandbox.conftest import piped

First = Callable[..., AbstractContextManager[Running]]


@pytest.fixture(scope="module", params=["a process beside each", "kept"])
def keeping(request: pytest.FixtureRequest) -> Iterator[Warm | None]:
    """What keeps commands that join; None where each has a process beside it."""
    if request.param != "kept":
        yield None
        return
    with Keeping() as warm:
        yield warm


@pytest.fixture
def first(keeping: Warm | None) -> First:
    """A function that has a command run for a `with` block, which has done what a script says."""

    @contextlib.contextmanager
    def begun(rw: RWLayer, script: str = "", **options: object) -> Iterator[Running]:
        usual = {"env": {"PATH": "/bin", "A": "1"}, "hostname": "box", "stderr": subprocess.DEVNULL}
        options = {**usual, "warm": keeping, **options}
        with rw.mounted() as path, piped(path, f"{script}\necho; sleep 60", **options) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == b"\n"
            yield running

    return begun
