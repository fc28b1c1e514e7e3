"""What the owner does for one attached process.

Owns which of the store's references are that process's: it knows them by numbers of its own, uses
no others, and all are given back when it is gone. A request that it waits for then is undone; what
it has had an answer for stays, as with a caller in this process. It never waits: all that happens
here happens in the listener's thread, but for taking note of an answer, which any thread does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from layerstore.actors import messages as m
from layerstore.actors.runtime.message import Message
from layerstore.asking.later import Later
from layerstore.asking.requests import Request
from layerstore.drivers.errors import LayerStoreError, StoreBusy, StoreRestarted
from layerstore.drivers.model.image_config import parse_config
from layerstore.drivers.model.reference import parse_reference, repository_of
from layerstore.drivers.system.frames import BadFrame
from layerstore.drivers.system.mountinfo import mount_paths
from layerstore.drivers.work import READING, Descriptors, InspectRoot
from layerstore.engine.core import Engine
from layerstore.engine.sharing.wire import SHARED, call_back, checked_fields

_MOST_ASKED = 10_000
"""Requests of one process without an answer."""
_RELEASES = (m.ReleaseLayer, m.ReleaseRWLayer)


@dataclass(frozen=True, slots=True)
class Held:
    """A reference of the store that an attached process has."""

    number: int
    actor: str
    message: Message
    """What it was got by, with the store's own number."""


class Asked(Later[Any]):
    """A request of an attached process."""

    def __init__(self, engine: Engine, request: Request[Any], taken: Callable[[], None]) -> None:
        super().__init__(engine, request)
        self._taken = taken

    @property
    def message(self) -> Message:
        """What is asked."""
        return self._request.message

    @property
    def actor(self) -> str:
        """Who is asked."""
        return self._request.actor

    def promised(self) -> None:
        """Pass on that the actor will answer later, for whoever pumps a tar then."""
        self._taken()


class Holding:
    """What one attached process has, by whatever socket it asks; by their numbers."""

    def __init__(self) -> None:
        self.being_got: dict[int, Asked] = {}
        """The requests for references and work to come."""
        self.held: dict[int, Held] = {}
        self.unsettled: dict[int, Held] = {}
        """Those that may be held: their actor died before it answered."""
        self.ended = False


