"""What was said of how a read-write layer is to be stored, as the store takes it.

Owns how the arguments are read together; what there is of them a graph driver knows.
"""

from __future__ import annotations

import argparse

from layerstore.drivers.errors import InvalidArgument


def storage_of(options: argparse.Namespace) -> dict[str, str]:
    """Return the storage options that were given. Raises InvalidArgument."""
    storage: dict[str, str] = {}
    for pair in options.storage_opt:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InvalidArgument(pair, "a storage option is KEY=VALUE")
        storage[key] = value
    if options.scratch is not None:
        said = storage.setdefault("scratch", options.scratch)
        if said != options.scratch:
            grammar = f"--storage-opt says scratch={said}"
            raise InvalidArgument(f"--scratch={options.scratch}", grammar)
    if options.userns not in (None, "host"):
        said = storage.setdefault("userns", options.userns)
        if said != options.userns:
            grammar = f"--storage-opt says userns={said}"
            raise InvalidArgument(f"--userns={options.userns}", grammar)
    return storage
