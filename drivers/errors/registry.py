"""Errors about a registry of images: what it hasn't got, won't give, or can't be asked for.

Owns their words only. None of them ever holds a credential or a token.
"""

from __future__ import annotations

from layerstore.drivers.errors.base import LayerStoreError


class RegistryError(LayerStoreError):
    """A registry's answer is none that can be gone on with; the others are kinds of it."""

    def __init__(self, registry: str, what: str, reason: str) -> None:
        super().__init__(registry, what, reason)
        self.registry = registry
        """The host, as users write it."""
        self.what = what
        """What it was asked for, such as `manifest 3.20 of library/alpine`."""
        self.reason = reason

    def __str__(self) -> str:
        return f"registry {self.registry}: {self.what}: {self.reason}"


class NotInRegistry(RegistryError):
    """The registry says that it hasn't got what it was asked for, or not for everybody to see."""


class AccessDenied(RegistryError):
    """The registry wants other credentials than were given, or more rights than they give."""


class RegistryUnreachable(RegistryError):
    """The registry can't be reached, or doesn't answer, however often it was tried."""
