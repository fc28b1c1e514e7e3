"""The journal on the disk: what is written is read, whatever becomes of process and disk."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from layerstore import DriverError, LayerStore
from layerstore.drivers.records.journal import Journal
from layerstore.drivers.records.journal_format import Row
from layerstore.drivers.records.journal_read import read_sessions
from tests.conftest import OpenStore
from tests.support.filesystems import fill
from tests.support.programs import is_installed
from tests.support.tars import layer_tar
from tests.trace.traces import numbers, row, write

MakeFileSystem = Callable[[str, int], Path]


def test_a_journal_has_what_the_ring_has(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store(trace_file=tmp_path / "trace")
    base = store.register(layer_tar({"a": b"1"}))
    store.create_rw_layer("web", base.chain_id).release()
    store.close()
    (session,) = read_sessions(str(tmp_path / "trace"))
    assert [tuple(found[:11]) for found in session.rows] == [r[:11] for r in store.trace()]
    assert (session.header.root, session.header.pid) == (store.root, os.getpid())
    assert session.header.driver == store.driver_name
    assert session.notes == []
    assert (tmp_path / "trace").stat().st_mode & 0o777 == 0o600


def test_a_journal_holds_no_contents(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store(trace_file=tmp_path / "trace")
    secret = b"what-nobody-may-see"
    layer = store.register(layer_tar({"a": secret}), descriptor='{"secret": "in-the-descriptor"}')
    rw = store.create_rw_layer("web", layer.chain_id)
    rw.apply_diff(layer_tar({"what-nobody-may-see": b""}))
    assert [change.path for change in rw.changes()] == ["/what-nobody-may-see"]
    store.close()
    written = (tmp_path / "trace").read_bytes()
    assert secret not in written
    assert b"secret" not in written
    assert b"ApplyLayer" in written


def test_tracing_to_a_file_is_switched_while_running(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store(trace_size=0, prespawn=False)
    store.map()
    store.trace_to(tmp_path / "one")
    store.map()
    store.trace_to(tmp_path / "two")
    store.mounts()
    store.trace_to(None)
    store.map()
    assert [r[5] for r in read_sessions(str(tmp_path / "one"))[0].rows] == ["MapLayers"]
    assert [r[5] for r in read_sessions(str(tmp_path / "two"))[0].rows] == ["ListMounts"]
    assert store.trace() == []
    assert not store._core.tracer.on


def test_the_environment_names_a_journal(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYERSTORE_TRACE", str(tmp_path))
    open_store().close()
    open_store().close()
    sessions = read_sessions(str(tmp_path))
    assert len(sessions) == len(list(tmp_path.iterdir())) == 2
    assert sessions[0].header.wall < sessions[1].header.wall
    monkeypatch.delenv("LAYERSTORE_TRACE")
    open_store().close()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_journal_that_cannot_be_made_fails_the_open_only_if_it_was_asked_for(
    open_store: OpenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    missing = tmp_path / "missing/trace"
    with pytest.raises(DriverError, match="missing/trace"):
        open_store(trace_file=missing)
    monkeypatch.setenv("LAYERSTORE_TRACE", str(missing))
    with caplog.at_level(logging.WARNING):
        open_store().map()
    assert "LAYERSTORE_TRACE: not traced" in caplog.text


def test_two_do_not_write_to_one_file(open_store: OpenStore, tmp_path: Path) -> None:
    open_store(trace_file=tmp_path / "trace")
    with pytest.raises(DriverError, match="somebody writes a trace there"):
        Journal(str(tmp_path / "trace"), root="/r", driver="vfs", row=row)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_journal_replaces_nothing_but_a_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "trace"
    if kind == "link":
        path.symlink_to(tmp_path / "precious")
        (tmp_path / "precious").write_bytes(b"1")
    else:
        os.mkfifo(path)
    with pytest.raises(DriverError):
        Journal(str(path), root="/r", driver="vfs", row=row)
    assert path.is_symlink() or path.is_fifo()


def test_files_are_rotated_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    write(path, 4000, max_bytes=20_000, max_files=3)
    assert sorted(os.listdir(tmp_path)) == ["trace", "trace.1", "trace.2"]
    assert all(file.stat().st_size <= 40_000 for file in tmp_path.iterdir())
    (session,) = read_sessions(str(path))
    found = [r[0] for r in session.rows]
    assert found == list(range(found[0], 4001))
    assert found[0] > 1
    assert session.notes == [f"{session.header.part - 1} older files of it are gone"]
    assert numbers(tmp_path) == found


def test_what_was_there_is_another_session(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    write(path, 3)
    write(path, 2)
    assert [len(session.rows) for session in read_sessions(str(path))] == [3, 2]


def test_a_killed_process_leaves_a_readable_journal(root_dir: Path) -> None:
    script = f"""
