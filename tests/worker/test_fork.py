"""What a process that unpacks says is checked, since a tar may have taken it over."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from layerstore import LayerStoreError, WorkerDied
from layerstore.drivers.confine.fork import QUESTION, Fork
from layerstore.drivers.errors import InvalidName
from layerstore.drivers.model.ids import hex_of
from layerstore.drivers.model.tree import Applied
from layerstore.drivers.system.frames import BadFrame, convert, receive_frame, send_frame
from layerstore.drivers.work import AppliedLayer

GOOD = "sha256:" + "0" * 64
BAD = ["sha256:../../../elsewhere", "sha256:" + "0" * 63, GOOD + "\n", GOOD + "/..", "x" + GOOD, ""]


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


def says(diff: str, size: int) -> Callable[[socket.socket], Applied]:
    return lambda _: Applied(diff, size, 1, 1)


@pytest.mark.parametrize(("diff", "size"), [*((bad, 1) for bad in BAD), (GOOD, -1)])
def test_what_names_no_layer_is_no_answer(peer: socket.socket, diff: str, size: int) -> None:
    with pytest.raises(WorkerDied, match=r"Expected|bad"):
        Fork(peer, says(diff, size)).answer("unpacking")
    with pytest.raises(BadFrame):
        convert({"diff_id": diff, "size": size, "tar_size": 1}, AppliedLayer)


def test_a_good_one_is(peer: socket.socket) -> None:
    fork = Fork(peer, says(GOOD, 0))
    assert fork.answer("unpacking") == Applied(GOOD, 0, 1, 1)
    fork.end()


@pytest.mark.parametrize("bad", BAD)
def test_no_file_is_named_by_what_is_no_digest(bad: str) -> None:
    with pytest.raises(InvalidName):
        hex_of(bad)


def test_who_can_not_tell_a_fork_what_it_asks_says_why_itself(peer: socket.socket) -> None:
    def asks(sock: socket.socket) -> Applied:
        send_frame(sock, {QUESTION: "lowers"})
        receive_frame(sock)
        raise AssertionError

    def tell() -> None:
        raise FileNotFoundError(2, os.strerror(2), "lower")

    fork = Fork(peer, asks)
    with pytest.raises(FileNotFoundError) as caught:
        fork.answer("unpacking", tell)
    assert not isinstance(caught.value, LayerStoreError)
    assert fork.is_well
    fork.end()
