"""The scenario of layers that are thrown away, on the disk and in memory."""

from __future__ import annotations

from collections.abc import Callable

from tests.ordeals.crash.rig import scenarios as other
from tests.ordeals.crash.rig.scenarios import BASE, BASE_ID, Run


def scratch(run: Run) -> None:
    """Create, mount, write, commit and remove scratch layers, one with an init layer."""
    run.open(run.state)
    base = run.do("register", lambda store: store.register(BASE), run.state.plus(BASE_ID))
    made = []
    for kind, init in (("memory", other.make_init), ("disk", None)):
        rw = other.create(run, kind, BASE_ID, storage_opt={"scratch": kind}, init=init)
        other.write(run, kind, other.mount(run, rw))
        other.unmount(run, rw)
        made.append(rw)
    layer = other.commit(run, made[0])
    run.do("release", lambda _: layer.release(), run.state.minus(layer.chain_id))
    other.mount(run, made[0])
    for rw in made:
        other.remove(run, rw)
    run.do("release", lambda _: base.release(), run.state.minus(BASE_ID))
    run.do("drain", lambda store: store.drain())
    run.close()


SCRATCH: dict[str, Callable[[Run], None]] = {"scratch": scratch}
