"""Checking an open store: what is wrong on its disk, whatever else goes on meanwhile.

Owns how a check stays consistent. Comparing the disk with the metadata takes a while, in which both
change, so what is found is looked for a second time. The registries are asked before and after that
what they know: it counts where they knew the same of it both times, and weren't just at it.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable

from layerstore.actors import messages as m
from layerstore.actors.runtime.calls import Call
from layerstore.asking.core import Core
from layerstore.asking.progress import Progress
from layerstore.drivers.errors import LayerDoesNotExist
from layerstore.drivers.model.faults import Fault
from layerstore.drivers.system.mountinfo import mount_paths
from layerstore.drivers.work import InspectRoot

_VERIFYING = "Verifying layers"


def check(core: Core, *, full: bool, progress: Progress | None = None) -> list[Fault]:
    """Return what is wrong; with `full` every layer's content is read and verified."""
    found = _inspect(core)
    if found:
        before, first = standing(core), set(found)
        again = _inspect(core)
        changed = standing(core).since(before)
        found = [
            fault for fault in again if fault in first and not changed.intersection(fault.about)
        ]
    if full:
        found += _verify(core, found, progress)
    return found


def standing(core: Core) -> m.Standing:
    """Return what the registries know."""
    layers: m.Standing = core.call(core.actors.layers, m.Underway())
    mounts: m.Standing = core.call(core.actors.mounts, m.Underway())
    return layers | mounts


def _inspect(core: Core) -> list[Fault]:
    found: list[Fault] = core.call(
        core.actors.layers, m.CheckDisk(job=InspectRoot(mounted=mount_paths()))
    )
    return found


def _verify(core: Core, known: Iterable[Fault], progress: Progress | None) -> list[Fault]:
    """Verify the layers that nothing is known against, as many at once as there are workers."""
    bad = {about for fault in known if not fault.repairable for about in fault.about}
    layers: dict[str, m.LayerMetadata] = core.call(core.actors.layers, m.MapLayers())
    good = [layer for layer in layers.values() if not bad & {layer.chain_id, layer.cache_id}]
    waiting = deque(sorted(good, key=lambda layer: layer.diff_size, reverse=True))
    total = sum(layer.diff_size for layer in good)
    running: deque[tuple[m.LayerMetadata, Call]] = deque()
    found: list[Fault] = []
    done = 0
    while waiting or running:
        while waiting and len(running) < (core.workers or os.cpu_count() or 1):
            layer = waiting.popleft()
            core.check_open()
            running.append((layer, Call(core.actors.layers, m.CheckLayer(chain_id=layer.chain_id))))
        layer, call = running.popleft()
        with contextlib.suppress(LayerDoesNotExist):  # removed meanwhile
            found += call.result()
        done += layer.diff_size
        if progress is not None:
            progress(_VERIFYING, done, total)
    return sorted(found, key=lambda fault: fault.path)
