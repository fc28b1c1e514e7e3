"""Which of the images in a multi-platform index is for this machine.

Owns the names of architectures and the order of preference; platforms are written
`os/architecture[/variant]` as in the OCI image specification.
"""

from __future__ import annotations

import os

from msgspec import Struct

from layerstore.drivers.errors import InvalidArgument

_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i386": ("386", ""),
    "i686": ("386", ""),
}
_DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7", "amd64": "v1"}


class Platform(Struct, frozen=True):
    """An operating system, an architecture and its variant (empty where there is none)."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def rank(self, offered: Platform) -> int | None:
        """How well an image for `offered` runs here: 0 is best, None is not at all."""
        if (self.os, self.architecture) != (offered.os, offered.architecture):
            return None
        mine, other = self._level(), offered._level()
        return mine - other if mine >= other else None

    def _level(self) -> int:
        """Return the variant as a number; a variant runs what is made for lower ones."""
        variant = self.variant or _DEFAULT_VARIANTS.get(self.architecture, "v0")
        digits = variant.removeprefix("v").partition(".")[0]
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 4 else 0


def host_platform() -> Platform:
    """Return the platform of this machine."""
    machine = os.uname().machine
    return Platform("linux", *_MACHINES.get(machine, (machine, "")))


def parse_platform(text: str) -> Platform:
    """Parse `os/architecture[/variant]`; raises InvalidArgument."""
    parts = text.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise InvalidArgument(text, "a platform is os/architecture or os/architecture/variant")
    return Platform(*parts)
