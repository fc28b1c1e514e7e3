"""Sizes as docker takes them of memory and of layers: 1024 times 1024 whatever the unit is called.

Source: go-units, RAMInBytes.
"""

from __future__ import annotations

import re

from layerstore.drivers.errors import InvalidArgument

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE | re.ASCII)
LARGEST = 1 << 62
"""Bytes."""


def parse_size(text: str) -> int:
    """Return bytes: `10G`, `1.5 GiB`, `512m`, `4096`. Raises InvalidArgument."""
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " ")) if match else 0
    if not 0 < size <= LARGEST:
        raise InvalidArgument(text, "a size is a number of bytes, or one with k, m, g, t or p: 10G")
    return size
