"""What the owner answers, as an attached process takes it.

Owns what may be asked, and how an answer is checked against it.
"""

from __future__ import annotations

from typing import Any

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import Refused
from layerstore.actors.runtime.futures import Notifying
from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.system.frames import convert
from layerstore.engine.sharing.following import Following
from layerstore.engine.sharing.wire import LOOKS, checked_answer

Asked = m.Message | str | Following
"""A message, what is looked at or an order, or who wants to hear."""
_NONE: Any = None
"""What an order is answered with."""


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
