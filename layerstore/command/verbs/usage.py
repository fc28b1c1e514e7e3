"""What the command's verbs print about the store as a whole: du and info.

Owns the columns and the keys of the JSON; each verb returns the exit status. Sizes in JSON are
bytes.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from layerstore.command.output.documents import print_json
from layerstore.command.output.rows import Listing
from layerstore.command.output.tables import human_duration, human_size, short, table
from layerstore.command.output.templates import Template
from layerstore.drivers.errors import DriverError
from layerstore.drivers.root.trash import trash_path
from layerstore.drivers.tree.size import tree_size
from layerstore.drivers.userns.standing import standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerstore.actors.messages import MountMetadata
    from layerstore.api.store import LayerStore

USAGE = Listing(
    {
        "Type": "TYPE",
        "TotalCount": "TOTAL",
        "Active": "ACTIVE",
        "Size": "SIZE",
        "Reclaimable": "RECLAIMABLE",
    },
    ("Type", "TotalCount", "Active", "Size", "Reclaimable"),
)
_WORD = re.compile(r"[^A-Za-z0-9]+")


def disk_usage(store: LayerStore, options: argparse.Namespace) -> int:
    """Tell sizes: layers are counted once, however many images and mounts share them."""
    usage = _usage(store)
    if not options.verbose:
        for kind in ("layers", "mounts"):
            del usage[kind]["items"]
    if options.json:
        return print_json(usage)
    rows = [
        {
            "Type": title,
            "TotalCount": str(usage[kind]["total"]),
            "Active": str(usage[kind]["active"]),
            "Size": human_size(usage[kind]["size"]),
            "Reclaimable": human_size(usage[kind]["reclaimable"]),
        }
        for title, kind in (
            ("Images", "images"), ("Layers", "layers"), ("Mounts", "mounts"), ("Trash", "trash")
        )
    ]  # fmt: skip
    USAGE.show(rows, options.format)
    if options.verbose:
        items = [(short(i["id"]), human_size(i["size"])) for i in usage["layers"]["items"]]
        print("\n" + table(("LAYER", "SIZE"), items), end="")
        items = [(i["name"], human_size(i["size"])) for i in usage["mounts"]["items"]]
        print("\n" + table(("MOUNT", "SIZE"), items), end="")
    return 0


def _usage(store: LayerStore) -> dict[str, Any]:
    layers = store.map()
    mounted = store.mounts()
    used: set[str] = set()
    for mount in mounted:
        chain = mount.parent
        while chain is not None and chain not in used:
            used.add(chain)
            chain = layers[chain].parent
    sizes = _sizes(store, mounted)
    found = store.images.list()
    in_use = [image for image in found if used.issuperset(image.layers) and image.layers]
    of_images = {chain for image in found for chain in image.layers if chain in layers}
    thrown_away, trash = _trash(store)
    return {
        "images": {
            "total": len(found),
            "active": len(in_use),
            "size": sum(layers[chain].diff_size for chain in of_images),
            "reclaimable": sum(layers[chain].diff_size for chain in of_images - used),
        },
        "layers": {
            "total": len(layers),
            "active": len(used),
            "size": sum(layer.diff_size for layer in layers.values()),
            "reclaimable": sum(
                layer.diff_size for chain, layer in layers.items() if chain not in used
            ),
            "items": [{"id": layer.chain_id, "size": layer.diff_size} for layer in layers.values()],
        },
        "mounts": {
            "total": len(mounted),
            "active": sum(mount.path is not None for mount in mounted),
            "size": sum(sizes.values()),
            "reclaimable": sum(sizes[mount.name] for mount in mounted if mount.path is None),
            "items": [{"name": name, "size": size} for name, size in sizes.items()],
        },
        "trash": {"total": thrown_away, "active": 0, "size": trash, "reclaimable": trash},
    }


def _sizes(store: LayerStore, mounted: Sequence[MountMetadata]) -> dict[str, int]:
    """Return the bytes of read-write layers: of those that quotas don't count, files are walked."""
    counted = store.usage()
    sizes = {}
    for mount in mounted:
        size = counted.get(mount.name)
        sizes[mount.name] = store.get_rw_layer(mount.name).size() if size is None else size
    return sizes


def _trash(store: LayerStore) -> tuple[int, int]:
    """Return how many removed things are still on the disk, and their bytes."""
    path = trash_path(store.root)
    try:
        return len(os.listdir(path)), tree_size(path)
    except OSError as error:
        raise DriverError.from_os_error("measure", path, error) from error


def info(store: LayerStore, options: argparse.Namespace) -> int:
    """Tell about the store."""
    found = {
        "Root": store.root,
        "Storage Driver": store.driver_name,
        "Chosen because": store.driver_reason,
        **dict(store.driver_status()),
        "User namespace": str(standing()),
        **_owner(store),
        "Durability": "durable" if store.core.durable else "relaxed",
        "Confinement": str(store.confinement()),
        "Images": store.images.count(),
        "Layers": store.count_layers(),
        "Mounts": store.count_rw_layers(),
        "Faults": [str(fault) for fault in store.faults],
    }
    if options.json or options.format == "json":
        return print_json(found)
    if options.format is not None:
        fields = {_field(key): value for key, value in found.items()}
        print(Template(options.format).fill(fields, terminal=sys.stdout.isatty()))
        return 0
    for key, value in found.items():
        if isinstance(value, list):
            print(f"{key}: {len(value)}")
            for item in value:
                print(f"  {item}")
        else:
            print(f"{key}: {value}")
    return 0


def _owner(store: LayerStore) -> dict[str, str]:
    owner = store.owner
    if owner is None:
        return {}
    since = human_duration(owner.open_for).lower()
    return {"Owner": f"process {owner.pid}, layerstore {owner.version}, for {since}"}


def _field(key: str) -> str:
    """Return the name of a fact in a template: `Storage Driver` is `StorageDriver`."""
    return "".join(word[:1].upper() + word[1:] for word in _WORD.split(key) if word)
