"""A chain of layers that is registered ahead, and what becomes of it."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from layerstore import Layer, LayerStore, LayerStoreError
from layerstore.actors import messages as m
from layerstore.asking.later import Later
from layerstore.asking.source import Region
from layerstore.drivers.model.ids import ChainID, chain_of, diff_id
from layerstore.images.ahead import register_ahead
from tests.support.tars import layer_tar
from tests.support.trees import read_tree

BASE = layer_tar({"d": None, "d/kept": b"k", "d/gone": b"g", "e": None, "e/x": b"x"})
BLIND = layer_tar({"f": b"1", "g": None, "g/h": b"2"})
"""Nothing of it depends on what lies beneath it."""
ASKS = layer_tar({"d/.wh.gone": b"", "d/.wh.never": b"", "d/new": b"n"})
TOP = layer_tar({"e/y": b"y"})
CHAIN = (BASE, BLIND, ASKS, TOP)


def names(tars: Sequence[bytes]) -> list[tuple[ChainID | None, ChainID, str]]:
    """Return parent, chain ID and diff ID of each layer of a chain."""
    found: list[tuple[ChainID | None, ChainID, str]] = []
    for data in tars:
        diff = diff_id(f"sha256:{hashlib.sha256(data).hexdigest()}")
        parent = found[-1][1] if found else None
        found.append((parent, chain_of(parent, diff), diff))
    return found


def begin(
    store: LayerStore, data: bytes, parent: ChainID | None, diff: str | None = None
) -> Later[Layer]:
    wanted = diff or names([data])[0][2]
    with tempfile.TemporaryFile() as spool:
        spool.write(data)
        spool.flush()
        return register_ahead(store, Region(spool.fileno(), 0, len(data)), parent, diff_id(wanted))


def begin_all(store: LayerStore, tars: Sequence[bytes]) -> list[Later[Layer]]:
    named = zip(tars, names(tars), strict=True)
    return [begin(store, data, parent) for data, (parent, _, _) in named]


def outcome(later: Later[Layer]) -> Layer | LayerStoreError:
    try:
        return later.get(timeout=60)
    except LayerStoreError as error:
        return error


def what_is_kept(layer: Layer, store: LayerStore, since: int) -> object:
    """Return all that a store keeps of a layer, but for IDs, and times of the making itself."""
    home = Path(store.root, "image/overlay2/layerdb/sha256", layer.chain_id.partition(":")[2])
    tree = read_tree(Path(layer.metadata()["UpperDir"]))
    facts = {
        path: replace(fact, mtime=fact.mtime if fact.mtime < since else 0)
        for path, fact in tree.items()
    }
    files = {path.name: path.read_bytes() for path in home.iterdir() if path.name != "cache-id"}
    lowers = len(layer.metadata().get("LowerDir", "").split(":"))
    return facts, files, layer.size, layer.diff_size, lowers


def transactions(store: LayerStore) -> Path:
    return Path(store.root, "image/overlay2/layerdb/tmp")


def unpacked(store: LayerStore, diff: str) -> bool:
    """Whether a layer waits for nothing but to be committed."""
    with contextlib.suppress(FileNotFoundError):
        return any(
            (one / "diff").read_text() == diff and (one / "parent").exists()
            for one in transactions(store).iterdir()
            if (one / "diff").exists()
        )
    return False


def jobs(store: LayerStore, *, failed: bool = False) -> Counter[str]:
    """Count the jobs that are done, well or not, by kind."""
    facts: m.PoolFacts = store.core.call(store.core.actors.pool, m.PoolStatus())
    return Counter(
        {tally.kind: tally.count for tally in facts.jobs if (tally.outcome != "ok") == failed}
    )
