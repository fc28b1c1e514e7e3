"""Storage options of read-write layers, as `docker create --storage-opt` has them.

Owns their grammar, and what is said to those that there aren't; which of them a driver keeps is its
own business.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal, cast, get_args

from msgspec import Meta, Struct

from layerstore.drivers.errors import InvalidArgument
from layerstore.drivers.model.sizes import LARGEST, parse_size
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.work import USERNS

SIZE = "size"
"""At most so many bytes are written to a layer."""
SCRATCH = "scratch"
"""A layer is thrown away after its use: `disk`, nothing of it is ever synced; `memory`, it lies in
a tmpfs, and is gone with its mount."""
Scratch = Literal["disk", "memory"]
SCRATCHES = get_args(Scratch)
_WHY_NO_SIZE = "{driver} bounds no layer's size, as that wants quotas of the file system"


class StorageOptions(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is asked for of one read-write layer."""

    size: Annotated[int, Meta(ge=1, le=LARGEST)] | None = None
    """Bytes."""
    scratch: Literal["", "disk", "memory"] = ""
    """Empty for a layer like any other; else `disk` or `memory`."""
    userns: str = ""
    """The map of its user IDs, as IdMap has it; empty where they are this machine's."""

    def __post_init__(self) -> None:
        """Raise InvalidArgument for a map that there can't be."""
        _ = self.id_map

    @property
    def id_map(self) -> IdMap | None:
        """The same, read. Raises InvalidArgument."""
        return IdMap.parse(self.userns) if self.userns else None


def storage_options(
    driver: str, options: Mapping[str, str] | None, known: Collection[str] = ()
) -> StorageOptions:
    """Read options, of which a driver takes those that are `known`.

    Raises InvalidArgument for the first of the others, and for values that there aren't.
    """
    size: int | None = None
    scratch: Literal["", "disk", "memory"] = ""
    userns = ""
    for key, value in (options or {}).items():
        if key not in known:
            reason = f"{driver} has no storage option {key!r}"
            if key == SIZE:
                reason = _WHY_NO_SIZE.format(driver=driver)
            raise InvalidArgument(f"{key}={value}", reason)
        if key == SIZE:
            size = parse_size(value)
        elif key == SCRATCH and value in SCRATCHES:
            scratch = cast("Scratch", value)
        elif key == USERNS:
            userns = str(IdMap.parse(value))
        else:
            raise InvalidArgument(f"{key}={value}", f"{key} is one of {', '.join(SCRATCHES)}")
    return StorageOptions(size, scratch, userns)
