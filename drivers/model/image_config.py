"""Image configurations: what the JSON says, its image ID, and how a committed image's is made.

Pure functions over bytes of the OCI image specification's "Image Configuration" (docker's own
configurations have the same fields and more). Nothing here touches the disk.
"""

from __future__ import annotations

from typing import Any, NewType

import msgspec

from layerstore.drivers.errors import InvalidImage, InvalidName, LimitExceeded
from layerstore.drivers.model.annotations import Annotations
from layerstore.drivers.model.go_json import folded
from layerstore.drivers.model.ids import ChainID, DiffID, chain_of, diff_id

ImageID = NewType("ImageID", str)

MAX_CONFIG = 4 << 20
"""Bytes in one configuration or manifest."""
MAX_LAYERS = 10_000

EMPTY_LAYER = DiffID("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")
"""Diff ID of a tar without entries (1024 zero bytes). moby: layer.DigestSHA256EmptyTar."""


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of an image's history, as the configuration has it."""

    created: str | None = None
    author: str | None = None
    created_by: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class _RootFS(msgspec.Struct):
    type: str | None = None
    diff_ids: list[str] | None = None


class _Config(msgspec.Struct, rename={"os_name": "os"}):
    created: str | None = None
    architecture: str | None = None
    variant: str | None = None
    os_name: str | None = None
    rootfs: _RootFS | None = None
    history: list[HistoryEntry | None] | None = None


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the store needs to know of a configuration."""

    image_id: ImageID
    created: str
    """RFC 3339, or empty where the configuration has none."""
    architecture: str
    variant: str
    os: str
    diff_ids: tuple[DiffID, ...]
    history: tuple[HistoryEntry, ...]

    def chain_ids(self) -> list[ChainID]:
        """Return the chain ID of every layer, the base first."""
        chains: list[ChainID] = []
        for diff in self.diff_ids:
            chains.append(chain_of(chains[-1] if chains else None, diff))
        return chains

    @property
    def chain_id(self) -> ChainID | None:
        """The top layer's chain ID; None for an image without layers."""
        chains = self.chain_ids()
        return chains[-1] if chains else None


Repositories = dict[str, dict[str, ImageID]]
"""Repository -> full reference (`busybox:latest`, `busybox@sha256:...`) -> image ID."""


class StoredImage(msgspec.Struct, frozen=True, kw_only=True):
    """One image as its files describe it."""

    facts: ImageFacts
    parent: ImageID | None
    """The image it was made from by a commit or build, where that is recorded."""
    annotations: tuple[Annotations, ...] = ()
    """Those by which layouts call it what is no name here."""


def image_id_of(config: bytes) -> ImageID:
    """Return the image ID: the digest of the configuration's bytes."""
    import hashlib  # noqa: PLC0415 - see ids

    return ImageID("sha256:" + hashlib.sha256(config).hexdigest())


def parse_json(data: bytes, what: str) -> Any:
    """Decode JSON from outside; InvalidImage says what is wrong with `what`."""
    if len(data) > MAX_CONFIG:
        raise LimitExceeded(f"the size in bytes of {what}", MAX_CONFIG)
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidImage(what, f"not JSON: {error}") from error


def parse_config(config: bytes, what: str) -> ImageFacts:
    """Read a configuration; `what` names it in errors.

    Raises InvalidImage where it isn't one, or lists a layer that has no diff ID.
    """
    document = parse_json(config, what)
    try:
        parsed = msgspec.convert(folded(document, _Config), _Config)
    except msgspec.ValidationError as error:
        raise InvalidImage(what, f"not an image configuration: {error}") from error
    if parsed.rootfs is None:
        raise InvalidImage(what, "not an image configuration: it has no rootfs")
    if parsed.rootfs.type not in (None, "", "layers"):
        raise InvalidImage(what, f"its rootfs is of the unknown type {parsed.rootfs.type!r}")
    diffs = parsed.rootfs.diff_ids or []
    if len(diffs) > MAX_LAYERS:
        raise LimitExceeded(f"the number of layers of {what}", MAX_LAYERS)
    return ImageFacts(
        image_id=image_id_of(config),
        created=parsed.created or "",
        architecture=parsed.architecture or "",
        variant=parsed.variant or "",
        os=parsed.os_name or "",
        diff_ids=tuple(_checked(text, what) for text in diffs),
        history=tuple(step or HistoryEntry() for step in parsed.history or ()),  # as Go reads null
    )


def _checked(text: str, what: str) -> DiffID:
    try:
        return diff_id(text)
    except InvalidName as error:
        raise InvalidImage(what, f"{text[:200]!r} in its rootfs is not a diff ID") from error


def without_layers(config: bytes, what: str) -> bytes:
    """Return a configuration whose steps of history are kept, and made no layer.

    What `child_config` makes of it is an image of one layer, with all else as it was. Raises
    InvalidImage. moby: SquashImage.
    """
    parse_config(config, what)
    document = folded(msgspec.json.decode(config), _Config)
    document["rootfs"] = {"type": "layers", "diff_ids": []}
    steps = document.get("history") or ()
    document["history"] = [{**(step or {}), "empty_layer": True} for step in steps]
    return msgspec.json.encode(document, order="sorted")


_OF_THE_BUILD = ("container", "container_config", "docker_version", "id", "parent", "parent_id")


def child_config(
    parent: bytes | None,
    layer: DiffID | None,
    *,
    created: str,
    created_by: str,
    author: str = "",
    comment: str = "",
    architecture: str = "",
) -> bytes:
    """Make the configuration of an image that is `parent` with one more layer.

    `layer` None adds a history entry without a layer; `created` is RFC 3339; `architecture` is
    used where there is no parent to have one. The keys are sorted, so equal arguments give equal
    bytes, and so an equal image ID. moby: image.NewChildImage.
    """
    document: dict[str, Any] = {"architecture": architecture, "os": "linux", "config": {}}
    if parent is not None:
        parse_config(parent, "the parent's configuration")
        document = folded(msgspec.json.decode(parent), _Config)
    for key in _OF_THE_BUILD:
        document.pop(key, None)
    rootfs = document.get("rootfs") or {}
    diffs = [*(rootfs.get("diff_ids") or []), *([layer] if layer is not None else [])]
    entry = HistoryEntry(
        created=created,
        created_by=created_by or None,
        author=author or None,
        comment=comment or None,
        empty_layer=True if layer is None else None,
    )
    document["rootfs"] = {"type": "layers", "diff_ids": diffs}
    document["history"] = [*(document.get("history") or []), entry]
    document["created"] = created
    if author:
        document["author"] = author
    return msgspec.json.encode(document, order="sorted")
