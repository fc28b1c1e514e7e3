"""Layers of very many entries: applied within bounded memory, or refused where the limit is.

How many is an option; a million take about two minutes.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from layerstore import LayerStore, LimitExceeded, Limits
from tests.ordeals.hostile.attacks import raw
from tests.support.homes import OVERLAYS
from tests.support.options import AmountOf

pytestmark = pytest.mark.root

_AT_ONCE = 10_000
_MEMORY = 2 << 30


class Entries(io.RawIOBase):
    """A tar of empty files, a thousand in each directory, made while it is read."""

    def __init__(self, count: int) -> None:
        self._numbers = iter(range(count))
        self._waiting = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        if not self._waiting and not self._ended:
            some = [
                raw.block(b"d%d/file-with-a-name-%d" % (number // 1000, number))
                for _, number in zip(range(_AT_ONCE), self._numbers, strict=False)
            ]
            self._ended = len(some) < _AT_ONCE
            self._waiting = b"".join(some) + (raw.END if self._ended else b"")
        piece = self._waiting[: len(buffer)]
        buffer[: len(piece)] = piece
        self._waiting = self._waiting[len(piece) :]
        return len(piece)


@pytest.fixture(params=[*OVERLAYS, "vfs"])
def driver(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.long
@pytest.mark.timeout(900)
def test_very_many_entries_are_applied_within_the_memory_of_a_worker(
    driver: str, watched: Path, amount: AmountOf
) -> None:
    count = amount("--hostile-entries")
    limits = Limits(max_entries=count, max_memory=_MEMORY)
    with LayerStore(watched / driver, driver=driver, durability="relaxed", limits=limits) as store:
        layer = store.register(Entries(count))
        with layer.tar_stream() as stream:
            found = 0
            while piece := stream.read(1 << 20):
                found += len(piece)
        assert found == count * 512 + len(raw.END)
        layer.release()
        store.drain()


def test_the_number_of_entries_is_limited_by_default(driver: str, watched: Path) -> None:
    assert Limits().max_entries == 10_000_000
    limits = Limits(max_entries=10_000)
    with LayerStore(watched / "few", driver=driver, limits=limits) as store:
        with pytest.raises(LimitExceeded, match="number of entries exceeds the limit of 10000"):
            store.register(Entries(10_001))
        assert store.map() == {}
