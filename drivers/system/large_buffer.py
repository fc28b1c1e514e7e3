"""Memory for large pieces of a stream, of which a small stream takes no more than it needs.

A bytearray is filled with zeros when it is made; what the kernel maps has its pages when they are
first used.
"""

from __future__ import annotations

import mmap


def large_buffer(size: int) -> memoryview:
    """Return `size` bytes that can be written; they go when no view of them is left."""
    return memoryview(mmap.mmap(-1, size))
