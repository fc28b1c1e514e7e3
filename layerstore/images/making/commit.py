"""Committing: a read-write layer's changes become a read-only layer, for a new image.

Owns the layer while the image is being made, and the words of its step of history.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from layerstore.asking.progress import Notice
from layerstore.drivers.model.docker_config import process_of
from layerstore.drivers.model.ids import DiffID
from layerstore.drivers.model.image_config import EMPTY_LAYER, child_config
from layerstore.drivers.model.platform import host_platform
from layerstore.drivers.model.tree import WHITEOUT_PREFIX, Change, TarStyle
from layerstore.images.making.changes import changed_config
from layerstore.images.making.registering import register
from layerstore.operations.blocking import BlockingStore, RWLayer

if TYPE_CHECKING:
    from layerstore.operations.blocking import Layer

_OF_BUILDS = ("OnBuild", "Shell")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What is wanted of a commit; see ImageStore.commit."""

    created: str
    author: str
    comment: str
    changes: Sequence[str]
    style: TarStyle
    notice: Notice

    @contextlib.contextmanager
    def made(self, store: BlockingStore, rw: RWLayer, parent: bytes | None) -> Iterator[bytes]:
        """Give the new image's configuration; its layer is retained for the `with` block.

        `parent` is the configuration of the image that `rw` was made from. Raises InvalidImage for
        changes that are none, and what registering does.
        """
        changed_config(parent or b"{}", self.changes)  # a bad one is told before files are read
        if self.style.skip_whiteout_names:
            _tell_of_whiteout_names(rw.changes(), self.notice)
        layer = _register(store, rw, self.style)
        try:
            config = committed_config(
                parent,
                layer.diff_id if layer.diff_id != EMPTY_LAYER else None,
                name=rw.name,
                created=self.created,
                author=self.author,
                comment=self.comment,
            )
            yield changed_config(config, self.changes) if self.changes else config
        finally:
            layer.release()


def _tell_of_whiteout_names(changes: Sequence[Change], notice: Notice) -> None:
    """Say what is left out; of what is beneath such a name no more than that."""
    tops = {_top(change.path): None for change in changes if change.is_whiteout_name}
    for path in tops:
        notice(f"left out: {path}, which in a layer would say that something is gone")


def _top(path: str) -> str:
    """Return a path as far as its first whiteout's name."""
    start = path.index(f"/{WHITEOUT_PREFIX}") + 1
    end = path.find("/", start)
    return path if end < 0 else path[:end]


def _register(store: BlockingStore, rw: RWLayer, style: TarStyle) -> Layer:
    with rw.tar_stream(style.sparse, style.skip_whiteout_names) as stream:
        return register(store, stream, rw.parent)


def committed_config(
    parent: bytes | None,
    layer: DiffID | None,
    *,
    name: str,
    created: str,
    author: str,
    comment: str,
) -> bytes:
    """Make the configuration of the image that a commit of the read-write layer `name` makes.

    As with docker, what the parent says of builds is no more: ONBUILD and SHELL.
    """
    made = child_config(
        parent,
        layer,
        created=created,
        created_by=f"layerstore commit {name}",
        author=author,
        comment=comment,
        architecture=host_platform().architecture,
    )
    document: dict[str, Any] = msgspec.json.decode(made)
    process = process_of(document)
    for key in _OF_BUILDS:
        process.pop(key, None)
    document["config"] = process
    return msgspec.json.encode(document, order="sorted")
