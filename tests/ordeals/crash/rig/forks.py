"""The scenario of read-write layers that are forked and reset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from layerstore import LayerStore, RWLayer
from tests.ordeals.crash.rig import scenarios as other
from tests.ordeals.crash.rig.scenarios import BASE, BASE_ID, Run


def _fork(run: Run, source: RWLayer, name: str) -> RWLayer:
    mounts = {**run.state.mounts, name: source.parent}
    files = {**run.state.files, name: run.state.files[source.name]}
    after = replace(run.state, mounts=mounts, files=files)
    return run.do("fork", lambda _: source.fork(name), after)


def _reset(run: Run, rw: RWLayer) -> None:
    known = {name: found for name, found in run.state.files.items() if name != rw.name}
    run.state = replace(run.state, files=known)  # meanwhile it may be either, to be told by none
    after = replace(run.state, files={**known, rw.name: {"d/kept": "k" * 5000}})

    def reset(rw: RWLayer, _store: LayerStore) -> None:
        rw.reset()

    run.do("reset", partial(reset, rw), after)


def forks(run: Run) -> None:
    """Fork what is mounted and has an init layer, reset it, and remove both."""
    run.open(run.state)
    base = run.do("register", lambda store: store.register(BASE), run.state.plus(BASE_ID))
    web = other.create(run, "web", BASE_ID, init=other.make_init)
    path = other.mount(run, web)
    other.write(run, "web", path)
    run.write(f"{path}/d/kept", "changed")
    run.state = replace(run.state, files={"web": {"hello": "hello", "d/kept": "changed"}})
    one = _fork(run, web, "one")
    other.unmount(run, web)
    _reset(run, web)
    for rw in (web, one):
        other.remove(run, rw)
    run.do("release", lambda _: base.release(), run.state.minus(BASE_ID))
    run.do("drain", lambda store: store.drain())
    run.close()


FORKS: dict[str, Callable[[Run], None]] = {"forks": forks}
