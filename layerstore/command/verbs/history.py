"""The steps that made an image, as docker history shows them.

Owns how steps are matched with layers: each step that isn't empty has the next one. Source: OCI
image specification, "history"; moby: ImageHistory.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from layerstore.command.output.documents import print_json
from layerstore.command.output.rows import Listing
from layerstore.command.output.tables import human_age, human_size, short
from layerstore.drivers.errors import ImageDoesNotExist, LayerDoesNotExist
from layerstore.images.image import sizes_of

if TYPE_CHECKING:
    from layerstore.api.store import LayerStore
    from layerstore.images.image import Image

_MISSING = "<missing>"
_WIDTH = 45

HISTORY = Listing(
    {
        "ID": "IMAGE",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "CreatedBy": "CREATED BY",
        "Size": "SIZE",
        "Comment": "COMMENT",
    },
    ("ID", "CreatedSince", "CreatedBy", "Size", "Comment"),
)


def history(store: LayerStore, options: argparse.Namespace) -> int:
    """List the steps, the newest first."""
    image = store.images.get(options.image)
    sizes = _step_sizes(store, image)
    steps = list(reversed(list(zip(image.history, sizes, strict=True))))
    ids = list(_ids(store, image, len(steps)))
    if options.json:
        return print_json(
            [
                {
                    "id": None if identity == _MISSING else identity,
                    "created": step.created,
                    "created_by": step.created_by,
                    "comment": step.comment,
                    "size": size,
                }
                for (step, size), identity in zip(steps, ids, strict=True)
            ]
        )
    whole = options.no_trunc
    if options.quiet:
        for identity in ids:
            print(identity if whole else short(identity))
        return 0
    rows = []
    for (step, size), identity in zip(steps, ids, strict=True):
        made_by = " ".join((step.created_by or "").split())
        cut = whole or len(made_by) <= _WIDTH
        rows.append(
            {
                "ID": identity if whole or identity == _MISSING else short(identity),
                "CreatedSince": human_age(step.created or ""),
                "CreatedAt": step.created or "N/A",
                "CreatedBy": made_by if cut else made_by[: _WIDTH - 1] + "\u2026",
                "Size": human_size(size) if options.human else str(size),
                "Comment": " ".join((step.comment or "").split()),
            }
        )
    HISTORY.show(rows, options.format)
    return 0


def _step_sizes(store: LayerStore, image: Image) -> list[int]:
    """Return the bytes of each step's layer, 0 for one without; the first step first."""
    # Who made the base may have recorded no steps; those of its layers have none then.
    steps = sum(not step.empty_layer for step in image.history)
    left = iter(image.layers[max(len(image.layers) - steps, 0) :])
    sizes = []
    for step in image.history:
        chain = None if step.empty_layer else next(left, None)
        try:
            sizes.append(sizes_of(store, chain)[0])
        except LayerDoesNotExist:
            sizes.append(0)
    return sizes


def _ids(store: LayerStore, image: Image, count: int) -> Iterator[str]:
    """Give the image of each step where one is known, the newest first."""
    current: Image | None = image
    for _ in range(count):
        yield current.id if current is not None else _MISSING
        parent = current.parent if current is not None else None
        try:
            current = store.images.get(parent) if parent is not None else None
        except ImageDoesNotExist:
            current = None
