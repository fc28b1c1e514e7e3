"""The protocol: what travels between a store's owner and a process that is attached to it.

Owns how messages and answers become plain data and are made of it again, each field checked. Which
messages there are, their fields and what they are answered with, is said by the messages themselves
(`shared`). A frame is a list, whose first member says what it is:

    to the owner      hello, protocol
                      ask, number, actor, message, fields, descriptors that came beside it
                      look, number, what
                      watch, number, watch             to be sent records; the watch is any number
                      unwatch, number, watch           which is answered once all are sent
                      journal, number, path or nil     the owner's, to be written from now on
                      abandon, reference or request
                      line, number             one more socket of its comes beside
                      part, number, bytes              of a question that is longer than a frame,
                      last, number, bytes              and how it ends
    from the owner    owner, facts of it               the answer to hello
                      taken, number                    the actor will answer later
                      answer, number, value
                      mounted, number, path, device, inode
                      error, number, error
                      records, records                 that are done, where they are watched
                      lost, how many                   that were not read in time
                      bad, reason                      and nothing comes after it
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, NewType

import msgspec

from layerstore.actors import messages as m
from layerstore.actors.watching.trace import Took, TraceRecord
from layerstore.actors.watching.waiting import Waiting
from layerstore.drivers.errors import InvalidArgument, LimitExceeded, Wire
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.wanted_confinement import Confine
from layerstore.drivers.sandbox.init import mount_points
from layerstore.drivers.system.frames import MAX_FRAME, BadFrame, convert, pack_frame
from layerstore.drivers.work import CheckJob, Init, InspectRoot

PROTOCOL = 8
"""Another number for each change of what travels, messages and answers among it."""
MAX_ANSWER = MAX_FRAME
MAX_QUESTION = 16 << 20
"""Bytes; the longest are configurations of images."""

PIECE = 16 << 10
"""Bytes of a question's frame, nearly; Linux takes up to 32 KiB for a Unix socket in one piece."""

SHARED: dict[str, type[m.Message]] = {
    name: message
    for name, message in vars(m).items()
    if isinstance(message, type) and issubclass(message, m.Message) and message.shared is not None
}
"""What may be asked, by name."""

LOOKS: dict[str, Any] = {
    "faults": list[Wire],
    "waiting": Waiting,
    "slowest": list[Took],
    "trace": list[TraceRecord],
    "generation": int,
}
"""What the owner tells of itself without asking an actor, and its type."""


def call_back(path: str) -> None:
    """Stand for an init function of the embedder's, which is called there."""
    raise NotImplementedError(f"{path} is the embedder's to look at")


CLOSE = "close"
"""What only an embedder asks: that its store is closed."""

INITS: dict[str, Init] = {init.__name__: init for init in (mount_points, call_back)}
"""Functions that are known at both ends, so that their names may travel for them."""

_BESIDE = "descriptors"
"""The field that travels beside a frame."""
_INSTEAD: dict[Any, Any] = {CheckJob: InspectRoot}
"""Narrower types of fields that may have any job within this process."""
_DIGEST = msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """What whoever attaches is told of the owner, and needs to find its way about the root."""

    protocol: int
    version: str
    pid: int
    driver: str
    driver_reason: str
    durable: bool
    limits: Limits = field(default_factory=Limits)
    confine: Confine
    workers: int
    open_for: float
    """Seconds for which it has had the root open."""


class Hello(NamedTuple):
    """Who begins a conversation says so."""

    word: Literal["hello"]
    protocol: int


class Ask(NamedTuple):
    """A question for an actor."""

    word: Literal["ask"]
    number: int
    actor: str
    name: str
    fields: dict[str, Any]
    descriptors: int


class Look(NamedTuple):
    """What the owner is to tell of itself."""

    word: Literal["look"]
    number: int
    what: str


class Piece(NamedTuple):
    """Part of a question that is longer than a frame."""

    word: Literal["part", "last"]
    number: int
    content: bytes


class NewLine(NamedTuple):
    """One more socket comes beside this."""

    word: Literal["line"]
    number: int


class Abandon(NamedTuple):
    """What was asked for by this number is to be undone."""

    word: Literal["abandon"]
    number: int


class Answer(NamedTuple):
    """What was asked for."""

    word: Literal["answer"]
    number: int
    value: Any


class Mounted(NamedTuple):
    """Where something is mounted, and what the owner sees there."""

    word: Literal["mounted"]
    number: int
    path: str
    device: int
    inode: int


