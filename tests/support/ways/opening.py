"""Opening a store in one of the ways.

Owns what is open, until all of it is closed at a test's end.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from layerstore import AsyncLayerStore, LayerStore
from tests.support.ways.owners import Owners

Way = Literal["thread", "process", "attached"]


class Visiting(LayerStore):
    """An attached store whose owner closes it, too: what is on the disk then is nobody's."""

    _owners: Owners | None = None

    @classmethod
    def with_owners(cls, root: str, owners: Owners) -> Self:
        """Attach to a root that one of `owners` has open."""
        store = cls.attach(root)
        store._owners = owners
        return store

    def close(
        self, *, keep_mounts: bool = False, keep_trash: bool = False, timeout: float = 10.0
    ) -> None:
        """See LayerStore."""
        super().close(keep_mounts=keep_mounts, keep_trash=keep_trash, timeout=timeout)
        owners, self._owners = self._owners, None
        if owners is not None:
            owners.close(self.root)


class Opening:
    """Opens stores in one way, all with the same options where no others are given."""

    def __init__(self, way: Way, owners: Owners, root: Path, options: dict[str, object]) -> None:
        self.way = way
        self._root = root
        self._owners = owners
        self._options = options
        self._opened: list[LayerStore] = []

    def store(self, root: Path | None = None, **options: object) -> LayerStore:
        """Open a root, the test's own if no other is given; it is closed in the end."""
        store = self._store(os.path.realpath(root or self._root), self._options | options)
        self._opened.append(store)
        return store

    def _store(self, root: str, options: dict[str, object]) -> LayerStore:
        if self.way == "attached":
            self._owners.close(root)
            self._owners.open(root, options)
            return Visiting.with_owners(root, self._owners)
        return LayerStore(root, **self._in_this_process(options))  # type: ignore[arg-type]

    def _in_this_process(self, options: dict[str, object]) -> dict[str, object]:
        return options if self.way == "thread" else {"engine": "process"} | options

    def asynchronous(self, root: Path | None = None, **options: object) -> AsyncLayerStore:
        """Return a store that is to be opened, and closed, by whoever has an event loop."""
        given, place = self._options | options, os.path.realpath(root or self._root)
        if self.way == "attached":
            self._owners.open(place, given)
            return AsyncLayerStore.attach(place)
        return AsyncLayerStore(place, **self._in_this_process(given))

    def close(self) -> None:
        """Close what is open."""
        for store in self._opened:
            store.close()
        if self.way == "attached":
            self._owners.check()
