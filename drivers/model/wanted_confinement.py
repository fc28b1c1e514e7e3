"""How far children that read hostile input are to be confined; how it is done is confine's."""

from __future__ import annotations

from typing import Literal

Confine = Literal["auto", "required", "off"]
"""As far as the kernel lets them, all of it or the store isn't opened, not at all."""
