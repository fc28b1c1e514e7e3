"""Reading a layer back from its tar-split file and its own directory, and whether it is right.

Owns which damage of these files counts as which error. It changes nothing.
"""

from __future__ import annotations

from typing import BinaryIO, cast

from isal import igzip

from layerstore.drivers.errors import (
    DriverError,
    IntegrityError,
    LayerStoreError,
    is_passing,
)
from layerstore.drivers.model.faults import Fault, FaultKind
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.tree import WhiteoutFormat
from layerstore.drivers.root.disk import Disk
from layerstore.drivers.system.small_file import open_regular
from layerstore.drivers.tar.gzip_errors import BROKEN_GZIP
from layerstore.drivers.tar.split import replay_bytes as tar_split
from layerstore.drivers.tar.split.hashed_out import Nowhere
from layerstore.drivers.tar.split.records import FILE, read_records
from layerstore.drivers.tree.size import tree_size


def replay_layer(disk: Disk, chain: ChainID, cache_id: str, diff: str, out: BinaryIO) -> None:
    """Write the tar that was registered. Raises IntegrityError where it isn't any more."""
    what = f"the content of layer {chain}"
    records = disk.metadata.tar_split_path(chain)
    try:
        fd = open_regular(records)
    except OSError as error:
        if is_passing(error):
            raise DriverError.from_os_error("read", records, error) from error
        reason = f"a layer without its tar-split file: {error.strerror}"
        raise IntegrityError(what, diff, reason) from error
    try:
        with open(fd, "rb") as file, igzip.open(file, "rb") as packed:
            actual = tar_split.assemble(packed, disk.driver.tree(cache_id).root, out)
    except BROKEN_GZIP as error:
        raise IntegrityError(what, diff, f"a layer with a damaged tar-split: {error}") from error
    if actual != diff:
        raise IntegrityError(what, diff, actual)


def verify_layer(disk: Disk, chain: ChainID, cache_id: str, diff: str, size: int) -> list[Fault]:
    """Tell what is wrong with a layer's content and its recorded size in bytes."""
    path = f"{disk.driver.home}/{cache_id}"
    about = (chain, cache_id)
    try:
        replay_layer(disk, chain, cache_id, diff, cast("BinaryIO", Nowhere()))
        actual = _size_of(disk, chain, cache_id, size)
    except LayerStoreError as error:
        if is_passing(error):
            raise
        return [Fault(kind=FaultKind.LAYER_CONTENT, path=path, reason=str(error), about=about)]
    except OSError as error:
        if is_passing(error):
            raise DriverError.from_os_error("read", path, error) from error
        reason = f"can't be read: {error.strerror or error}"
        return [Fault(kind=FaultKind.LAYER_CONTENT, path=path, reason=reason, about=about)]
    if actual == size:
        return []
    size_path = f"{disk.metadata.layer_path(chain)}/size"
    reason = f"{size}, but the layer has {actual} bytes"
    return [Fault(kind=FaultKind.LAYER_SIZE, path=size_path, reason=reason, about=about)]


def _size_of(disk: Disk, chain: ChainID, cache_id: str, recorded: int) -> int:
    """Return a layer's size; the recorded one where moby's meaning isn't exact, or it fits.

    In overlay formats it is that of all files (moby: directory.Size), or for layers that BuildKit
    registered what its tar-split adds up to (moby: registerWithDescriptor by graph ID).
    """
    tree = disk.driver.tree(cache_id)
    if tree.whiteouts is WhiteoutFormat.REMOVE:
        return recorded
    actual = tree_size(tree.root)
    if actual != recorded:
        fd = open_regular(disk.metadata.tar_split_path(chain))
        with open(fd, "rb") as file, igzip.open(file, "rb") as packed:
            listed = sum(r.size for r in read_records(packed, "tar-split") if r.type == FILE)
        if listed == recorded:
            return recorded
    return actual
