"""What outlives the actors: what callers hold, and what was begun for them and not yet answered.

Owned by whoever starts the actors. The registries keep it up to date, so that those who come after
them start with what the disk does not tell. Only one generation of them lives at a time, and each
part has one registry that writes it.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct, field

from layerstore.actors.messages.metadata import LayerMetadata
from layerstore.drivers.model.ids import ChainID


class Mounted(Struct, frozen=True):
    """How a read-write layer is mounted."""

    count: int
    path: str | None
    here: bool
    """Mounted through this store, not found when it was opened."""


class Lent(Struct, frozen=True):
    """Leave to take references to one layer unheard."""

    facts: LayerMetadata
    """What the answer would be."""
    leave: deque[bool]
    to_give_back: deque[bool]
    """The layer's `slack`. Who takes a reference adds to it: another keeps the layer."""


class LayersRetained(Struct):
    """The LayerRegistry's part.

    Callers of this process who don't wait for an answer change four things, by single steps of the
    interpreter: they put in the reference that they take and take out the one that they give back,
    take leave to do so, and note that the layer is forsaken.
    """

    held: dict[int, ChainID] = field(default_factory=dict)
    """Reference -> layer."""
    slack: dict[ChainID, deque[bool]] = field(default_factory=dict)
    """Leave to give back a reference unheard, as often as another keeps the layer all the same."""
    lent: dict[ChainID, Lent] = field(default_factory=dict)
    """Leave to take a reference unheard, of layers that more than one has."""
    made: dict[int, str] = field(default_factory=dict)
    """Reference -> cache ID, of those references that came of registering a new layer."""
    forsaken: set[ChainID] = field(default_factory=set)
    """Layers that somebody gave up, to go when nothing keeps them."""
    unanswered: set[str] = field(default_factory=set)
    """Cache IDs of layers that are being registered, or whose caller gave up."""


class MountsRetained(Struct):
    """The MountRegistry's part."""

    held: dict[int, str] = field(default_factory=dict)
    """Reference -> mount ID."""
    made: dict[int, str] = field(default_factory=dict)
    """Reference -> mount ID, of those references that came of making a layer."""
    mounted: dict[str, Mounted] = field(default_factory=dict)
    """By mount ID, unless it is just being mounted or unmounted."""
    unanswered: set[str] = field(default_factory=set)
    """Mount IDs of read-write layers that are being made, or whose caller gave up."""


class Retained(Struct):
    """Both parts."""

    fresh: bool = True
    """No actors have been started with it yet."""
    layers: LayersRetained = field(default_factory=LayersRetained)
    mounts: MountsRetained = field(default_factory=MountsRetained)

    def forget(self, reference: int, *, stays: bool = False) -> None:
        """Strike out a reference that its caller never got; what was made for it is to go.

        Or it `stays`, where the caller got it, and is gone now.
        """
        for part in (self.layers, self.mounts):
            part.held.pop(reference, None)
            made = part.made.pop(reference, None)
            if made is not None and not stays:
                part.unanswered.add(made)
