"""Having an actor die: by a message that its handler doesn't know, as a bug would have it."""

from __future__ import annotations

from layerstore import LayerStore
from layerstore.actors import messages as m
from layerstore.actors.runtime.ref import Ref

ACTORS = ("layers", "mounts", "images", "pool", "reaper", "worker")


def ref_of(store: LayerStore, actor: str) -> Ref:
    """Return where an actor of now gets its messages; `worker` is one of those."""
    if actor == "worker":
        refs = list(store._core.actors.crew._actors)
        return next(ref for ref in refs if "worker" in ref.name and ref.alive)
    ref: Ref = getattr(store._core.actors, actor)
    return ref


def hit(store: LayerStore, actor: str) -> Ref:
    """Have an actor meet a bug, once it gets to that; returns it."""
    ref = ref_of(store, actor)
    ref.tell(m.Died(actor="nobody", generation=-1), None, "test")
    return ref


def kill(store: LayerStore, actor: str) -> None:
    """Have an actor meet a bug, and wait until all are made anew."""
    last = store._core.actors.number
    assert hit(store, actor).join(60)
    store.map()
    assert store._core.actors.number > last
