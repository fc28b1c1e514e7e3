"""What the command's verbs print that list images, read-write layers and changes.

Owns the fields of `--format` and the keys of `--json`; each verb returns the exit status. Sizes in
JSON are bytes, times RFC 3339.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from layerstore.command.output.documents import print_json
from layerstore.command.output.filters import chosen, filtered_images, fits, truths
from layerstore.command.output.rows import Listing
from layerstore.command.output.tables import human_age, human_size, printable, short
from layerstore.command.verbs.changing import find
from layerstore.drivers.model.reference import parse_reference
from layerstore.drivers.model.times import parse_time

if TYPE_CHECKING:
    from layerstore.actors.messages import MountMetadata
    from layerstore.api.store import LayerStore
    from layerstore.drivers.model.tree import Change
    from layerstore.images.image import Image
    from layerstore.operations.blocking import RWLayer

_NONE = "<none>"
_KINDS = {"MODIFY": "C", "ADD": "A", "DELETE": "D"}

IMAGES = Listing(
    {
        "Repository": "REPOSITORY",
        "Tag": "TAG",
        "Digest": "DIGEST",
        "ID": "IMAGE ID",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "Size": "SIZE",
    },
    ("Repository", "Tag", "ID", "CreatedSince", "Size"),
)
MOUNTS = Listing(
    {
        "ID": "ID",
        "Image": "IMAGE",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "Status": "STATUS",
        "Name": "NAME",
        "Path": "PATH",
        "Parent": "PARENT",
        "Size": "SIZE",
    },
    ("ID", "Image", "CreatedSince", "Status", "Name", "Path"),
)
_IMAGES_WITH_DIGESTS = Listing(
    IMAGES.titles, ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
)
_MOUNTS_WITH_SIZES = Listing(MOUNTS.titles, (*MOUNTS.usual, "Size"))
CHANGES = Listing({"Kind": "KIND", "Path": "PATH", "Note": "NOTE"}, ("Kind", "Path"))
_WHITEOUT_NAME = " (no layer can have it: there its name says that something is gone)"


def images(store: LayerStore, options: argparse.Namespace) -> int:
    """List images, a line for each name."""
    every = store.images.list()
    found = filtered_images(store, every, options.filters)
    if not options.all or ("dangling", True) in truths(options.filters):
        made_from = {image.parent for image in every}
        found = [image for image in found if image.names or image.id not in made_from]
    if options.reference is not None:
        found = [i for i in found if any(fits(name, options.reference) for name in i.names)]
    if options.json:
        return print_json([_image_facts(image) for image in found])
    if options.quiet:
        for image in found:
            print(image.id if options.no_trunc else short(image.id))
        return 0
    rows = [row for image in found for row in _image_rows(image, options)]
    (_IMAGES_WITH_DIGESTS if options.digests else IMAGES).show(rows, options.format)
    return 0


def _image_rows(image: Image, options: argparse.Namespace) -> Iterator[dict[str, str]]:
    asked = options.reference
    names = [name for name in image.names if asked is None or fits(name, asked)]
    with_digests = options.digests or "Digest" in (options.format or "")
    for repository, tag, digest in _told_apart(names, with_digests=with_digests):
        yield {
            "Repository": repository,
            "Tag": tag,
            "Digest": digest,
            "ID": image.id if options.no_trunc else short(image.id),
            "CreatedSince": human_age(image.created),
            "CreatedAt": image.created or "N/A",
            "Size": human_size(image.size) if image.missing is None else "broken",
        }


def _told_apart(names: Sequence[str], *, with_digests: bool) -> Iterator[tuple[str, str, str]]:
    """Give repository, tag and digest of each row: a digest has one of its own only without a tag.

    With digests each tag has as many rows as there are of its repository.
    """
    references = [parse_reference(name) for name in names]
    for repository in dict.fromkeys(reference.repository for reference in references):
        of_it = [one for one in references if one.repository == repository]
        tags = [one.tag for one in of_it if one.digest is None and one.tag is not None]
        digests = [one.digest for one in of_it if one.digest is not None]
        if not with_digests:
            digests = []
        for tag in tags or (_NONE,):
            for digest in digests or (_NONE,):
                yield repository, tag, digest
    if not names:
        yield _NONE, _NONE, _NONE


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
    found = _filtered_mounts(store, options)
    if options.quiet and not options.json:
        for mount in found:
            print(mount.name)
        return 0
    facts = [mount_facts(store, mount) for mount in found]
    if options.json:
        return print_json(facts)
    rows = [_mount_row(fact, options) for fact in facts]
    form = options.format or ""
    if options.size or form == "json" or "Size" in form:
        layers = store.map()
        for row, mount in zip(rows, found, strict=True):
            beneath = layers[mount.parent].size if mount.parent is not None else 0
            size = sizes(store.get_rw_layer(mount.name), beneath)
            own, whole = human_size(size["SizeRw"]), human_size(size["SizeRootFs"])
            row["Size"] = f"{own} (virtual {whole})"
    (_MOUNTS_WITH_SIZES if options.size else MOUNTS).show(rows, options.format)
    return 0


def sizes(rw: RWLayer, beneath: int) -> dict[str, int]:
    """Return the bytes of a read-write layer, by docker's keys: its own, and with its image's."""
    own = rw.size()
    return {"SizeRw": own, "SizeRootFs": own + beneath}


def _filtered_mounts(store: LayerStore, options: argparse.Namespace) -> list[MountMetadata]:
    @functools.cache
    def named(name: str) -> Image:
        return store.images.get(name)

    def is_made_from(mount: MountMetadata, name: str) -> bool:
        asked = named(name)
        if mount.parent != asked.chain_id:
            return False
        image = store.images.image_of(mount.mount_id, mount.parent)
        return image is not None and image.id == asked.id

    found = chosen(
        store.mounts(),
        options.filters,
        {
            "ancestor": is_made_from,
            "id": lambda mount, value: mount.mount_id.startswith(value),
            "name": lambda mount, value: value in mount.name,
            "status": lambda mount, value: (mount.path is not None) == (value == "mounted"),
        },
    )
    if options.last is None:
        return found

    def made_at(mount: MountMetadata) -> tuple[datetime, str]:
        record = store.images.record_of(mount.mount_id)
        text = record.created if record is not None else ""
        return parse_time(text) or datetime.min.replace(tzinfo=UTC), text

    return sorted(found, key=made_at, reverse=True)[: options.last]


def _mount_row(fact: dict[str, Any], options: argparse.Namespace) -> dict[str, str]:
    def shown(identity: str) -> str:
        return identity if options.no_trunc else short(identity)

    return {
        "ID": shown(fact["id"]),
        "Image": fact["image"] or _NONE,
        "CreatedSince": human_age(fact["created"] or ""),
        "CreatedAt": fact["created"] or "N/A",
        "Status": "mounted" if fact["path"] is not None else "not mounted",
        "Name": fact["name"],
        "Path": printable(fact["path"] or "", terminal=sys.stdout.isatty()),
        "Parent": shown(fact["parent"] or _NONE),
        "Size": "",
    }


def mount_facts(store: LayerStore, mount: MountMetadata) -> dict[str, Any]:
    """Return what is known of a read-write layer, by the keys of the JSON."""
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
        "id_map": mount.id_map,
    }


def _change_facts(change: Change) -> dict[str, Any]:
    facts = {"path": change.path, "kind": change.kind.name.lower()}
    return {**facts, "whiteout_name": True} if change.is_whiteout_name else facts


def diff(store: LayerStore, options: argparse.Namespace) -> int:
    """List changes as docker diff does."""
    changes = find(store, options.name).changes()
    if options.json:
        return print_json([_change_facts(change) for change in changes])
    rows = [
        {
            "Kind": _KINDS[change.kind.name],
            "Path": change.path,
            "Note": _WHITEOUT_NAME if change.is_whiteout_name else "",
        }
        for change in changes
    ]
    CHANGES.show(rows, options.format or "{{.Kind}} {{.Path}}{{.Note}}")
    return 0
