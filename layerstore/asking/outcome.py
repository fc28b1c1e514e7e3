"""What an actor is told of a request that it made through `LayerStore.later`."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from layerstore.drivers.errors import LayerStoreError


class Outcome(Struct, frozen=True):
    """A request's answer, or its error, with the tag that the asker gave it."""

    tag: object
    value: Any = None
    error: LayerStoreError | None = None

    def get(self) -> Any:
        """Return the answer, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value
