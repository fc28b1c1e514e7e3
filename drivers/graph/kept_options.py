"""What a read-write layer was asked to be, kept in its own directory for every mount of it.

Owns one small file, which goes with the layer; dockerd knows nothing of it. What it says is a
driver's to keep. As anybody who may write to the root may have put it there, it is read as hostile.
"""

from __future__ import annotations

import msgspec

from layerstore.drivers.errors import InvalidArgument, InvalidMetadata
from layerstore.drivers.graph.storage_options import StorageOptions
from layerstore.drivers.system.durable import write_file, write_new
from layerstore.drivers.system.small_file import read_metadata

KEPT = "layerstore-options.json"
"""Its name."""
_MAX_KEPT = 16_384
_NONE = StorageOptions()


def write_kept(directory: str, options: StorageOptions) -> list[str]:
    """Keep a new layer's options in its directory; those of a layer like any other need no file.

    Returns what is to be synced beside the directory. Raises DriverError, also where there is one.
    """
    if options == _NONE:
        return []
    path = f"{directory}/{KEPT}"
    write_new(path, msgspec.json.encode(options), durable=False, mode=0o600)
    return [path]


def rewrite_kept(directory: str, options: StorageOptions) -> list[str]:
    """Keep other options of a layer that is just being made; as write_kept."""
    path = f"{directory}/{KEPT}"
    write_file(path, msgspec.json.encode(options), durable=False, mode=0o600)
    return [path]


def read_kept(directory: str) -> StorageOptions:
    """Return a layer's options; where none are kept, those of a layer like any other.

    Raises InvalidMetadata for a file that isn't what write_kept writes: options that this version
    doesn't know, too, since a mount without them would not be what was asked for. Raises
    DriverError where it can't be read.
    """
    path = f"{directory}/{KEPT}"
    content = read_metadata(path, _MAX_KEPT)
    if content is None:
        return _NONE
    try:
        return msgspec.json.decode(content, type=StorageOptions)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidArgument) as error:
        raise InvalidMetadata(path, str(error)) from error
