"""Messages that more than one registry gets."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from layerstore.actors.runtime.message import Message, Shared


class Abandon(Message, frozen=True, kw_only=True):
    """Told: whoever asked with this reference or request gave up, or never heard the answer.

    What was made or held by it is undone; a job is stopped, wherever it has got to.
    """

    recorded: ClassVar[tuple[str, ...] | None] = ("reference", "stays")

    reference: int
    stays: bool = False
    """Whoever held it is gone, having had the answer: the reference goes, what was made stays."""


class CloseBooks(Message, frozen=True, kw_only=True):
    """Refuse new requests from now on; answered when nothing is pending any more."""

    public: ClassVar[bool] = True


class CountEntries(Message, frozen=True, kw_only=True):
    """Answered with how many layers, read-write layers or images there are, by who owns them.

    Those that are being made or removed are among them.
    """

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(int, ("layers", "mounts", "images"))
    repeatable: ClassVar[bool] = True
    recorded: ClassVar[tuple[str, ...] | None] = ()


class Standing(Struct, frozen=True, kw_only=True):
    """All names and IDs that a registry knows, at one moment."""

    busy: frozenset[str] = frozenset()
    """Of what is being made or removed, so that the disk may be in between."""
    ready: frozenset[str] = frozenset()

    def __or__(self, other: Standing) -> Standing:
        """Return what either knows."""
        return Standing(busy=self.busy | other.busy, ready=self.ready | other.ready)

    def since(self, before: Standing) -> frozenset[str]:
        """Return the names of what has changed, or may have, since an earlier moment."""
        return self.busy | before.busy | (self.ready ^ before.ready)


class Underway(Message, frozen=True, kw_only=True):
    """Asked of the layers and the mounts: what is just being made or removed, and what stands.

    Answered with Standing.
    """

    public: ClassVar[bool] = True
    shared: ClassVar[Shared | None] = Shared(
        Standing,
        (
            "layers",
            "mounts",
        ),
    )
    repeatable: ClassVar[bool] = True
