"""Unpacking something before there is anything, so that processes forked later do it sooner.

Owns what is unpacked and where. Python writes to code that it runs for the first times, as it finds
out how to run it faster; a fork has to copy what it writes to, and would find out anew.
"""

from __future__ import annotations

import os

import msgspec
from msgspec import structs

from layerstore.drivers import work
from layerstore.drivers.confine.detached import empty
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import LayerTree, WhiteoutFormat
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.tar.write import write_diff
from layerstore.drivers.worker.perform_tars import Unpacking, unpack

_TIMES = 12
"""Some more than the interpreter looks on."""


def rehearse(disk: Disk) -> None:
    """Unpack a little tar some times, in memory. Raises OSError or LayerStoreError if it can't."""
    disk = structs.replace(disk, limits=Limits())  # others may allow even less
    place = empty()
    try:
        top = f"/proc/self/fd/{place}"
        _fill(f"{top}/sample")
        tar = os.memfd_create("layerstore-rehearsal")
        with open(tar, "w+b") as out:
            write_diff(_tree(f"{top}/sample"), out)
            out.flush()
            for number in range(_TIMES):
                _unpack(disk, f"{top}/{number}", tar)
    finally:
        os.close(place)


def _fill(path: str) -> None:
    os.makedirs(f"{path}/directory")
    for name in ("directory/file", "another"):
        with open(f"{path}/{name}", "wb") as file:
            file.write(b"content")


def _tree(path: str) -> LayerTree:
    return LayerTree(path, (), WhiteoutFormat.OVERLAY)


def _unpack(disk: Disk, path: str, tar: int) -> None:
    os.mkdir(path)
    source = work.TarSource(size=os.fstat(tar).st_size)
    what = Unpacking(layer_id="", parent_id=None, source=source, split=True)
    split = os.memfd_create("layerstore-rehearsal")
    try:
        unpack(disk, _tree(path), msgspec.to_builtins(what), (os.dup(tar), split))
    finally:
        os.close(split)