class Served:
    """The requests and the references of one attached process."""

    def __init__(self, engine: Engine, holding: Holding | None = None) -> None:
        """Begin with nothing, or by one more socket of a process that is `holding` something."""
        self._engine = engine
        self._asked: dict[int, tuple[Asked, int | None]] = {}
        """Requests without an answer, by their number; with the number that is being used up."""
        self.holding = holding or Holding()
        self._is_line = holding is not None

    def by_line(self, engine: Engine) -> Served:
        """Return what serves one more socket of the same process."""
        return Served(engine, self.holding)

    def ask(
        self,
        number: int,
        actor: str,
        name: str,
        fields: object,
        descriptors: Descriptors,
        taken: Callable[[], None],
    ) -> Asked:
        """Ask an actor; the future's callbacks are called in any thread.

        Raises BadFrame for what no peer of ours sends, LayerStoreError for what is refused.
        """
        kind = SHARED.get(name)
        if kind is None or kind.shared is None or actor not in kind.shared.actors:
            raise BadFrame(f"nobody is asked {name[:40]} of {actor[:40]}")
        if number in self._asked:
            raise BadFrame(f"request {number} has no answer yet")
        values = checked_fields(kind, fields)
        _check_descriptors(kind, values, len(descriptors))
        if len(self._asked) >= _MOST_ASKED:
            raise StoreBusy(len(self._asked))
        theirs = values.get(kind.abandoned_by) if kind.abandoned_by is not None else None
        message = self._own(kind, values, theirs, descriptors)
        asked = Asked(self._engine, Request(_as_asked(actor), message), taken)
        self._asked[number] = (asked, theirs)
        if theirs is not None:
            self.holding.being_got[theirs] = asked
        return asked

    def begin(self, asked: Asked) -> None:
        """Send a request on its way. Raises StoreClosed."""
        self._engine.follow(asked)

    def _own(
        self,
        kind: type[Message],
        values: dict[str, Any],
        theirs: int | None,
        descriptors: Descriptors,
    ) -> Message:
        """Make the message, in which every number is the store's own."""
        self._number(kind, values, theirs)
        if descriptors:
            values["descriptors"] = descriptors
        if kind is m.CheckDisk:  # the mounts that count are those that the owner sees
            values["job"] = InspectRoot(mounted=mount_paths())
        _check_names(kind, values)
        return kind(**values)

    def _number(self, kind: type[Message], values: dict[str, Any], theirs: int | None) -> None:
        """Put the store's numbers in place of theirs."""
        if values.get("init") is call_back:
            raise BadFrame("functions are called back for the embedder alone")
        if theirs is not None:
            if theirs in self.holding.being_got or theirs in self.holding.held:
                raise BadFrame(f"the number {theirs} is in use")
            before = self.holding.unsettled.pop(theirs, None)
            fresh = before.number if before is not None else self._engine.new_reference()
            values[str(kind.abandoned_by)] = fresh
        for name in ("reference", "source_reference"):
            if name in values and kind.abandoned_by != name:
                held = self.holding.held.get(values[name])
                # A number that nobody has is refused by the actor, in the words of its own.
                values[name] = held.number if held else self._engine.new_reference()

    def answered(self, number: int, error: LayerStoreError | None) -> Message | None:
        """Take note that a request is over, in any thread; before its answer is sent.

        Returns what was asked, None if that isn't known.
        """
        asked, theirs = self._asked.get(number, (None, None))
        if asked is None:
            return None
        message, holding = asked.message, self.holding
        if theirs is not None:
            if message.abandoned_by == "reference":
                self._got(theirs, Held(message.number or 0, asked.actor, message), error)
            holding.being_got.pop(theirs, None)
        elif error is None and isinstance(message, _RELEASES):
            held_now = list(holding.held.items())
            for key in [key for key, held in held_now if held.number == message.reference]:
                holding.held.pop(key, None)
        self._asked.pop(number, None)
        return message

    def _got(self, theirs: int, held: Held, error: LayerStoreError | None) -> None:
        if error is None:
            self.holding.held[theirs] = held
            if self.holding.ended:  # perhaps before it knew of this one
                self._give_back(held)
        elif isinstance(error, StoreRestarted):
            self.holding.unsettled[theirs] = held

    def abandon(self, theirs: int) -> None:
        """Undo what was asked for by a number; one that isn't in use is of something over."""
        holding = self.holding
        asked = holding.being_got.get(theirs)
        if asked is not None:  # also where it is just being answered
            asked.abandon()
        held = holding.held.pop(theirs, None) or holding.unsettled.pop(theirs, None)
        if asked is None and held is not None:
            self._engine.abandon(self._engine.actor(held.actor), held.message)

    def end(self) -> None:
        """Undo what is under way, and give back what is held, but for a line's. Idempotent."""
        asked, self._asked = self._asked, {}
        for one, _ in list(asked.values()):
            one.abandon()
        if self._is_line:
            return
        holding = self.holding
        holding.ended = True
        held, holding.held = holding.held, {}
        for each in list(held.values()):
            self._give_back(each)
        unsettled, holding.unsettled = holding.unsettled, {}
        for each in list(unsettled.values()):
            self._engine.abandon(self._engine.actor(each.actor), each.message)

    def _give_back(self, held: Held) -> None:
        self._engine.actors.let_go(self._engine.actor(held.actor), held.number)


def _as_asked(actor: str) -> Any:
    return actor


def _check_descriptors(kind: type[Message], values: dict[str, Any], count: int) -> None:
    """Raise BadFrame where another number of descriptors came than the message wants."""
    wanted = 0
    if kind is m.ReadLayer or values.get("what") in READING:
        wanted = 1
    elif kind is m.Register or values.get("what") == "apply":
        source = values["source"]
        if source is None:
            raise BadFrame("nothing says how the tar is to be read")
        wanted = 2 if source.confirmed else 1
    if count != wanted:
        raise BadFrame(f"{kind.__name__} has {wanted} descriptors, not {count}")


def _check_names(kind: type[Message], values: dict[str, Any]) -> None:
    """Check what the books believe of an image; raises LayerStoreError, BadFrame."""
    if kind is m.AddImage:
        if parse_config(values["config"], "the configuration") != values["facts"]:
            raise BadFrame("an image has other facts than its configuration")
        names = values["names"]
    elif kind is m.TagImage:
        names = {values["name"]: values["repository"]}
    else:
        return
    for name, repository in names.items():
        known = str(parse_reference(name).looked_up())
        if known != name or repository_of(name) != repository:
            raise BadFrame(f"{name[:200]!r} is no name of {repository[:200]!r}")
