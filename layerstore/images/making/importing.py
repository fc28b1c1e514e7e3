"""Importing: a plain tar of a root file system becomes an image of one layer, as `docker import`.

Owns the layer while the image is being made, and its configuration.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence

from layerstore.archive.open import ArchiveSource
from layerstore.asking.progress import Progress
from layerstore.asking.source import Readable
from layerstore.drivers.errors import DriverError
from layerstore.drivers.model.ids import DiffID
from layerstore.drivers.model.image_config import child_config
from layerstore.drivers.model.platform import Platform
from layerstore.images.making.changes import changed_config
from layerstore.images.making.registering import Counted, register
from layerstore.operations.blocking import BlockingStore

_WHAT = "Importing"


@contextlib.contextmanager
def imported_layer(
    store: BlockingStore, source: ArchiveSource, progress: Progress | None
) -> Iterator[DiffID]:
    """Register a tar (plain, or compressed) as a base layer, retained for a `with` block."""
    with contextlib.ExitStack() as stack:
        given = source
        if progress is not None:
            given = _watched(stack, source, progress)
        layer = register(store, given, compression="auto")
        stack.callback(layer.release)
        yield layer.diff_id


def imported_config(
    layer: DiffID, *, changes: Sequence[str], comment: str, created: str, platform: Platform
) -> bytes:
    """Make the configuration of the image; raises InvalidName for a bad change."""
    config = child_config(
        None,
        layer,
        created=created,
        created_by="",
        comment=comment,
        architecture=platform.architecture,
    )
    return changed_config(config, changes)


def _watched(stack: contextlib.ExitStack, source: ArchiveSource, progress: Progress) -> Readable:
    total = 0
    if isinstance(source, str | os.PathLike):
        try:
            file = stack.enter_context(open(source, "rb"))  # noqa: SIM115
            status = os.fstat(file.fileno())
        except OSError as error:
            raise DriverError.from_os_error("open", os.fspath(source), error) from error
        total = status.st_size if stat.S_ISREG(status.st_mode) else 0
        return Counted(file, lambda done: progress(_WHAT, done, total))
    return Counted(source, lambda done: progress(_WHAT, done, 0))
