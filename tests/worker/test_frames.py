"""Frames between a worker and its child: what is no frame is never believed."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import msgpack
import pytest

from layerstore import InternalError, InvalidTar, WorkerDied
from layerstore.drivers.confine.confine import Confinement
from layerstore.drivers.errors import from_wire, to_wire
from layerstore.drivers.system import frames
from layerstore.drivers.system.frames import (
    BadFrame,
    EndOfFrames,
    convert,
    receive_frame,
    send_frame,
)

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def raw(pair: Pair, content: bytes) -> None:
    pair[0].sendall(content)
    pair[0].close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    "value", [None, 1, "text", [1, "two", b"three"], {"key": {"deep": [1.5]}}, "\udcff surrogate"]
)
def test_a_value_arrives_as_it_was_sent(value: object, pair: Pair) -> None:
    send_frame(pair[0], value)
    assert receive_frame(pair[1]) == (value, [])


def test_a_descriptor_travels_with_its_frame(pair: Pair) -> None:
    reader, writer = os.pipe()
    send_frame(pair[0], {"job": 1}, [writer])
    os.close(writer)
    value, (received,) = receive_frame(pair[1])
    assert value == {"job": 1}
    assert not os.get_inheritable(received)
    os.write(received, b"through")
    os.close(received)
    assert os.read(reader, 100) == b"through"
    os.close(reader)


def test_a_frame_longer_than_a_socket_takes_arrives_whole(pair: Pair) -> None:
    value = ["x" * 1000] * 1000
    process = os.fork()
    if process == 0:
        pair[1].close()
        send_frame(pair[0], value)
        os._exit(0)
    assert receive_frame(pair[1]) == (value, [])
    os.waitpid(process, 0)


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"\0\0\0", struct.pack(">I", 10) + b"short", struct.pack(">I", 1 << 20)]
)
def test_an_end_inside_a_frame_is_an_end(content: bytes, pair: Pair) -> None:
    raw(pair, content)
    with pytest.raises(EndOfFrames):
        receive_frame(pair[1])


@pytest.mark.parametrize(
    "content",
    [
        struct.pack(">I", frames.MAX_FRAME + 1),
        b"\xff\xff\xff\xff" + b"x" * 100,
        struct.pack(">I", 1) + b"\xc1",
        struct.pack(">I", 2) + b"\x01\x01",
        struct.pack(">I", 5) + b"\xdd\xff\xff\xff\xff",
        struct.pack(">I", 600) + b"\x91" * 600,
    ],
)
def test_what_is_no_frame_is_refused(content: bytes, pair: Pair) -> None:
    raw(pair, content)
    with pytest.raises(BadFrame):
        receive_frame(pair[1])


def test_more_descriptors_than_allowed_are_refused_and_closed(pair: Pair) -> None:
    before = open_descriptors()
    socket.send_fds(pair[0], [struct.pack(">I", 1) + b"\xc0"], [0] * 20)
    with pytest.raises(BadFrame):
        receive_frame(pair[1])
    assert open_descriptors() == before


def test_descriptors_of_a_bad_frame_are_closed(pair: Pair) -> None:
    before = open_descriptors()
    socket.send_fds(pair[0], [struct.pack(">I", 1) + b"\xc1"], [0, 1])
    with pytest.raises(BadFrame):
        receive_frame(pair[1])
    assert open_descriptors() == before


def test_a_value_of_another_shape_is_refused() -> None:
    with pytest.raises(BadFrame):
        convert({"a": "1"}, dict[str, int])


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(BadFrame):
        convert({"done\udcee": [], "missing": []}, Confinement)


def test_errors_keep_their_class_and_what_they_tell() -> None:
    for error in (InvalidTar(512, "bad checksum", "etc/passwd"), WorkerDied("job", 7, "killed")):
        wire = msgpack.unpackb(msgpack.packb(to_wire(error, "here")))
        again = from_wire(wire)
        assert (type(again), vars(again), str(again)) == (type(error), vars(error), str(error))


@pytest.mark.parametrize("wire", [[], ["SystemExit", 1], ["InvalidTar"], ["LayerStore", 1]])
def test_an_error_that_is_none_of_ours_is_told_as_a_bug(wire: list[str | int]) -> None:
    assert isinstance(from_wire(list(wire)), InternalError)
