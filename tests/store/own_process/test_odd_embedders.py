"""What an embedder may do to its engine, and ask of it, without harm."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from layerstore import (
    CallerError,
    InvalidArgument,
    LayerStore,
    LayerStoreError,
)
from layerstore.drivers.system.proc_children import children_of
from tests.conftest import OpenStore
from tests.store.own_process.test_dying import engine_of
from tests.support.processes import kill
from tests.support.tars import layer_tar

TAR = layer_tar({"etc": None, "etc/passwd": b"root"})


def test_one_that_is_closed_while_another_begins_leaves_none(own: LayerStore) -> None:
    for _ in range(3):
        kill(engine_of(own))
        own.map()
    kill(engine_of(own))
    own.close(timeout=0)
    own.close()
    assert children_of(os.getpid()) == []
    LayerStore(own.root, driver=own.driver_name, listen=False).close()


@pytest.mark.parametrize("reaps", [signal.SIG_IGN, "waits"])
def test_an_embedder_may_reap_all_children(
    own: LayerStore, request: pytest.FixtureRequest, reaps: object
) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    request.addfinalizer(lambda: signal.signal(signal.SIGCHLD, before))

    def wait_for_all(*_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass

    signal.signal(signal.SIGCHLD, wait_for_all if reaps == "waits" else signal.SIG_IGN)
    for number in range(1, 6):
        kill(engine_of(own))
        assert own.map() == {}
        assert own.metrics().restarts == number
    own.close()


def test_a_forked_child_keeps_neither_the_end_nor_a_death_secret(own: LayerStore) -> None:
    base = own.register(TAR)
    for _ in range(20):
        own.get(base.chain_id).release()
    forked = os.fork()
    if not forked:
        signal.pause()
        os._exit(0)
    try:
        kill(engine_of(own))
        assert own.map()[base.chain_id].references == 1
        begun = time.monotonic()
        own.close()
        assert time.monotonic() - begun < 8
    finally:
        kill(forked)
        os.waitpid(forked, 0)


def test_a_journal_that_cannot_be_gone_on_with_ends_nothing(
    open_own: OpenStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "traces"
    place.mkdir()
    own = open_own(trace_file=place / "journal")
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
    kill(engine_of(own))
    assert own.map() == {}
    assert "as before: not traced" in caplog.text


def test_a_journal_that_was_ended_stays_so(
    open_own: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYERSTORE_TRACE", str(tmp_path / "journal"))
    own = open_own()
    own.trace_to(None)
    kill(engine_of(own))
    assert own.map() == {}
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


def test_what_no_process_can_be_asked_is_refused_and_nothing_else(own: LayerStore) -> None:
    engine = engine_of(own)
    rw = own.create_rw_layer("web", own.register(TAR).chain_id)
    for _ in range(15):
        own.map()
    with pytest.raises(InvalidArgument):
        rw.mount(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        own.later.create_rw_layer("late", mount_label=5).get(timeout=60)  # type: ignore[arg-type]
    with pytest.raises(LayerStoreError):
        own.get_mount_id("\ud800")
    with pytest.raises(LayerStoreError):
        own.later.get_mount_id("\ud800").get(timeout=60)

    def fails(_path: str) -> None:
        raise ValueError("\ud800")

    with pytest.raises(CallerError, match="ValueError"):
        own.create_rw_layer("odd", init=fails)
    assert engine_of(own) == engine
    assert [mount.name for mount in own.mounts()] == ["web"]
