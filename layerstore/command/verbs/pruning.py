"""Removing what nobody needs: nameless or unused images, layers that nothing keeps, idle mounts.

Owns the choice, the question before it and the report after it. The removal is LayerStore's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from layerstore.command.output.tables import human_size
from layerstore.command.verbs.changing import find, print_removed
from layerstore.drivers.errors import LayerDoesNotExist

if TYPE_CHECKING:
    from layerstore.api.store import LayerStore


def prune(store: LayerStore, options: argparse.Namespace) -> int:
    """Ask, remove, and tell how many bytes that gave back."""
    if not options.force and not _agreed(options):
        return 1
    before = _bytes(store)
    if options.rw:
        for mount in store.mounts():
            if mount.path is None:
                rw = find(store, mount.name)
                before += rw.size()
                rw.release()
                print(f"Deleted mount: {mount.name}")
    for removed in store.images.prune(
        every=options.all, unused_for=options.until or 0.0, keep_bytes=options.keep_storage
    ):
        print_removed(removed)
    for chain in _unkept(store):
        print(f"Deleted: {chain}")
    if options.wait_for_disk:
        store.drain()
    print(f"Total reclaimed space: {human_size(max(before - _bytes(store), 0))}")
    return 0


def _agreed(options: argparse.Namespace) -> bool:
    what = ["all images without a name", "all layers that nothing keeps"]
    if options.all:
        what[0] = "all images that no read-write layer is made from"
    if options.rw:
        what.insert(0, "all read-write layers that are not mounted, with their changes")
    if options.until is not None:
        what[-2] += ", that weren't used for as long as was said"
    if options.keep_storage is not None:
        what[-2] += ", as many as it takes"
    print("This removes", *(f"  - {line}" for line in what), sep="\n", file=sys.stderr)
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _bytes(store: LayerStore) -> int:
    return sum(layer.diff_size for layer in store.map().values())


def _unkept(store: LayerStore) -> Iterator[str]:
    """Remove the layers that nothing keeps, with those beneath that only they kept."""
    for chain, layer in store.map().items():
        if layer.references:
            continue
        try:
            held = store.get(chain)
        except LayerDoesNotExist:
            continue
        yield from (gone.chain_id for gone in held.release())
