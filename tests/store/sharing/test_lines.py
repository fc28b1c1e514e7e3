"""More sockets of an attached process: what comes over them is hostile, and all is its own."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from layerstore import LayerStore
from layerstore.drivers.system.frames import receive_frame, send_frame
from tests.store.sharing.test_hostile import ask, connect, is_well, last_word, owned
from tests.support.tars import layer_tar
from tests.support.waiting import wait_until

__all__ = ("owned",)


def test_only_a_stream_socket_is_one_more_line(owned: LayerStore) -> None:
    reader, writer = os.pipe()
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for number, reason in ((reader, "socket"), (pair[0].fileno(), "Unix stream socket")):
        with connect(owned) as sock:
            send_frame(sock, ["line", 1], (number,))
            assert last_word(sock) == f"a line is a {reason}"
    with connect(owned) as sock:
        send_frame(sock, ["line", 1])
        assert last_word(sock) == "1 descriptors were announced, and 0 came"
    for each in pair:
        each.close()
    os.close(writer)
    os.close(reader)
    assert is_well(owned)


def more_line(sock: socket.socket, number: int) -> socket.socket:
    """Have the owner take one more socket of ours, and return our end."""
    ours, theirs = socket.socketpair()
    with theirs:
        send_frame(sock, ["line", number], (theirs.fileno(),))
    assert receive_frame(sock)[0] == ["answer", number, None]
    ours.settimeout(60)
    return ours


def test_a_process_has_so_many_lines(owned: LayerStore) -> None:
    with connect(owned) as sock, contextlib.ExitStack() as stack:
        for number in range(16):
            stack.enter_context(more_line(sock, number))
        ours, theirs = socket.socketpair()
        with ours, theirs:
            send_frame(sock, ["line", 17], (theirs.fileno(),))
            assert last_word(sock) == "it has lines enough"
    assert is_well(owned)


@pytest.mark.parametrize(
    "frame",
    [["line", 1], ["close", 1, True, True, 1.0], ["called", 1, None], ["watch", 1, 1], ["look", 1]],
    ids=str,
)
def test_a_line_is_for_questions_alone(owned: LayerStore, frame: list[object]) -> None:
    with connect(owned) as sock:
        with more_line(sock, 1) as line:
            send_frame(line, frame)
            assert last_word(line) == "it says on a line what it should say elsewhere"
        send_frame(sock, ask("MapLayers", {}))  # the others go on
        assert receive_frame(sock)[0] == ["answer", 1, {}]


def test_references_are_the_processs_by_whatever_line(owned: LayerStore) -> None:
    layer = owned.register(layer_tar({"a": b"1"}))
    get = {"reference": 7, "chain_id": layer.chain_id}
    with connect(owned) as sock:
        with more_line(sock, 1) as line:
            send_frame(line, ask("GetLayer", get))
            receive_frame(line)
            send_frame(sock, ask("ReleaseLayer", {**get, "keep": False}))
            assert receive_frame(sock)[0] == ["answer", 1, []]
            send_frame(line, ask("GetLayer", get))
            receive_frame(line)
        send_frame(sock, ask("MapLayers", {}))
        answer: object = receive_frame(sock)[0]
        assert str(answer).count("'references': 2") == 1  # the line's end gives nothing back
    wait_until(lambda: owned.map()[layer.chain_id].references == 1)
    layer.release()
