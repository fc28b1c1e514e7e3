"""What the owner answers, as an attached process takes it.

Owns the frames' shapes, and how an answer is checked against what was asked.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import Refused
from layerstore.actors.runtime.futures import Notifying
from layerstore.drivers.errors import LayerStoreError, Wire
from layerstore.drivers.system.frames import convert
from layerstore.engine.sharing.wire import LOOKS, checked_answer

Asked = m.Message | str
"""A message, or what is looked at."""


class Answer(NamedTuple):
    """A request's answer."""

    word: Literal["answer"]
    number: int
    value: Any


class MountedAt(NamedTuple):
    """The answer to Mount: where, and what is there as the owner sees it."""

    word: Literal["mounted"]
    number: int
    path: str
    device: int
    inode: int


class Failed(NamedTuple):
    """A request's error."""

    word: Literal["error"]
    number: int
    error: Wire


class Taken(NamedTuple):
    """An actor has taken a request, and will answer."""

    word: Literal["taken"]
    number: int


def checked(asked: Asked, value: Any) -> object:
    """Return an answer as the asker's own process would. Raises BadFrame."""
    if isinstance(asked, str):
        found: object = convert(value, LOOKS.get(asked, type(None)))
        return found
    return checked_answer(type(asked), value)


def refused(error: LayerStoreError) -> Notifying[Any]:
    """Return a future of a refusal."""
    future: Notifying[Any] = Notifying()
    future.set(Refused(error))
    return future
