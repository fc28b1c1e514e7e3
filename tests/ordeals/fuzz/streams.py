"""Compressed streams: whatever they hold, they inflate within their bounds or are refused."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
from collections.abc import Iterator
from pathlib import Path

import zstandard

from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.tar.source import open_source
from layerstore.drivers.work import OwnedDescriptor, TarSource

LONGEST = 4096
_LIMITS = Limits(max_bytes=1 << 20, max_ratio=100, ratio_from=1 << 16)
_CONTENT = b"some content " * 40


def seeds() -> Iterator[bytes]:
    for pack in (gzip.compress, zstandard.compress, bz2.compress, lzma.compress, bytes):
        yield pack(_CONTENT)
        yield pack(_CONTENT) * 2
        yield pack(b"")
        yield pack(pack(_CONTENT))
    yield lzma.compress(_CONTENT, format=lzma.FORMAT_ALONE)


def prepare(directory: Path) -> None:
    """Need nothing."""


def run(data: bytes) -> None:
    """Inflate from a file that holds the bytes."""
    fd = os.memfd_create("stream")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    given = OwnedDescriptor(fd)
    with contextlib.closing(given), contextlib.suppress(LayerStoreError):
        _read(given)


def _read(given: OwnedDescriptor) -> None:
    found = 0
    with open_source(TarSource(inflate=True), (given,), _LIMITS) as source:
        while piece := source.stream.read(1 << 16):
            found += len(piece)
            assert found <= _LIMITS.max_bytes + (1 << 19)
