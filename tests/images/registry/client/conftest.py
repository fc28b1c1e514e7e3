from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.images.registry.client.fake import Fake


@pytest.fixture(autouse=True)
def everything_is_closed() -> Iterator[None]:
    """No descriptor stays open that wasn't before."""
    before = _open()
    yield
    assert _open().items() <= before.items()


def _open() -> dict[str, str]:
    return {
        name: os.readlink(f"/proc/self/fd/{name}")
        for name in os.listdir("/proc/self/fd")
        if os.path.lexists(f"/proc/self/fd/{name}")
    }


@pytest.fixture
def fake(everything_is_closed: None) -> Iterator[Fake]:
    """A registry."""
    with Fake() as started:
        yield started


@pytest.fixture
def other(everything_is_closed: None) -> Iterator[Fake]:
    """Another host."""
    with Fake() as started:
        yield started
