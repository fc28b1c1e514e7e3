"""The scenarios of a repair: what is damaged by hand, and what may be left of it on the way.

Owns which damages; how each is done is tests/upkeep/damage.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.ordeals.crash.rig.scenarios import (
    BASE_ID,
    CHILD_ID,
    Run,
    create_of_image,
    load_image,
    make_init,
)
from tests.support.homes import OVERLAYS
from tests.upkeep.damage import ANY, OVERLAY, Damage, Place, find_place

_LOSSLESS = ("orphan", "transaction", "cut-off removal", "dangling name", "unfinished")
_LOSSLESS_OVERLAY = ("mounted", "no short link", "dangling link", "second link", "no work")


def _furnish(run: Run) -> Place:
    store = run.open(run.state)
    image = load_image(run)
    create_of_image(run, make_init)
    place = find_place(store, BASE_ID, CHILD_ID, "web", image.id)
    run.close()
    return place


def _damages(driver: str) -> list[Damage]:
    names = (*_LOSSLESS, *(_LOSSLESS_OVERLAY if driver in OVERLAYS else ()))
    return [(ANY | OVERLAY)[name][1] for name in names]


def repairing(run: Run) -> None:
    """Repair all that can be repaired without losing anything, before an open reaps some of it."""
    place = _furnish(run)
    damages = _damages(run.driver)
    run.damage("safe", lambda: [harm(place) for harm in damages])
    run.open(run.state, recover=False)
    found = run.do("check", lambda store: store.check())
    assert found  # not always all, as what can't be read may hide others
    run.do("repair", lambda store: store.repair(), replace(run.state, damaged=""))
    run.close()


def forcing(run: Run) -> None:
    """Repair by force, which takes a layer with the image and the read-write layer on it."""
    place = _furnish(run)
    run.damage("force", (place.layer / "tar-split.json.gz").unlink)
    run.open(run.state)
    nameless = replace(run.state, names={})
    imageless = replace(nameless, images=frozenset())
    mountless = replace(imageless, mounts={})
    mended = replace(mountless.minus(CHILD_ID), damaged="")
    run.do(
        "repair by force",
        lambda store: store.repair(force=True),
        nameless,
        imageless,
        mountless,
        mended,
    )
    run.close()


REPAIRS: dict[str, Callable[[Run], None]] = {"repairing": repairing, "forcing": forcing}
