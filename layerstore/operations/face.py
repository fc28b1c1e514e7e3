"""What every face of a store stands on: its actors, and making references to what they own.

Owns which references are a store's own. How a face waits is in what is generated for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from layerstore.asking.core import Core
from layerstore.asking.requests import New
from layerstore.drivers.errors import LayerNotRetained
from layerstore.operations.handles import LayerHandle, RWLayerHandle

H = TypeVar("H", bound=LayerHandle | RWLayerHandle)


class Face(ABC):
    """One way to ask a store."""

    @property
    @abstractmethod
    def core(self) -> Core:
        """The actors behind the store."""

    @property
    def _owner(self) -> object:
        """Return what is closed when nobody has it any more; references keep it."""
        return self

    def _new(self, kind: Callable[[Core, Any, int, object], H]) -> New[H]:
        """Return what is needed for one more reference."""
        core, owner = self.core, self._owner
        reference = core.new_reference()
        return New(reference, lambda facts: kind(core, facts, reference, owner))

    def _mine(self, handle: H) -> H:
        """Return a reference; raises LayerNotRetained for one of another store."""
        if not handle.belongs_to(self.core):
            raise LayerNotRetained(repr(handle))
        return handle


class HasCore(Protocol):
    """A store whose actors may be others later."""

    @property
    def core(self) -> Core:
        """The actors of now."""


class DeferredFace(Face):
    """A face of a store that somebody else has opened and will close."""

    def __init__(self, store: HasCore) -> None:
        self._store = store

    @property
    def core(self) -> Core:
        """The actors behind the store."""
        return self._store.core

    @property
    def _owner(self) -> object:
        return self._store
