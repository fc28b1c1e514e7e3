"""What the command's verbs print that only look; each returns the exit status.

Owns the columns and the keys of the JSON. Sizes in JSON are bytes, times RFC 3339.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from layerstore.actors.messages import MountMetadata
from layerstore.command.tables import human_age, human_size, printable, short, table
from layerstore.command.verbs import find
from layerstore.drivers.errors import DriverError
from layerstore.drivers.trash import trash_path
from layerstore.drivers.tree_size import tree_size
from layerstore.image import Image
from layerstore.reference import parse_reference
from layerstore.store import LayerStore

_NONE = "<none>"


def _print_json(found: Any) -> int:
    json.dump(found, sys.stdout, indent=2)
    print()
    return 0


def images(store: LayerStore, options: argparse.Namespace) -> int:
    """List images, a line for each name."""
    found = store.images.list()
    if options.json:
        return _print_json([_image_facts(image) for image in found])
    identify = str if options.no_trunc else short
    if options.quiet:
        for image in found:
            print(identify(image.id))
        return 0
    rows = []
    for image in found:
        size = human_size(image.size) if image.missing is None else "broken"
        for name in image.names or (None,):
            repository, tag = _NONE, _NONE
            if name is not None:
                reference = parse_reference(name)
                repository, tag = reference.repository, reference.tag or _NONE
            rows.append((repository, tag, identify(image.id), human_age(image.created), size))
    print(table(("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"), rows), end="")
    return 0


def _image_facts(image: Image) -> dict[str, Any]:
    return {
        "id": image.id,
        "names": list(image.names),
        "parent": image.parent,
        "created": image.created,
        "os": image.os,
        "architecture": image.architecture,
        "size": image.size,
        "layers": list(image.layers),
        "missing": image.missing,
    }


def mounts(store: LayerStore, options: argparse.Namespace) -> int:
    """List read-write layers."""
    found = store.mounts()
    if options.quiet and not options.json:
        for mount in found:
            print(mount.name)
        return 0
    facts = [_mount_facts(store, mount) for mount in found]
    if options.json:
        return _print_json(facts)
    identify = str if options.no_trunc else short
    rows = [
        (
            identify(fact["id"]),
            fact["image"] or _NONE,
            human_age(fact["created"] or ""),
            "mounted" if fact["path"] is not None else "not mounted",
            fact["name"],
            printable(fact["path"] or "", terminal=sys.stdout.isatty()),
        )
        for fact in facts
    ]
    print(table(("ID", "IMAGE", "CREATED", "STATUS", "NAME", "PATH"), rows), end="")
    return 0


def _mount_facts(store: LayerStore, mount: MountMetadata) -> dict[str, Any]:
    record = store.images.record_of(mount.mount_id)
    return {
        "name": mount.name,
        "id": mount.mount_id,
        "init_id": mount.init_id,
        "parent": mount.parent,
        "image": record.image if record is not None else None,
        "image_id": record.image_id if record is not None else None,
        "created": record.created if record is not None else None,
        "path": mount.path,
        "state": mount.state,
    }


def diff(store: LayerStore, options: argparse.Namespace) -> int:
    """List changes as docker diff does."""
    changes = find(store, options.name).changes()
    if options.json:
        return _print_json([{"path": c.path, "kind": c.kind.name.lower()} for c in changes])
    terminal = sys.stdout.isatty()
    for change in changes:
        print(printable(str(change), terminal=terminal))
    return 0


def disk_usage(store: LayerStore, options: argparse.Namespace) -> int:
    """Tell sizes: layers are counted once, however many images and mounts share them."""
    usage = _usage(store)
    if not options.verbose:
        for kind in ("layers", "mounts"):
            del usage[kind]["items"]
    if options.json:
        return _print_json(usage)
    rows = [
        (
            title,
            str(usage[kind]["total"]),
            str(usage[kind]["active"]),
            human_size(usage[kind]["size"]),
            human_size(usage[kind]["reclaimable"]),
        )
        for title, kind in (
            ("Images", "images"), ("Layers", "layers"), ("Mounts", "mounts"), ("Trash", "trash")
        )
    ]  # fmt: skip
    print(table(("TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"), rows), end="")
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
    sizes = {mount.name: store.get_rw_layer(mount.name).size() for mount in mounted}
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
        "Durability": options.durability,
        "Confinement": str(store.confinement()),
        "Images": len(store.images.list()),
        "Layers": len(store.map()),
        "Mounts": len(store.mounts()),
        "Faults": [str(fault) for fault in store.faults],
    }
    if options.json:
        return _print_json(found)
    for key, value in found.items():
        if isinstance(value, list):
            print(f"{key}: {len(value)}")
            for item in value:
                print(f"  {item}")
        else:
            print(f"{key}: {value}")
    return 0
