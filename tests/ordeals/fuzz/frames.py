"""The frame decoder, and what its values are converted to: a value, or BadFrame or EndOfFrames."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgpack
from msgspec import structs

from layerstore.drivers.confine.confine import Confinement
from layerstore.drivers.errors import InvalidTar, LayerStoreError, Wire, from_wire, to_wire
from layerstore.drivers.model.faults import Fault
from layerstore.drivers.model.limits import Limits
from layerstore.drivers.model.tree import Applied, Change
from layerstore.drivers.root.disk import DiskConfig
from layerstore.drivers.system.frames import (
    BadFrame,
    EndOfFrames,
    convert,
    receive_frame,
    send_frame,
)
from layerstore.drivers.work import AppliedLayer

LONGEST = 4096
_MOST_AT_ONCE = 100_000
_TYPES: tuple[Any, ...] = (
    Applied, AppliedLayer, Confinement, DiskConfig, Wire, list[Change], list[Fault],
    dict[str, Any], tuple[str, dict[str, object]],
)  # fmt: skip


def seeds() -> Iterator[bytes]:
    config = DiskConfig("/root", "vfs", durable=True, limits=Limits())
    values: list[object] = [
        None, [1, -1, 1.5, "text", b"bytes"], {"ok": structs.asdict(Applied("sha256:0", 1, 2, 3))},
        {"error": to_wire(InvalidTar(512, "bad", "name"), "here")}, asdict(config),
        asdict(Confinement(("one",), ("two",))), ["ApplyLayer", {"source": {}}],
        [[[[[{"deep": [{}]}]]]]], {"ok": [["/path", 1], ["/other", 2]]},
        msgpack.Timestamp(1, 2), msgpack.ExtType(5, b"ext"),
    ]  # fmt: skip
    for value in values:
        body = msgpack.packb(value)
        yield struct.pack(">I", len(body)) + body
    yield struct.pack(">I", 5) + b"\xdd\xff\xff\xff\xff"
    yield struct.pack(">I", 1 << 26) + b"\xc0"
    yield struct.pack(">I", 100) + b"\x91" * 100


def prepare(directory: Path) -> None:
    """Need nothing."""


def run(data: bytes) -> None:
    """Send bytes, and receive what they are as frames."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_AT_ONCE)
        ours.sendall(data)
        ours.close()
        with contextlib.suppress(BadFrame, EndOfFrames):
            while True:
                value, descriptors = receive_frame(theirs)
                assert descriptors == []
                _use(value)


def _use(value: object) -> None:
    for type_ in _TYPES:
        with contextlib.suppress(BadFrame):
            converted = convert(value, type_)
            if type_ is Wire:
                assert isinstance(from_wire(converted), LayerStoreError)
    if isinstance(value, dict | list | str | int | None):
        _send_again(value)


def _send_again(value: object) -> None:
    """Check that a value that came can be sent, and comes back as the same."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send_frame(ours, value)
        again, _ = receive_frame(theirs)
        assert repr(again) == repr(value)
