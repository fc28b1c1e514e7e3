"""When a registry is asked, how much at once, and whose words it is told."""

from __future__ import annotations

from typing import Literal, get_args

from layerstore.drivers.errors import InvalidArgument

PullPolicy = Literal["always", "missing", "never"]
"""When an image is asked for at its registry: always, if it isn't in the store, or never."""

PushFormat = Literal["docker", "oci"]
"""Whose media types a manifest has: docker's schema 2, or the OCI image specification's."""

PARALLEL = 3
"""How many layers are on their way at once, as with docker."""


def check_policy(policy: str) -> None:
    """Raise InvalidArgument for what is none."""
    if policy not in get_args(PullPolicy):
        raise InvalidArgument(policy, f"it is one of {', '.join(get_args(PullPolicy))}")


def check_parallel(parallel: int) -> None:
    """Raise InvalidArgument where nothing would be on its way."""
    if parallel < 1:
        raise InvalidArgument(str(parallel), "at least one layer is on its way at once")
