"""The scenario of what a child is given at once: read-write layers that come and go together.

It is done in the scenario's own process, past the store's books, which are read anew afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from layerstore import LayerStore
from layerstore.drivers import work
from layerstore.drivers.model.ids import ChainID, new_id, new_transaction
from layerstore.drivers.worker import together as several
from tests.ordeals.crash.rig.scenarios import BASE, BASE_ID, Run
from tests.ordeals.crash.rig.state import State

_NAMES = ("one", "two", "three")


def together(run: Run) -> None:
    """Make some read-write layers and remove some of them, all for one message each."""
    store = run.open(run.state)
    run.do("register", lambda store: store.register(BASE), run.state.plus(BASE_ID))
    creations = [_creation(store, name) for name in _NAMES]
    run.do("creations", lambda store: _perform(store, creations), *_each_way(run.state, ()))
    removals = [_removal(creation) for creation in creations[1:]]
    run.do(
        "removals",
        lambda store: _perform(store, removals),
        *reversed(list(_each_way(run.state, ("one",)))),
        replace(run.state, mounts={"one": BASE_ID}),
    )
    run.close()


def _each_way(state: State, always: tuple[str, ...]) -> Iterator[State]:
    others = [name for name in _NAMES if name not in always]
    for count in range(len(others) + 1):
        for some in combinations(others, count):
            yield replace(state, mounts=dict.fromkeys((*always, *some), BASE_ID))


def _creation(store: LayerStore, name: str) -> work.CreateMount:
    layerdb = f"{store.root}/image/{store.driver_name}/layerdb"
    return work.CreateMount(
        name=name,
        mount_id=new_id(),
        init_id=None,
        parent=ChainID(BASE_ID),
        parent_cache_id=Path(f"{layerdb}/sha256/{BASE_ID[7:]}/cache-id").read_text(),
        transaction=new_transaction(),
    )


def _removal(created: work.CreateMount) -> work.RemoveMount:
    return work.RemoveMount(
        name=created.name, mount_id=created.mount_id, init_id=None, transaction=new_transaction()
    )


def _perform(store: LayerStore, jobs: Sequence[work.Job]) -> None:
    _, fields = several.pack(jobs, quiet=True)
    assert isinstance(fields, dict)
    answer = several.perform_packed(store._core.disk, fields)
    done = several.unpack(answer, jobs, os.getpid())
    assert [one and one.error for one in done] == [None] * len(jobs)


TOGETHER: dict[str, Callable[[Run], None]] = {"together": together}
