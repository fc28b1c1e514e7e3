"""Why a test runs in some ways only; see `fixtures`.

Owns the markers that several tests have, and who a store's actors are with.
"""

from __future__ import annotations

import os

import pytest

from layerstore import LayerStore
from layerstore.engine.sharing.attached import AttachedCore

INSIDE = pytest.mark.ways("thread", why="it looks at, or changes, what is within the process")
CALLS_BACK = pytest.mark.ways("thread", "process", why="functions are their own process's alone")
OWNERS = pytest.mark.ways("thread", "process", why="what it does is the owner's alone")


def pid_of(store: LayerStore) -> int:
    """Return the process that has a store's actors."""
    core = store.core
    return core.link.pid if isinstance(core, AttachedCore) else os.getpid()
