"""What every message is, and the one that tells what became of work given away.

Owns the root class; which messages there are is the room `messages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from msgspec import Struct

from layerstore.actors.watching.facts import plain
from layerstore.drivers.errors import LayerStoreError

T = TypeVar("T")


class Shared(Struct, frozen=True):
    """How other processes ask a message; what has none is for this process alone."""

    brings: Any
    """The type that the answer is checked against."""
    actors: tuple[str, ...]
    """Names of those it may be asked of."""


class Message(Struct, frozen=True, kw_only=True):
    """The root of all messages; `public` ones are asked, the others are told.

    Messages and jobs are msgspec's structs, which are made in a thirtieth of the time that a
    dataclass takes; there are a hundred, and a command imports them all.
    """

    public: ClassVar[bool] = False
    repeatable: ClassVar[bool] = False
    """Asked twice it does no more than asked once, so it is asked again of actors made anew."""

    recorded: ClassVar[tuple[str, ...] | None] = None
    """Fields that a journal takes down for a replay: names, IDs and numbers, never contents."""

    abandoned_by: ClassVar[str | None] = None
    """Field with the number by which it is undone where its caller gives up, if it can be."""

    shared: ClassVar[Shared | None] = None
    """How processes ask it that are attached to the store."""

    def summary(self) -> str:
        """IDs and names only, for traces; never contents."""
        return ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.summary()})"

    def for_journal(self) -> Mapping[str, Any]:
        """Return the recorded fields as plain data; what is not listed is not taken down."""
        return {name: plain(getattr(self, name)) for name in self.recorded or ()}

    @property
    def number(self) -> int | None:
        """The number that it is abandoned by."""
        return None if self.abandoned_by is None else getattr(self, self.abandoned_by)


class Done(Message, frozen=True, kw_only=True):
    """The work or question `token` is finished: with a value, or with an error."""

    token: int
    kind: str
    value: object = None
    error: LayerStoreError | None = None
    retries: int = 0
    """Attempts that had to be repeated on the way."""
    along: object = None
    """What the job was handed in along with."""

    def outcome(self, kind: type[T]) -> T:
        """Return the value, which must be of this kind."""
        if not isinstance(self.value, kind):
            raise TypeError(f"{self.kind} brought {self.value!r}, not {kind.__name__}")
        return self.value

    def summary(self) -> str:
        """Return what was done, the error's class, and how often attempts were repeated."""
        words = [self.kind]
        if self.error is not None:
            words.append(type(self.error).__name__)
        if self.retries:
            words.append(f"after {self.retries} {'retry' if self.retries == 1 else 'retries'}")
        return " ".join(words)
