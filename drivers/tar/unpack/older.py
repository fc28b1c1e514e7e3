"""Removing what a whiteout hides from a tree that already held files before its tar was applied.

Owns the difference between what was there and what the tar itself made, which stays.
Source: moby's archive.UnpackLayer, for opaque directories; OCI image layer specification,
section "Whiteouts", for the rest.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Set as AbstractSet

from layerstore.drivers.tar.names import split
from layerstore.drivers.tar.unpack.place import Place
from layerstore.drivers.tree.directories import join


def remove_older(place: Place, path: bytes, made: AbstractSet[bytes]) -> None:
    """Remove a path and all beneath it, but for paths in `made` and their directories."""
    pending = [(path, False)]
    while pending:
        path, visited = pending.pop()
        above, name = split(path)
        try:
            directory = place.directory(above)
        except FileNotFoundError:
            continue
        status = place.status(directory, name)
        if status is None:
            continue
        if stat.S_ISDIR(status.st_mode):
            inside = os.listdir(place.directory(path))
            if not visited:
                pending.append((path, True))
                pending.extend((join(path, os.fsencode(child)), False) for child in inside)
                continue
            if inside:
                continue
            directory = place.directory(above)
        if path not in made:
            place.remove(directory, name, status)


def remove_older_in(place: Place, path: bytes, made: AbstractSet[bytes]) -> None:
    """Remove what is in a directory, but for paths in `made` and their directories."""
    for name in os.listdir(place.directory(path)):
        remove_older(place, join(path, os.fsencode(name)), made)
