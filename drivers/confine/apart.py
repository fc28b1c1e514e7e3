"""Unpacking in a process of its own, which is confined further and ends with its one job.

Owns when it is forked where that can't be done ahead: when the tree that it may see is known.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from layerstore.drivers.confine.fork import Fork
from layerstore.drivers.model.tree import Applied, LayerTree

Apart: TypeAlias = Callable[[LayerTree, Any, Sequence[int]], Applied]
"""Unpacks into a tree what a job, plain data, and descriptors say, which stay the caller's."""


def in_own_process(
    peer: socket.socket, narrow: Callable[[LayerTree], None], unpack: Apart
) -> Apart:
    """Return an Apart that forks; `narrow` confines the fork to a tree or raises OSError.

    See Fork for `peer`. It raises what `unpack` raises, WorkerDied where the fork ends without.
    """

    def unpack_apart(tree: LayerTree, job: object, numbers: Sequence[int]) -> Applied:
        def begin(_: socket.socket) -> Applied:
            narrow(tree)
            return unpack(tree, job, numbers)

        fork = Fork(peer, begin)
        try:
            return fork.answer(during(tree))
        finally:
            fork.end()

    return unpack_apart


def during(tree: LayerTree) -> str:
    """Return what somebody dies of who unpacks into a tree."""
    return f"unpacking into {tree.root}"
