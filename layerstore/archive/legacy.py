"""Reading what `docker save` wrote before 1.10: a folder for each layer, and `repositories`.

Owns that format: `<ID>/json` and `<ID>/layer.tar`, chained by `parent`, each an image of its own,
and the names of those that have any. Source: moby's image/tarexport, legacyLoad.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import cast

import msgspec

from layerstore.archive.archive import Archive, read_blob
from layerstore.archive.image import ArchivedImage, Found, layer_of, make_image
from layerstore.archive.v1_config import V1Image, config_of_v1, read_v1, step_of
from layerstore.archive.wanted import Wanted
from layerstore.drivers.errors import IntegrityError, InvalidImage, InvalidTar, LimitExceeded
from layerstore.drivers.model.ids import DiffID
from layerstore.drivers.model.image_config import MAX_CONFIG, parse_json
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.tar.source import open_source
from layerstore.drivers.work import OwnedDescriptor, TarSource

REPOSITORIES = "repositories"
_CHUNK = 1 << 20
_MOST = 4_000
_DEEPEST = 200
_MOST_BYTES = 256 << 20
"""Of all configurations: each has what those below it have, so that few files can make many."""
_Repositories = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One folder."""

    content: bytes
    image: V1Image


def is_legacy(archive: Archive) -> bool:
    """Whether an archive without a manifest is of this kind."""
    return archive.size(REPOSITORIES) is not None or next(_folders(archive), None) is not None


def read_legacy_archive(archive: Archive, wanted: Wanted, limits: Limits) -> Found:
    """Read every image that is wanted and can be taken, and before it those it is made from.

    Raises InvalidImage where none can, LimitExceeded.
    """
    reader = _Reader(archive, limits)
    names = _names(archive)
    parents = {layer.image.parent for layer in reader.layers.values()}
    listed = [one for one in reader.layers if one in names or one not in parents]
    missing = [name for one, called in names.items() if one not in reader.layers for name in called]
    for name in missing:
        reason = f"{REPOSITORIES} calls a layer {name[:200]!r} that is missing"
        reader.found.leave_out(InvalidImage(archive.label, reason))
    if listed:
        picked = wanted.pick([names.get(one, []) for one in listed], archive.label)
        for number, meant in picked.items():
            reader.take(listed[number], meant, wanted)
    return reader.found.all_of_it(archive.label)


def _folders(archive: Archive) -> Iterator[str]:
    return (name for name in archive.folders() if archive.size(f"{name}/json") is not None)


def _names(archive: Archive) -> dict[str, list[str]]:
    """Return the names of each layer's image, by the layer's ID."""
    if archive.size(REPOSITORIES) is None:
        return {}
    what = f"{REPOSITORIES} of {archive.label}"
    document = parse_json(read_blob(archive, REPOSITORIES, MAX_CONFIG), what)
    try:
        repositories = msgspec.convert(document, _Repositories)
    except msgspec.ValidationError as error:
        raise InvalidImage(what, str(error)) from error
    found: dict[str, list[str]] = {}
    for repository, tags in repositories.items():
        for tag, layer in tags.items():
            found.setdefault(layer, []).append(f"{repository}:{tag}")
    return found


class _Reader:
    """Makes images of layers, each after the one that it is made from."""

    def __init__(self, archive: Archive, limits: Limits) -> None:
        self.found = Found()
        self.layers: dict[str, _Layer] = {}
        self._archive = archive
        self._limits = limits
        self._made: dict[str, ArchivedImage] = {}
        self._diffs: dict[tuple[int, int, int], DiffID] = {}
        self._bytes = 0
        for number, name in enumerate(_folders(archive)):
            if number >= _MOST:
                raise LimitExceeded(f"the layers of {archive.label}", _MOST)
            try:
                content = self._counted(read_blob(archive, f"{name}/json", MAX_CONFIG))
                what = f"{name}/json of {archive.label}"
                self.layers[name] = _Layer(content, read_v1(content, what))
            except InvalidImage as error:
                self.found.leave_out(error)

    def take(self, name: str, names: list[str], wanted: Wanted) -> None:
        """Make an image and those below it."""
        try:
            below: ArchivedImage | None = None
            chain = self._chain(name)
            for number, one in enumerate(chain, 1):
                is_last = number == len(chain)
                if one not in self._made or is_last:
                    made = self._make(one, below, names if is_last else [], is_step=not is_last)
                    self._made[one] = made
                    if is_last:
                        self.found.take_for(wanted, made, self._archive.label)
                    else:
                        self.found.take(made)
                below = self._made[one]
        except (InvalidImage, IntegrityError) as error:
            self.found.leave_out(error)

    def _chain(self, name: str) -> list[str]:
        """Return an image's layers, the base first."""
        chain = [name]
        while parent := self.layers[chain[-1]].image.parent:
            if parent not in self.layers:
                reason = f"layer {chain[-1]} is made from {parent[:100]!r}, which is missing"
                raise InvalidImage(self._archive.label, reason)
            chain.append(parent)
            if len(chain) > len(self.layers):
                reason = f"the parents of layer {name} lead in a circle"
                raise InvalidImage(self._archive.label, reason)
            if len(chain) > _DEEPEST:
                what = f"the layers of one image of {self._archive.label}"
                raise LimitExceeded(what, _DEEPEST)
        return chain[::-1]

    def _counted(self, content: bytes) -> bytes:
        self._bytes += len(content)
        if self._bytes > _MOST_BYTES:
            what = f"the size in bytes of all configurations of {self._archive.label}"
            raise LimitExceeded(what, _MOST_BYTES)
        return content

    def _make(
        self, name: str, below: ArchivedImage | None, names: list[str], *, is_step: bool
    ) -> ArchivedImage:
        layer, blob = self.layers[name], f"{name}/layer.tar"
        archived = layer_of(self._archive, blob, None, None)
        diffs, history = (below.facts.diff_ids, below.facts.history) if below else ((), ())
        diffs = (*diffs, self._diff(blob))
        history = (*history, step_of(layer.image))
        config = self._counted(config_of_v1(layer.content, layer.image, diffs, history))
        layers = [*(below.layers if below else ()), archived]
        made = make_image(self._archive, config, layers, names, f"{name}/json")
        parent = below.facts.image_id if below else None
        return replace(made, parent=parent, is_step=is_step)

    def _diff(self, blob: str) -> DiffID:
        """Return the diff ID of a tar, which nothing in this format tells."""
        digest = hashlib.sha256()
        with self._archive.open(blob) as region:
            place = (os.fstat(cast("int", region.file)).st_ino, region.offset, region.size)
            if place in self._diffs:
                return self._diffs[place]
            source = TarSource(inflate=True, offset=region.offset, size=region.size)
            given = OwnedDescriptor(os.dup(cast("int", region.file)))
            with closing(given), open_source(source, (given,), self._limits) as tar:
                try:
                    while piece := tar.stream.read(_CHUNK):
                        digest.update(piece)
                except InvalidTar as error:
                    raise InvalidImage(self._archive.label, f"{blob}: {error.reason}") from error
        return self._diffs.setdefault(place, DiffID(f"sha256:{digest.hexdigest()}"))