class Error(NamedTuple):
    """Why something was not done."""

    word: Literal["error"]
    number: int
    error: Wire


class Taken(NamedTuple):
    """The answer comes later."""

    word: Literal["taken"]
    number: int


def _checked(kind: Any) -> Any:
    """Return a field's type as it is checked where it comes from outside."""
    if isinstance(kind, NewType):  # DiffID, ChainID and ImageID are digests all three
        return typing.Annotated[str, _DIGEST]
    if kind == Init | None:
        known: Any = tuple(INITS)
        return typing.Optional[typing.Literal[known]]  # noqa: UP045
    if kind in _INSTEAD:
        return _INSTEAD[kind]
    arguments = typing.get_args(kind)
    if not arguments or typing.get_origin(kind) is typing.Literal:
        return kind
    origin = typing.get_origin(kind)
    inner = tuple(_checked(argument) for argument in arguments)
    return typing.Union[inner] if origin in (types.UnionType, typing.Union) else origin[inner]  # noqa: UP007


_shapes: dict[str, type[msgspec.Struct]] = {}
"""Made when they are first needed: all of them take as long as opening a store."""


def _shape(message: type[m.Message]) -> type[msgspec.Struct]:
    """Return a message's fields as they travel."""
    known = _shapes.get(message.__name__)
    if known is None:
        known = _shapes[message.__name__] = _make_shape(message)
    return known


def _make_shape(message: type[m.Message]) -> type[msgspec.Struct]:
    hints = typing.get_type_hints(message)
    travelling = [
        (name, _checked(hints[name])) for name in message.__struct_fields__ if name != _BESIDE
    ]
    return msgspec.defstruct(message.__name__, travelling, forbid_unknown_fields=True)


def plain(value: object) -> Any:
    """Return a message, an answer or a part of one as data."""
    return msgspec.to_builtins(value, builtin_types=(bytes,))


def fields_of(message: m.Message) -> dict[str, Any]:
    """Return what travels of a message: of an init function its name, or call_back's.

    Raises InvalidArgument for what is none of its kind.
    """
    names = _shape(type(message)).__struct_fields__
    values = {name: getattr(message, name) for name in names}
    if values.get("init") is not None:
        known = (name for name, init in INITS.items() if init is values["init"])
        values["init"] = next(known, call_back.__name__)
    fields = {name: plain(value) for name, value in values.items()}
    try:
        convert(fields, _shape(type(message)))
    except BadFrame as error:
        raise InvalidArgument(repr(message)[:200], str(error)) from error
    return fields


def checked_fields(message: type[m.Message], received: object) -> dict[str, Any]:
    """Return the fields of a message that came from outside. Raises BadFrame."""
    values = msgspec.structs.asdict(convert(received, _shape(message)))
    if values.get("init") is not None:
        values["init"] = INITS[values["init"]]
    return values


def checked_answer(message: type[m.Message], received: object) -> Any:
    """Return an answer as the message's own process would. Raises BadFrame."""
    if message.shared is None:
        raise BadFrame(f"nobody was asked {message.__name__}")
    return convert(received, message.shared.brings)


def pack_question(number: int, question: object) -> list[bytes]:
    """Return the frames of a question, each so small that it is sent in one piece or not at all.

    Raises LimitExceeded, InvalidArgument.
    """
    try:
        whole = pack_frame(question, MAX_QUESTION)
    except (UnicodeEncodeError, OverflowError) as error:
        raise InvalidArgument(repr(question)[:200], "no other process can be asked that") from error
    except BadFrame as error:
        raise LimitExceeded("a request to another process", MAX_QUESTION) from error
    if len(whole) <= PIECE:
        return [whole]
    pieces = [whole[at : at + PIECE] for at in range(0, len(whole), PIECE)]
    return [
        pack_frame(["last" if piece is pieces[-1] else "part", number, piece]) for piece in pieces
    ]


def travelling() -> Mapping[str, tuple[str, ...]]:
    """Return what may be asked and answered, with its fields, for whoever compares protocols."""
    asked = {name: _shape(message).__struct_fields__ for name, message in SHARED.items()}
    answers = [message.shared.brings for message in SHARED.values() if message.shared is not None]
    _, parts = msgspec.json.schema_components(answers)
    return asked | {name: tuple(part.get("properties", ())) for name, part in parts.items()}
