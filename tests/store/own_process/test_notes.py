"""The next engine goes on with what is noted in memory, wherever the one before it ended."""

from __future__ import annotations

import gc
import os
import random
import threading
from typing import Any

from layerstore.actors.books.retained import Mounted, Retained
from layerstore.drivers.model.ids import ChainID
from layerstore.engine.own_process import notes as noting
from layerstore.engine.own_process.notes import OTHERS_FROM, Notes, make_notes


def _plain(retained: Retained) -> dict[str, Any]:
    layers, mounts = retained.layers, retained.mounts
    return {
        "layers": (dict(layers.held), dict(layers.made), set(layers.forsaken)),
        "mounts": (dict(mounts.held), dict(mounts.made), dict(mounts.mounted)),
        "unanswered": (set(layers.unanswered), set(mounts.unanswered)),
    }


def _change(retained: Retained, chance: random.Random) -> None:
    reference, name = chance.randrange(50), f"n{chance.randrange(50)}"
    layers, mounts = retained.layers, retained.mounts
    match chance.randrange(10):
        case 0:
            layers.held[reference] = ChainID(name)
        case 1:
            layers.held.pop(reference, None)
        case 2:
            layers.forsaken.add(ChainID(name))
        case 3:
            layers.forsaken.discard(ChainID(name))
        case 4:
            mounts.mounted[name] = Mounted(reference, f"/{name}", here=bool(reference % 2))
        case 5:
            mounts.mounted.update({name: Mounted(1, None, here=False)})
        case 6:
            mounts.made[reference] = name
        case 7:
            mounts.unanswered.add(name)
        case 8:
            retained.forget(reference, stays=bool(chance.randrange(2)))
        case _:
            if not chance.randrange(20):
                mounts.unanswered.clear()


def test_any_changes_are_read_back() -> None:
    chance = random.Random(4)  # noqa: S311 - always the same
    file = make_notes()
    wanted = Retained()
    for _ in range(20):
        notes = Notes(file.fileno())
        assert _plain(notes.retained) == _plain(wanted)
        for _ in range(100):
            state = chance.getstate()
            _change(notes.retained, chance)
            chance.setstate(state)
            _change(wanted, chance)


def test_who_was_attached_to_a_dead_engine_holds_nothing() -> None:
    file = make_notes()
    retained = Notes(file.fileno()).retained
    retained.layers.held[1] = retained.layers.held[OTHERS_FROM] = ChainID("c")
    retained.mounts.made[OTHERS_FROM + 1] = retained.mounts.held[OTHERS_FROM + 1] = "m"
    again = Notes(file.fileno()).retained
    assert again.layers.held == {1: "c"}
    assert again.mounts.held == again.mounts.made == {}
    assert again.mounts.unanswered == set()  # what it had been told of stays


def test_notes_that_nobody_has_any_more_keep_no_descriptor() -> None:
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    file = make_notes()
    Notes(file.fileno()).retained.layers.held[1] = ChainID("c")
    file.close()
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_note_that_was_cut_in_two_is_none() -> None:
    file = make_notes()
    notes = Notes(file.fileno())
    notes.begun()
    notes.retained.layers.held[1] = ChainID("c")
    whole = os.fstat(file.fileno()).st_size
    notes.retained.layers.held[2] = ChainID("d")
    content = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
    for size in range(whole, len(content)):
        cut = make_notes()
        os.truncate(cut.fileno(), 0)
        os.write(cut.fileno(), content[:size])
        again = Notes(cut.fileno())
        assert again.retained.layers.held == {1: "c"}
        assert not again.retained.fresh
        again.retained.layers.held[3] = ChainID("e")
        assert Notes(cut.fileno()).retained.layers.held == {1: "c", 3: "e"}


def test_notes_of_many_changes_take_bounded_memory_and_lose_none(monkeypatch: Any) -> None:
    monkeypatch.setattr(noting, "_SUMMARY_AFTER", 1 << 14)
    file = make_notes()
    notes = Notes(file.fileno())

    def hold(first: int) -> None:
        for number in range(20_000):
            notes.retained.layers.held[first + number % 100] = ChainID(f"c{number}")
            notes.retained.mounts.held[first + number % 100] = f"m{number}"

    threads = [threading.Thread(target=hold, args=(first,)) for first in (0, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Notes(file.fileno()).retained
    assert _plain(again) == _plain(notes.retained)
    assert len(again.layers.held) == 200
    status = os.fstat(file.fileno())
    assert status.st_size > 1 << 20
    assert status.st_blocks * 512 < 1 << 18
