"""What reading a damaged gzip stream raises, whichever part of it is damaged."""

from __future__ import annotations

import zlib
from typing import cast

from isal import igzip, igzip_lib

_DAMAGED_BLOCK = cast("type[Exception]", igzip_lib.IsalError)  # annotated as an instance

BROKEN_GZIP: tuple[type[Exception], ...] = (
    EOFError,
    OverflowError,  # a header that is larger than isal's buffer
    zlib.error,
    igzip.BadGzipFile,
    _DAMAGED_BLOCK,
)
