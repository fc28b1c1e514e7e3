"""What the BuildKit inside a dockerd caches: `<root>/buildkit/snapshots.db`.

Owns the question which layers that database mentions, so that they aren't taken away beneath it;
dockerd keeps them by references that it makes anew at every start. It never writes there. moby:
builder/builder-next/adapters/snapshot.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from layerstore.drivers.errors import DriverError
from layerstore.drivers.model.ids import ChainID
from layerstore.drivers.model.stored import StoredLayer
from layerstore.drivers.system.small_file import open_regular

_LARGEST = 1 << 30
"""Bytes of a database that is searched; a larger one, which is hardly one, keeps everything."""


def cached_layers(root: str, layers: Iterable[StoredLayer]) -> set[ChainID]:
    """Return the chain IDs of those layers that BuildKit's cache mentions. Raises DriverError.

    The database holds chain IDs and the driver's IDs as plain bytes. Pages that it has freed are
    searched too: a layer that is kept for nothing costs space, one that is missing breaks builds.
    """
    path = f"{root}/buildkit/snapshots.db"
    try:
        fd = open_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        if error.errno == errno.EINVAL:
            return set()  # whatever it is, it is no database
        raise DriverError.from_os_error("open", path, error) from error
    with open(fd, "rb") as file:
        if os.fstat(fd).st_size > _LARGEST:
            return {layer.chain_id for layer in layers}
        try:
            content = file.read(_LARGEST)
        except OSError as error:
            raise DriverError.from_os_error("read", path, error) from error
    return {
        layer.chain_id
        for layer in layers
        if layer.chain_id.encode() in content or layer.cache_id.encode() in content
    }