import sys
from layerstore import LayerStore
store = LayerStore({str(root_dir / "s")!r}, driver="vfs", trace_file={str(root_dir / "t")!r})
while True:
    store.map()
    print(flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while process.stdout.readline() and (root_dir / "t").stat().st_size < 20_000:
            pass
        process.kill()
    assert process.returncode == -signal.SIGKILL
    found = numbers(root_dir / "t")
    assert len(found) > 100
    assert found == sorted(found)


@pytest.mark.root
def test_a_full_disk_costs_records_and_nothing_else(
    make_file_system: MakeFileSystem, open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    if not is_installed("mkfs.ext4"):
        pytest.skip("needs mkfs.ext4")
    place = make_file_system("ext4", 2)
    path = place / "trace"
    store = open_store(trace_file=path)
    store.map()
    store.trace_to(path)  # what came before is written
    filler = place / "filler"
    fill(filler)
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            store.map()
        store.create_rw_layer("web").release()
        store._recording._journal._queue.put(None)  # type: ignore[union-attr]
        store._recording._journal._thread.join()  # type: ignore[union-attr]
    assert caplog.text.count("can't be written") == 1
    assert "No space left" in caplog.text
    filler.unlink()
    store.trace_to(path)
    store.map()
    store.close()
    last = read_sessions(str(path))[-1]
    assert "MapLayers" in [r[5] for r in last.rows]


@pytest.mark.root
def test_a_journal_that_has_no_room_leaves_nothing(make_file_system: MakeFileSystem) -> None:
    place = make_file_system("tmpfs", 1)
    fill(place / "filler")
    with pytest.raises(DriverError, match="No space left"):
        Journal(str(place / "trace"), root="/r", driver="vfs", row=row)
    assert os.listdir(place) == ["filler"]


def test_what_cannot_be_packed_is_dropped_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def make(number: int) -> Row:
        return row(number if number < 3 else 1 << 80, "\udcff\ud800" + "x" * number)

    with caplog.at_level(logging.WARNING):
        journal = Journal(str(tmp_path / "trace"), root="/r", driver="vfs", row=make)
        for number in (1, 3, 4, 2):
            journal.put(number)
        journal.close()
    (session,) = read_sessions(str(tmp_path / "trace"))
    assert [(r[0], r[6]) for r in session.rows] == [(1, "\udcff\ud800x"), (2, "\udcff\ud800xx")]
    assert caplog.text.count("a record can't be written") == 1
    assert session.notes == [f"2 records were lost while {tmp_path / 'trace'} was written"]


def test_a_store_that_is_not_closed_still_writes_its_journal(root_dir: Path) -> None:
    script = f"""
from layerstore import LayerStore
store = LayerStore({str(root_dir / "s")!r}, driver="vfs", trace_file={str(root_dir / "t")!r})
store.map()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    (session,) = read_sessions(str(root_dir / "t"))
    assert {"MapLayers", "CloseBooks"} <= {r[5] for r in session.rows}


def test_a_repair_goes_on_in_the_same_journal(root_dir: Path) -> None:
    with LayerStore(root_dir / "s", driver="vfs", trace_file=root_dir / "t") as store:
        (root_dir / f"s/vfs/dir/{'0' * 64}").mkdir()
        assert store.repair()
        store.mounts()
    (session,) = read_sessions(str(root_dir / "t"))
    found = [r[0] for r in session.rows]
    assert len(set(found)) == len(found)
    kinds = [r[5] for r in session.rows]
    assert kinds.index("CloseBooks") < kinds.index("ListMounts")
