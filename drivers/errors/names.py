"""Errors about what was asked for: layers, mounts and images that aren't there, taken, or in use.

Owns their words only.
"""

from __future__ import annotations

from layerstore.drivers.errors.base import LayerStoreError, NamedError


class LayerDoesNotExist(NamedError):
    """No layer with this chain ID is in the store; `name` is the chain ID."""

    _sentence = "layer {name} does not exist"


class LayerNotRetained(NamedError):
    """The reference was released before, or belongs to another store."""

    _sentence = "layer {name} is not retained by this reference"


class MountDoesNotExist(NamedError):
    """No read-write layer has this name (or it is still being created)."""

    _sentence = "mount {name} does not exist"


class MountNameConflict(NamedError):
    """The name belongs to a read-write layer, or to one that is being made or removed."""

    _sentence = "mount name {name} is already in use"


class NotMounted(NamedError):
    """An unmount was asked of a read-write layer that is not mounted."""

    _sentence = "mount {name} is not mounted"


class StillMounted(NamedError):
    """A read-write layer that is mounted can't be reset: whoever uses it would see it change."""

    _sentence = "mount {name} is still mounted, so it can't be reset: unmount it first"


class NotRunning(NamedError):
    """No command runs in the read-write layer (yet), or it has ended."""

    _sentence = "{name} is not running"


class ImageDoesNotExist(NamedError):
    """No image has this name, ID or ID prefix."""

    _sentence = "image {name} does not exist"


class ImageInUse(LayerStoreError):
    """An image is kept by read-write layers or by further names; force removes it all the same."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"image {self.name} is in use: {self.reason}"


class InvalidName(LayerStoreError):
    """A name or an ID does not match its grammar; nothing was touched."""

    def __init__(self, name: str, grammar: str) -> None:
        super().__init__(name, grammar)
        self.name = name
        self.grammar = grammar

    def __str__(self) -> str:
        return f"invalid {self._kind} {self.name[:200]!r}: {self.grammar}"

    _kind = "name"


class AmbiguousName(InvalidName):
    """A name, or the start of an ID, that several can be meant by; `grammar` says which."""


class InvalidArgument(InvalidName):
    """Something that was given, other than a name, does not match its grammar."""

    _kind = "argument"


class MaxDepthExceeded(LayerStoreError):
    """The parent is already as deep as a chain of layers may be."""

    def __init__(self, chain_id: str, limit: int) -> None:
        super().__init__(chain_id, limit)
        self.chain_id = chain_id
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"a layer on {self.chain_id} would exceed the depth limit of {self.limit}"
            " (--limit max_layers=N sets another)"
        )


class IdsExhausted(LayerStoreError):
    """No range of user IDs is left for another read-write layer: remove one, or allow more."""

    def __init__(self, source: str, count: int) -> None:
        super().__init__(source, count)
        self.source = source
        self.count = count

    def __str__(self) -> str:
        return f"no {self.count} IDs in a row are left of {self.source}"
