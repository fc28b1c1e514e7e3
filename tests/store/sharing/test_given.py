"""A socket that somebody else listens on for owners of a root: taken over, or left alone."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerstore import CannotAttach, DriverError, InvalidArgument, LayerStore
from layerstore.api.options import EngineKind
from tests.support.waiting import in_thread, wait_until


@pytest.fixture
def place(root_dir: Path) -> Path:
    """Where the socket of the test's root belongs."""
    (root_dir / "layerstore").mkdir()
    return root_dir / "layerstore/socket"


@pytest.fixture
def kept(place: Path) -> Iterator[socket.socket]:
    """A socket that listens there, whether anybody owns the root or not."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(place))
        sock.listen(5)
        yield sock


def is_called(kept: socket.socket) -> bool:
    """Whether somebody waits to be answered."""
    kept.setblocking(False)
    try:
        kept.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@pytest.mark.parametrize("engine", ["thread", pytest.param("process", marks=pytest.mark.thorough)])
def test_an_owner_takes_it_over_and_leaves_it(
    root_dir: Path, place: Path, kept: socket.socket, engine: EngineKind
) -> None:
    outcomes: list[object] = []
    with LayerStore(root_dir, driver="vfs", listen=kept, engine=engine) as store:
        with LayerStore.attach(root_dir) as attached:
            assert attached.owner is not None
            assert attached._basis.core.link.pid == attached.owner.pid  # type: ignore[union-attr]
        os.mkdir(f"{root_dir}/image/vfs/layerdb/tmp/write-set-1")
        assert len(store.repair()) == 1
        with LayerStore.attach(root_dir) as attached:
            assert attached.map() == {}
    assert place.is_socket()
    # Who calls when nobody owns the root is answered by the next owner.
    waits = in_thread(lambda: LayerStore.attach(root_dir).close(), outcomes)
    with LayerStore(root_dir, listen=kept):
        waits.join(60)
    assert outcomes == [None]
    assert kept.fileno() >= 0


def test_an_owner_to_whom_it_is_not_given_leaves_it_alone(
    root_dir: Path, place: Path, kept: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    before = place.stat()
    with (
        caplog.at_level(logging.WARNING, "layerstore"),
        LayerStore(root_dir, driver="vfs") as store,
    ):
        assert f"listen on {place}: Address already in use (a process that isn't" in caplog.text
        assert store.map() == {}
    assert not is_called(kept)
    with pytest.raises(DriverError, match="Address already in use"):
        LayerStore(root_dir, listen="required")
    assert place.stat() == before
    assert not is_called(kept)
    kept.close()
    with LayerStore(root_dir, listen="required"), LayerStore.attach(root_dir) as attached:
        assert attached.map() == {}


def test_another_socket_is_refused_and_the_root_let_go(
    root_dir: Path, place: Path, kept: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "other").symlink_to(root_dir)
    with (
        socket.socket(socket.AF_UNIX) as elsewhere,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
        socket.socket() as network,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as renamed,
    ):
        elsewhere.bind(str(tmp_path / "socket"))
        datagrams.bind(str(tmp_path / "datagrams"))
        abstract.bind("")
        renamed.bind(f"{root_dir}/layerstore/socket2")
        for sock in (elsewhere, network, abstract, renamed):
            sock.listen()
        for sock in (elsewhere, datagrams, network, abstract, renamed):
            with pytest.raises(InvalidArgument, match=f"listens at {place}"):
                LayerStore(root_dir, driver="vfs", listen=sock)
    with pytest.raises(DriverError, match="Bad file descriptor"):
        LayerStore(root_dir, listen=elsewhere)
    place.unlink()
    with pytest.raises(InvalidArgument, match=f"'{place}': a socket of this store listens at"):
        LayerStore(root_dir, listen=kept)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(place))
        with pytest.raises(InvalidArgument, match=f"a socket of this store listens at {place}"):
            LayerStore(root_dir, listen=silent)
    for word in ("often", 1, None):
        with pytest.raises(InvalidArgument, match="listen is True, False, 'required' or a socket"):
            LayerStore(root_dir, listen=word)  # type: ignore[arg-type]
    with LayerStore(root_dir), LayerStore.attach(root_dir) as attached:
        assert attached.map() == {}


def test_a_given_name_may_lead_there_by_a_link(root_dir: Path, place: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root_dir)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{tmp_path}/link/layerstore/socket")
        sock.listen()
        with (
            LayerStore(root_dir, driver="vfs", listen=sock),
            LayerStore.attach(root_dir) as attached,
        ):
            assert attached.map() == {}


def test_who_attaches_in_vain_is_told_after_the_timeout(
    root_dir: Path, kept: socket.socket
) -> None:
    with pytest.raises(CannotAttach, match="its owner took no call for"):
        LayerStore.attach(root_dir, timeout=0.1)
    wait_until(lambda: is_called(kept))
