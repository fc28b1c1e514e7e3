"""Frames: msgpack messages with file descriptors over a Unix stream socket.

A frame is its length in bytes (4 bytes, big-endian), then one msgpack value. The descriptors of a
frame travel with its first byte. Nothing a frame says is believed before it has been checked:
lengths are bounded, and values are converted to the types that the reader names.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgpack
import msgspec

from layerstore.drivers.system.readable import receive_descriptors

_LENGTH = struct.Struct(">I")
MAX_FRAME = 64 << 20
MAX_DESCRIPTORS = 3
_CHUNK = 1 << 16
T = TypeVar("T")


class BadFrame(Exception):
    """The peer sent something that is no frame; the connection is of no more use."""


class EndOfFrames(Exception):
    """The peer closed its end, between frames or in the middle of one."""


def pack_frame(value: object, most: int = MAX_FRAME) -> bytes:
    """Return the bytes of one frame; BadFrame where its value takes more than `most`."""
    body = pack_value(value)
    if len(body) > most:
        raise BadFrame(f"a frame of {len(body)} bytes is too long")
    return _LENGTH.pack(len(body)) + body


def pack_value(value: object) -> bytes:
    """Return a value's own bytes, to be put into a frame with others."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
    return packed


def pack_frame_of(word: str, packed: Sequence[bytes]) -> bytes:
    """Return the bytes of a frame that holds a word and a list of values packed already."""
    packer = msgpack.Packer()
    heads = (packer.pack_array_header(2), pack_value(word), packer.pack_array_header(len(packed)))
    body = b"".join((*heads, *packed))
    return _LENGTH.pack(len(body)) + body


def unpack_frames(received: bytearray, most: int = MAX_FRAME) -> list[object]:
    """Take every whole frame out of what was received, and return their values.

    Raises BadFrame, as soon as a frame claims to have more than `most` bytes.
    """
    values: list[object] = []
    at = 0
    while len(received) - at >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(received, at)
        if length > most:
            raise BadFrame(f"a frame claims {length} bytes")
        begin, end = at + _LENGTH.size, at + _LENGTH.size + length
        if len(received) < end:
            break
        values.append(_unpack(received[begin:end]))
        at = end
    del received[:at]
    return values


def receive_some(
    sock: socket.socket,
    received: bytearray,
    descriptors: list[int],
    size: int = _CHUNK,
    most: int = MAX_DESCRIPTORS,
) -> None:
    """Add what is there, at most `size` bytes, and the descriptors that came beside (CLOEXEC).

    At most so many of these; more are bad.

    Raises EndOfFrames, BadFrame, and what recvmsg raises.
    """
    part, found, flags = receive_descriptors(sock, size, most)
    descriptors += found
    if flags & socket.MSG_CTRUNC:
        raise BadFrame("a frame brought too many descriptors")
    if not part:
        raise EndOfFrames
    received += part


def send_some(sock: socket.socket, data: memoryview, descriptors: Sequence[int] = ()) -> int:
    """Send what the kernel takes now, and the descriptors beside it; returns how many bytes."""
    if not descriptors:
        return sock.send(data)
    rights = array.array("i", descriptors)
    return sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def send_frame(sock: socket.socket, value: object, descriptors: Sequence[int] = ()) -> None:
    """Send one frame, blocking until the kernel has all of it."""
    data = memoryview(pack_frame(value))
    sent = send_some(sock, data, descriptors)
    if sent < len(data):
        sock.sendall(data[sent:])


def at_once() -> None:
    """Begin to receive without more ado."""


def receive_frame(
    sock: socket.socket, wait: Callable[[], None] = at_once, *, most: int = MAX_DESCRIPTORS
) -> tuple[object, list[int]]:
    """Receive one frame and its descriptors (close-on-exec), which become the caller's to close.

    `wait` is called before each time that receiving may block, `most` is how many descriptors there
    may be. Raises EndOfFrames or BadFrame; then
    no descriptor is left open.
    """
    descriptors: list[int] = []
    try:
        header = _receive_first(sock, descriptors, wait, most)
        (length,) = _LENGTH.unpack(header)
        if length > MAX_FRAME:
            raise BadFrame(f"a frame claims {length} bytes")
        body = _receive_exactly(sock, length, wait)
        return _unpack(body), descriptors
    except BaseException:
        for fd in descriptors:
            os.close(fd)
        raise


def _receive_first(
    sock: socket.socket, descriptors: list[int], wait: Callable[[], None], most: int
) -> bytes:
    header = bytearray()
    while len(header) < _LENGTH.size:
        wait()
        receive_some(sock, header, descriptors, _LENGTH.size - len(header), most)
    return bytes(header)


def _receive_exactly(sock: socket.socket, length: int, wait: Callable[[], None]) -> bytearray:
    # Grown as bytes arrive, so that a lie about the length costs the liar its bytes, not us memory.
    body = bytearray()
    while len(body) < length:
        wait()
        part = sock.recv(min(_CHUNK, length - len(body)))
        if not part:
            raise EndOfFrames
        body += part
    return body


def _unpack(body: bytearray) -> object:
    try:
        value: object = msgpack.unpackb(
            body, raw=False, strict_map_key=True, unicode_errors="surrogateescape"
        )
    except Exception as error:
        raise BadFrame(f"not msgpack: {error}") from error
    return value


def convert(value: object, to: type[T]) -> T:
    """Check and convert an unpacked value to `to`; BadFrame where it doesn't fit."""
    try:
        return msgspec.convert(value, to)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # the latter for keys
        raise BadFrame(str(error)) from error
