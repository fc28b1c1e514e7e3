"""References to layers, and what they know without asking anybody.

The faces' classes add how the store is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from layerstore.actors import messages as m
from layerstore.asking.core import Core
from layerstore.asking.requests import New, Number
from layerstore.drivers.model.ids import ChainID, DiffID

F = TypeVar("F")
H = TypeVar("H", bound="RWLayerHandle")


class Handle(Generic[F]):
    """One reference to something that the store owns, and its facts."""

    __slots__ = ("_core", "_facts", "_owner", "_reference")

    def __init__(self, core: Core, facts: F, reference: int, owner: object) -> None:
        self._core = core
        self._owner = owner  # a store is closed when nobody has it any more
        self._facts = facts
        self._reference = reference

    @property
    def reference(self) -> int:
        """Number of this reference, by which the store knows it."""
        return self._reference

    def belongs_to(self, core: Core) -> bool:
        """Whether the reference is one of this open store's."""
        return self._core is core


class LayerHandle(Handle[m.LayerMetadata]):
    """One reference to a read-only layer."""

    __slots__ = ()

    @property
    def chain_id(self) -> ChainID:
        """`sha256:<hex>` that names the layer and all beneath it."""
        return self._facts.chain_id

    @property
    def diff_id(self) -> DiffID:
        """`sha256:<hex>` of the layer's own tar."""
        return self._facts.diff_id

    @property
    def parent(self) -> ChainID | None:
        """Chain ID of the layer beneath, None for a base layer."""
        return self._facts.parent

    @property
    def size(self) -> int:
        """Bytes of the layer and all its parents."""
        return self._facts.size

    @property
    def diff_size(self) -> int:
        """Bytes of the layer alone."""
        return self._facts.diff_size

    @property
    def descriptor(self) -> str | None:
        """JSON of the descriptor that the layer was registered with."""
        return self._facts.descriptor

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.chain_id}>"


class RWLayerHandle(Handle[m.MountMetadata]):
    """One reference to a named read-write layer."""

    __slots__ = ()

    @property
    def facts(self) -> m.MountMetadata:
        """All that was known of it when this reference was made."""
        return self._facts

    @property
    def name(self) -> str:
        """The name it was created under."""
        return self._facts.name

    @property
    def mount_id(self) -> str:
        """The graph driver's ID of it."""
        return self._facts.mount_id

    @property
    def parent(self) -> ChainID | None:
        """Chain ID of the layer beneath, None where there is none."""
        return self._facts.parent

    @property
    def id_map(self) -> str:
        """Which users of this machine its own are, as IdMap has it; empty for the same."""
        return self._facts.id_map

    def _new(self, kind: Callable[[Core, m.MountMetadata, int, object], H]) -> New[H]:
        """Return what is needed for a reference to a layer that is made of this one."""
        core, owner = self._core, self._owner
        reference = core.new_reference()
        return New(reference, lambda facts: kind(core, facts, reference, owner))

    def _number(self) -> Number:
        """Return what work is abandoned by."""
        return Number(self._core.new_reference())

    def as_handle(self, kind: type[H]) -> H:
        """Return the same reference as another face has it; it still is only one."""
        return kind(self._core, self._facts, self._reference, self._owner)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
