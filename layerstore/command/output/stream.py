"""A stream on standard output, made from a store that its reader may want to use as well.

Owns its end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from layerstore.api.store import LayerStore


@contextlib.contextmanager
def streamed(store: LayerStore) -> Iterator[BinaryIO]:
    """Give standard output for a `with` block, in which others may use the store.

    They are waited for at the end. Whoever reads the stream may be one of them, and waits for its
    end in turn; so that comes first.
    """
    with store.shared():
        try:
            yield sys.stdout.buffer
        except Exception as error:
            if getattr(error, "errno", None) != errno.EPIPE:  # else there is nobody to tell
                _end()
            raise
        _end()


def _end() -> None:
    try:
        sys.stdout.flush()
    finally:
        nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nothing, sys.stdout.fileno(), inheritable=True)
        os.close(nothing)
