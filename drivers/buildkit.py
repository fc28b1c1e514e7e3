"""What the BuildKit inside a dockerd caches: `<root>/buildkit/snapshots.db`.

Owns the question which layers that database mentions, so that they aren't taken away beneath it;
dockerd keeps them by references that it makes anew at every start. It never writes there. moby:
builder/builder-next/adapters/snapshot.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from layerstore.drivers.errors import DriverError
from layerstore.drivers.ids import ChainID
from layerstore.drivers.stored import StoredLayer


def cached_layers(root: str, layers: Iterable[StoredLayer]) -> set[ChainID]:
    """Return the chain IDs of those layers that BuildKit's cache mentions. Raises DriverError.

    The database holds chain IDs and the driver's IDs as plain bytes. Pages that it has freed are
    searched too: a layer that is kept for nothing costs space, one that is missing breaks builds.
    """
    path = f"{root}/buildkit/snapshots.db"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise DriverError.from_os_error("open", path, error) from error
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return set()
        try:
            content = file.read()
        except OSError as error:
            raise DriverError.from_os_error("read", path, error) from error
    return {
        layer.chain_id
        for layer in layers
        if layer.chain_id.encode() in content or layer.cache_id.encode() in content
    }
