"""What the owner answers, as an attached process takes it.

Owns what may be asked, and how an answer is checked against it.
"""

from __future__ import annotations

from typing import Any

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import Refused
from layerstore.actors.runtime.futures import Notifying
from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.system.frames import BadFrame, convert
from layerstore.engine.sharing.following import Following
from layerstore.engine.sharing.wire import LOOKS, Answer, Error, Mounted, checked_answer

Asked = m.Message | str | Following
"""A message, what is looked at or an order, or who wants to hear."""
_NONE: Any = None
"""What an order is answered with."""


AnswerFrame = Answer | Mounted | Error


def answer_frame(word: object, frame: object) -> AnswerFrame:
    """Return a frame that answers a request, which its word says. Raises BadFrame."""
    match word:
        case "answer":
            return convert(frame, Answer)
        case "mounted":
            return convert(frame, Mounted)
        case "error":
            return convert(frame, Error)
    raise BadFrame(f"it answers {str(frame)[:400]}")


def checked(asked: Asked, value: Any) -> object:
    """Return an answer as the asker's own process would. Raises BadFrame."""
    if isinstance(asked, m.Message):
        return checked_answer(type(asked), value)
    found: object = convert(value, LOOKS.get(asked, _NONE) if isinstance(asked, str) else _NONE)
    return found


def refused(error: LayerStoreError) -> Notifying[Any]:
    """Return a future of a refusal."""
    future: Notifying[Any] = Notifying()
    future.set(Refused(error))
    return future
