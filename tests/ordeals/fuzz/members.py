"""The tar reader without a disk: headers, extended headers, sparse maps, padding, the end."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.tar.bytes import TarBytes
from layerstore.drivers.tar.members import Members
from tests.ordeals.fuzz.tars import repaired, sample_tars

LONGEST = 16_384
_LIMITS = Limits(max_header=8192)


def seeds() -> Iterator[bytes]:
    yield from sample_tars()


def prepare(directory: Path) -> None:
    """Need nothing."""


def run(data: bytes) -> None:
    """Read a tar; all of it is either content or kept as raw bytes."""
    data = repaired(data)
    with contextlib.suppress(LayerStoreError):
        _read(data)


def _read(data: bytes) -> None:
    with TarBytes(io.BytesIO(data)) as stream:
        members = Members(stream, _LIMITS)
        found = bytearray()
        for header in members:
            found += members.take_raw()
            for piece in stream.pieces(header.stored, header.entry):
                found += piece
            assert header.size >= 0
            assert len(header.name) <= _LIMITS.max_path
            end = 0
            for offset, length in header.fragments or ():
                assert end <= offset <= offset + length <= header.size
                end = offset + length
        found += members.take_raw()
        while piece := stream.some(1 << 20):
            found += piece
    assert found == data
