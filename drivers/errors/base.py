"""The root of every error, and the errors that are about one named thing.

Owns the list of classes by name, by which an error that comes from another process is made again.
"""

from __future__ import annotations

from typing import ClassVar


class LayerStoreError(Exception):
    """The root of every error that layerstore raises on purpose."""

    known: ClassVar[dict[str, type[LayerStoreError]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        LayerStoreError.known[cls.__name__] = cls


class NamedError(LayerStoreError):
    """An error about one named thing; subclasses give the sentence."""

    _sentence: ClassVar[str] = "{name}"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return self._sentence.format(name=self.name)
