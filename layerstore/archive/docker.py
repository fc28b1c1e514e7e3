"""Reading what `docker save` writes, of all ages, and what other tools write in its format.

Owns `manifest.json`: a list of images with `Config`, `RepoTags` and `Layers`, the last in the order
of the configuration's diff IDs. moby: image/tarexport.
"""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec

from layerstore.archive.archive import Archive, read_blob
from layerstore.archive.both import called_in_index
from layerstore.archive.foreign import LayerSource
from layerstore.archive.image import (
    UNTAKEN,
    ArchivedImage,
    Found,
    layer_of,
    make_image,
    nameless,
    read_verified,
)
from layerstore.archive.wanted import Wanted
from layerstore.drivers.errors import InvalidImage, LimitExceeded
from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.go_json import folded
from layerstore.drivers.model.image_config import MAX_CONFIG, parse_config, parse_json

MANIFEST = "manifest.json"
_MAX_IMAGES = 1000
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})\Z")
_NAMED_BY_ID = re.compile(r"(?:blobs/sha256/|sha256:)?([0-9a-f]{64})(?:\.json)?\Z")


class _Entry(msgspec.Struct, rename="pascal"):
    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None
    layer_sources: dict[str, LayerSource] | None = None
    """By diff ID, of layers that aren't passed on."""


def read_docker_archive(archive: Archive, wanted: Wanted) -> Found:
    """Read every image of the archive that is wanted and can be taken.

    Raises InvalidImage where none can, and for a lone one IntegrityError where a blob isn't what
    its name promises; LimitExceeded.
    """
    what = f"{MANIFEST} of {archive.label}"
    document = parse_json(read_blob(archive, MANIFEST, MAX_CONFIG), what)
    try:
        entries = msgspec.convert(folded(document, list[_Entry]), list[_Entry])
    except msgspec.ValidationError as error:
        raise InvalidImage(what, str(error)) from error
    if not entries:
        raise InvalidImage(what, "it lists no image")
    if len(entries) > _MAX_IMAGES:
        raise LimitExceeded(f"the number of images of {archive.label}", _MAX_IMAGES)
    found = Found()
    index = called_in_index(archive)
    naming = [index.get(_digest_in(entry.config) or "", []) for entry in entries]
    called = [[*(e.repo_tags or []), *_values(by)] for e, by in zip(entries, naming, strict=True)]
    for number, meant in wanted.pick(called, archive.label).items():
        entry = entries[number]
        tags = entry.repo_tags or []
        names = [name for name in meant if name in tags] or tags
        try:
            image = _read_image(archive, entry, list(dict.fromkeys(names)))
            image = replace(image, annotations=nameless(naming[number]))
            found.take_for(wanted, image, archive.label)
        except UNTAKEN as error:
            found.leave_out(error)
    found.settle_names(wanted)
    return found.all_of_it(archive.label)


def _digest_in(name: str) -> str | None:
    """Return the digest that a configuration's file is named by."""
    named = _NAMED_BY_ID.match(name)
    return f"sha256:{named[1]}" if named else None


def _values(naming: list[Annotations]) -> list[str]:
    return [name for annotations in naming for name in annotations.values()]


def _read_image(archive: Archive, entry: _Entry, names: list[str]) -> ArchivedImage:
    digest = _digest_in(entry.config)
    if digest is not None:
        config = read_verified(archive, entry.config, digest)
    else:
        config = read_blob(archive, entry.config, MAX_CONFIG)
    diffs = parse_config(config, f"{entry.config} in {archive.label}").diff_ids
    sources = entry.layer_sources or {}
    layers = []
    for number, name in enumerate(entry.layers or []):
        blob = _BLOB.match(name)
        promised = f"sha256:{blob[1]}" if blob else None
        source = sources.get(diffs[number]) if number < len(diffs) else None
        # Newer dockers say it of every layer, only to say where the blob lies.
        kept = source if source is not None and source.is_worth_keeping else None
        layers.append(layer_of(archive, name, promised, None, kept))
    return make_image(archive, config, layers, names, entry.config)
