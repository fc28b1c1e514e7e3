"""What an actor is told of a request that it made through `LayerStore.later`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerstore.drivers.errors import LayerStoreError


@dataclass(frozen=True, slots=True)
class Outcome:
    """A request's answer, or its error, with the tag that the asker gave it."""

    tag: object
    value: Any = None
    error: LayerStoreError | None = None

    def get(self) -> Any:
        """Return the answer, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value
