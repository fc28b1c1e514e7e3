"""The kinds of request, and how far each goes: a question, a tar handed in, a tar that comes out.

A request names the actor, the message and what is made of the answer. Who waits for that, and how
(a thread, an event loop, another actor), is the faces' affair; what can be asked for is declared in
the room `operations`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, NewType, TypeVar

from msgspec import Struct

from layerstore.actors import messages as m
from layerstore.asking.source import Handover, Source
from layerstore.drivers.work import Descriptors, TarSource

T = TypeVar("T")
Made = TypeVar("Made")

Compression = Literal["auto", "none"]
Number = NewType("Number", int)
"""A fresh number, by which work that nobody wants any more is stopped."""
Asked = Literal["layers", "mounts", "images", "reaper"]


class New(Struct, Generic[Made], frozen=True):
    """A reference that is to be held, and how a face makes an object of what it gets."""

    reference: int
    take: Callable[[Any], Made]


def _as_it_is(answer: Any) -> Any:
    return answer


class Request(Struct, Generic[T], frozen=True):
    """A question with a plain answer."""

    actor: Asked
    message: m.Message
    take: Callable[[Any], T] = _as_it_is


class HandIn(Struct, Generic[T], frozen=True):
    """A request that a tar is handed in with."""

    actor: Asked
    source: Source
    how: TarSource
    make_message: Callable[[Handover], m.Message]
    take: Callable[[Any], T] = _as_it_is


class Reading(Struct, frozen=True):
    """A request that a tar comes out for."""

    actor: Asked
    make_message: Callable[[Descriptors], m.Message]
