"""What is a layer's own: what it was asked to be, and where its own files lie.

Owns that memory, which saves looking again, and the making of what was asked for.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

from msgspec import structs
from msgspec.structs import asdict

from layerstore.drivers.errors import DriverError, InvalidArgument, InvalidMetadata
from layerstore.drivers.graph.kept_options import read_kept, rewrite_kept, write_kept
from layerstore.drivers.graph.overlay2.layout import Layout
from layerstore.drivers.graph.overlay2.scratch import (
    MEMORY,
    SCRATCH_MODE,
    boot_id,
    check_counts,
    check_ordinary,
    check_scratch,
    has_memory,
    inodes_within,
    lay_memory,
    lend_memory,
    make_scratch,
    memory_used,
    unmake_scratch,
    unmount_memory,
)
from layerstore.drivers.graph.quota.layers import ProjectQuotas
from layerstore.drivers.graph.storage_options import StorageOptions
from layerstore.drivers.model.tree import LaterPaths, LayerTree, WhiteoutFormat

_MOST_KEPT = 1024
"""Layers of which it is remembered what they were asked to be."""


class Own:
    """What the layers of one home were asked to be, and where each one's own files lie."""

    def __init__(self, layout: Layout, whiteouts: WhiteoutFormat) -> None:
        self._layout = layout
        self._whiteouts = whiteouts
        self._quotas = ProjectQuotas(layout.home)
        self._boot = boot_id()  # now, as a process that is confined can't see it
        self._kept: dict[str, StorageOptions] = {}
        """As far as it was read: none ever changes, and no ID is given twice but by who undoes."""

    def near(self, layout: Layout) -> Own:
        """Return the same by a layout that holds directories open."""
        near = copy.copy(self)
        near._layout = layout
        return near

    def make(self, layer_id: str, parent: str | None, options: StorageOptions) -> list[str]:
        """Make a layer that is what it was asked to be; see Layout.make.

        Raises InvalidArgument where there can be no such layer.
        """
        self._check(options)
        mode = SCRATCH_MODE if options.scratch else 0o710
        unsynced = self._layout.make(layer_id, parent, mode)
        if options != StorageOptions():
            path = self._layout.path(layer_id)
            try:
                unsynced += write_kept(path, options)
                if options.scratch:
                    make_scratch(path, options, self._boot)
                if options.size is not None and options.scratch != "memory":
                    names = ("", "/diff", "/work") if parent is not None else ("", "/diff")
                    inodes = inodes_within(options.size)
                    self._quotas.bound([f"{path}{name}" for name in names], options.size, inodes)
            except BaseException:
                unmake_scratch(path)
                self._layout.unmake(layer_id)
                raise
        self._keep(layer_id, options)
        return [] if options.scratch else unsynced

    def _check(self, options: StorageOptions) -> None:
        user = self._whiteouts is WhiteoutFormat.OVERLAY_USER
        if options.scratch:
            check_scratch(options, self._layout.home, self._boot, userxattr=user)
        if options.size is None or options.scratch == "memory":
            return
        reason = "they are not for user namespaces" if user else self._quotas.why_not()
        if reason:
            why = f"project quotas bound a layer on the disk: {reason}; scratch=memory is bounded"
            raise InvalidArgument(f"size={options.size}", why)

    def usage(self, layer_id: str) -> int | None:
        """Return the bytes that a layer takes, where something counts them; else None.

        Whatever is kept of it: one that can't be read, or is lost, mustn't hide the others. Raises
        DriverError.
        """
        path = self._layout.path(layer_id)
        return memory_used(path) if has_memory(path) else self._quotas.usage(path)

    def forget(self, layer_id: str) -> None:
        """Know nothing of a layer that goes."""
        self._kept.pop(layer_id, None)

    def options(self, layer_id: str) -> StorageOptions:
        """Return what a layer was asked to be. Raises what read_kept does, and DriverError where
        that is lost.
        """
        kept = self._kept.get(layer_id)
        if kept is None:
            path = self._layout.path(layer_id)
            kept = read_kept(path)
            if not kept.scratch:
                check_ordinary(path)
            self._keep(layer_id, kept)
        return kept

    def give_map(self, layer_id: str, id_map: str) -> list[str]:
        """See GraphDriver."""
        path = self._layout.path(layer_id)
        options = structs.replace(read_kept(path), userns=id_map)
        self._keep(layer_id, options)
        return rewrite_kept(path, options)

    def _keep(self, layer_id: str, options: StorageOptions) -> None:
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[layer_id] = options

    def facts(self, layer_id: str) -> dict[str, str]:
        """Return for people what a layer was asked to be, as it was said, or why that's unknown."""
        try:
            options = self.options(layer_id)
        except (InvalidMetadata, DriverError) as error:
            return {"StorageOpt": str(error)}
        return {f"StorageOpt.{key}": str(value) for key, value in asdict(options).items() if value}

    def in_memory(self, layer_id: str) -> bool:
        """Whether a layer's own files lie in memory. What it was asked to be may be unreadable."""
        kept = self._kept.get(layer_id)
        if kept is None:
            return has_memory(self._layout.path(layer_id))
        return kept.scratch == "memory"

    def directory(self, layer_id: str) -> str:
        """Return where a layer's `diff` and `work` lie, relative to the home.

        Raises DriverError where what is in them doesn't count any more, and what `options` does.
        """
        options = self.options(layer_id)
        if options.scratch:
            check_counts(self._layout.path(layer_id), options, self._boot)
        return f"{layer_id}/{MEMORY}" if options.scratch == "memory" else layer_id

    def tree(self, layer_id: str) -> LayerTree:
        """See GraphDriver."""
        return LayerTree(
            root=f"{self._layout.home}/{self.directory(layer_id)}/diff",
            lowers=LaterPaths(lambda: self._layout.lower_directories(layer_id)),
            whiteouts=self._whiteouts,
        )

    def lend(self, layer_id: str) -> int | None:
        """See Lends."""
        path = self._layout.path(layer_id)
        if self.options(layer_id).scratch != "memory" or not has_memory(path):
            return None  # where it should be there, whoever looks for it tells that it isn't
        return lend_memory(path)

    @contextlib.contextmanager
    def borrow(self, layer_id: str, lent: int) -> Iterator[None]:
        """See Lends."""
        path = self._layout.path(layer_id)
        if has_memory(path):
            yield
            return
        lay_memory(path, lent)
        try:
            yield
        finally:
            unmount_memory(path)
