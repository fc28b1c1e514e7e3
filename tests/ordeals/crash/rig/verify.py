"""Looking at a root after a crash: is what was answered there, is nothing else, is nothing left.

What is there is told by the store's own check and by one that uses none of its code.
"""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path

from layerstore import Layer, LayerStore, RWLayer
from layerstore.drivers.model.ids import chain_of, diff_id
from tests.ordeals.crash.rig.reachability import problems, remains
from tests.ordeals.crash.rig.state import Answers, State, listed, read_answers
from tests.support.homes import OVERLAYS


def verify(
    root: str, driver: str, answers: str, *, before: float = math.inf, power: bool = False
) -> None:
    """Open a root whose last owner was killed; AssertionError says what isn't as it should be.

    Only what was answered before the system call `before` counts. With `power` the machine went
    down too: mounts are gone, and so may be what was written into mounts. Everything is removed
    in the end.
    """
    told = read_answers(answers, before)
    with LayerStore(root, driver=driver, workers=0, prespawn=False) as store:
        assert store.faults == [], [str(fault) for fault in store.faults]
        state = _matching(told, listed(store), mounts_survive=driver in OVERLAYS and not power)
        if state.damaged:
            store.repair(force=state.damaged == "force")
        store.drain()
        found = _checked(store)
        assert found == [], found
        held = _read_layers(store)
        rws: list[RWLayer] = [] if power else _read_mounts(store, state)
        assert (found := problems(store)) == [], found
        for rw in rws:
            rw.release()
        for layer in held:
            layer.release()
        remove_all(store)
        store.drain()
    left = remains(os.path.realpath(root), driver)
    assert left == [], left


def _matching(told: Answers, found: State, *, mounts_survive: bool) -> State:
    objections = []
    for state in told.allowed:
        objection = state.objection(found, mounts_survive=mounts_survive)
        if not objection:
            return state
        objections.append(objection)
    where = f"during {told.during}" if told.during else "after an answer"
    raise AssertionError(f"{where}: " + " | or: ".join(objections))


def _checked(store: LayerStore) -> list[str]:
    return [*map(str, store.check()), *problems(store)]


def _read_layers(store: LayerStore) -> list[Layer]:
    """Read every layer's tar; they are held, since what nothing else keeps would go."""
    held = []
    for chain, facts in store.map().items():
        layer = store.get(chain)
        held.append(layer)
        with layer.tar_stream() as stream:
            digest = "sha256:" + hashlib.sha256(stream.read()).hexdigest()
        assert digest == layer.diff_id, f"{chain} gives another tar back"
        assert chain_of(facts.parent, diff_id(digest)) == chain
    return held


def _read_mounts(store: LayerStore, state: State) -> list[RWLayer]:
    held = []
    for name, files in state.files.items():
        if name not in {mount.name for mount in store.mounts()}:
            continue
        rw = store.get_rw_layer(name)
        held.append(rw)
        with rw.mounted() as path:
            for file, content in files.items():
                assert Path(path, file).read_text() == content
    return held


def remove_all(store: LayerStore) -> None:
    """Remove every mount, image and layer."""
    for mount in store.mounts():
        store.get_rw_layer(mount.name).release()
    for image in store.images.list():
        store.images.remove(image.id, force=True)
    for facts in sorted(store.map().values(), key=lambda facts: -facts.depth):
        store.get(facts.chain_id).release()
