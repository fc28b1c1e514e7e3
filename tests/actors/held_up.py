"""Keeping an actor from its messages, and what those become who gave layers back meanwhile."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from layerstore import LayerStore


def chains(outcomes: list[object]) -> list[list[str]]:
    assert all(isinstance(outcome, list) for outcome in outcomes), outcomes
    return [[gone.chain_id for gone in outcome] for outcome in outcomes]  # type: ignore[attr-defined]


@contextlib.contextmanager
def layers_wait(store: LayerStore) -> Iterator[None]:
    """Keep the LayerRegistry from its next messages for a `with` block."""
    inside, go_on, asker = threading.Event(), threading.Event(), threading.current_thread()

    def wait(_answer: object) -> None:
        if threading.current_thread() is not asker:  # else the answer was there already
            inside.set()
            assert go_on.wait(60)

    while not inside.wait(0.05):
        store.later.map().when_set(wait)
    try:
        yield
    finally:
        go_on.set()
