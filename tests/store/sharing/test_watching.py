"""Looking on from another process: every record comes, or is counted, and the owner goes on."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import DriverError, InvalidArgument, LayerStore, StoreBusy, StoreClosed, TraceRecord
from layerstore.drivers.errors import MountDoesNotExist
from layerstore.drivers.records.journal_read import read_sessions
from layerstore.drivers.system.frames import receive_frame, send_frame
from layerstore.engine.sharing import place
from layerstore.engine.sharing.following import Following, News
from layerstore.engine.sharing.listening import described
from layerstore.engine.sharing.wire import PROTOCOL, plain
from tests.store.sharing.elsewhere import owner, python
from tests.support.processes import kill
from tests.support.waiting import in_thread, wait_until

LONG = "n" * 250


_LOOKS_ON = """
import sys
from layerstore import LayerStore
store = LayerStore.attach(sys.argv[1])
with store.trace_into(lambda record: None):
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def untraced(root_dir: Path) -> Iterator[LayerStore]:
    """An open store that traces nothing by itself."""
    with LayerStore(
        root_dir, driver="vfs", durability="relaxed", prespawn=False, trace_size=0
    ) as store:
        yield store


def record(number: int) -> TraceRecord:
    return TraceRecord(number, 0, number, "caller", "layers", "MapLayers", "", 1, 2, 3, "ok")


def numbers(path: Path) -> list[str]:
    """Return the kinds of the newest session in a journal."""
    return [row[5] for row in read_sessions(str(path))[-1].rows]


def test_each_record_comes_once_and_looking_on_is_none(untraced: LayerStore) -> None:
    taken: list[TraceRecord] = []
    with LayerStore.attach(untraced.root) as attached, LayerStore.attach(untraced.root) as other:
        assert not untraced._core.tracer.on
        with attached.trace_into(taken.append):
            other.mounts()
            other.waiting()
            for _ in range(1000):
                untraced.map()
            with pytest.raises(MountDoesNotExist):
                attached.get_rw_layer("web")
            wait_until(lambda: len(taken) == 1002)
            assert attached.trace() == []
        assert not untraced._core.tracer.on
        untraced.map()
    assert [each.kind for each in taken] == ["ListMounts", *["MapLayers"] * 1000, "GetRWLayer"]
    assert [each.sequence for each in taken] == list(range(1, 1003))
    assert taken[-1].outcome == "MountDoesNotExist"
    assert taken[-1].facts["name"] == "web"


def test_several_look_on_at_once_and_each_ends_by_itself(untraced: LayerStore) -> None:
    first: list[TraceRecord] = []
    second: list[TraceRecord] = []
    here: list[TraceRecord] = []
    with LayerStore.attach(untraced.root) as attached, LayerStore.attach(untraced.root) as other:
        with attached.trace_into(first.append), untraced.trace_into(here.append):
            untraced.map()
            with attached.trace_into(second.append), other.trace_into(second.append):
                untraced.map()
                wait_until(lambda: len(second) == 2)
            untraced.map()
            wait_until(lambda: len(first) == 3)
        untraced.map()
    assert here == first
    assert second == [first[1]] * 2


def test_who_fails_to_take_a_record_is_told_of_and_goes_on(
    untraced: LayerStore, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[TraceRecord] = []

    def fail(record: TraceRecord) -> None:
        taken.append(record)
        raise ValueError("no")

    with LayerStore.attach(untraced.root) as attached, attached.trace_into(fail):
        untraced.map()
        untraced.map()
        wait_until(lambda: len(taken) == 2)
    assert "failed to take a record" in caplog.text


def watch(store: LayerStore) -> socket.socket:
    """Connect by hand and look on."""
    sock, _ = place.connect(store.root, 60)
    sock.settimeout(60)
    for question in (["hello", PROTOCOL], ["watch", 1, 7]):
        send_frame(sock, question)
        answer, _ = receive_frame(sock)
    assert answer == ["answer", 1, None]
    return sock


def test_who_reads_too_slowly_is_told_how_many_are_lost(untraced: LayerStore) -> None:
    with watch(untraced) as sock:
        for _ in range(4000):
            with pytest.raises(MountDoesNotExist):
                untraced.get_rw_layer(LONG)
        (connection,) = untraced._basis._listener._connections.values()  # type: ignore[union-attr]
        wait_until(lambda: connection._onlooker._missed > 0)
        assert connection._channel.unsent < 2 << 20
        came = lost = 0
        while came + lost < 4000:
            frame, _ = receive_frame(sock)
            match frame:
                case ["records", list(records)]:
                    came += len(records)
                case ["lost", int(count)]:
                    lost += count
        assert came + lost == 4000
        assert came > 1000
        assert lost > 0
        untraced.map()  # and it goes on
        frame, _ = receive_frame(sock)
        assert isinstance(frame, list)
        assert [each[5] for each in frame[1]] == ["MapLayers"]


@pytest.mark.thorough
def test_everything_is_told_or_counted_while_all_work_and_one_is_killed(
    untraced: LayerStore,
) -> None:
    here: list[TraceRecord] = []
    there: list[TraceRecord] = []
    lost: list[int] = []

    def work(thread: int) -> None:
        for turn in range(25):
            untraced.create_rw_layer(f"{thread}-{turn}").release()
            untraced.map()

    with (
        LayerStore.attach(untraced.root) as attached,
        untraced.trace_into(here.append),
        attached.trace_into(there.append, lost=lost.append),
        ThreadPoolExecutor(16) as threads,
    ):
        with python(_LOOKS_ON, untraced.root) as process:
            works = [threads.submit(work, thread) for thread in range(16)]
            wait_until(lambda: len(here) > 1000)
            kill(process.pid)
        for each in works:
            each.result()
        untraced.drain()
        wait_until(lambda: len(there) + sum(lost) == len(here))
    assert len(here) > 4000
    if not lost:
        assert sorted(there) == sorted(here)


def test_who_takes_too_slowly_is_told_how_many_are_lost() -> None:
    following = Following()
    for number in range(30_000):
        following.add(News([record(number)], 0))
    following.add(News([], 5))
    following.end()
    came: list[TraceRecord] = []
    lost: list[int] = []
    following.hand_over(came.append, lost.append)
    assert came[-1] == record(len(came) - 1)
    assert len(came) + sum(lost) == 30_005
    assert 20_000 <= len(came) < 20_100


def test_one_that_is_killed_leaves_nothing(untraced: LayerStore) -> None:
    with python(_LOOKS_ON, untraced.root) as process:
        assert untraced._core.tracer.on
        untraced.map()
        kill(process.pid)
    wait_until(lambda: not untraced._core.tracer.on)
    untraced.map()


def test_an_owner_that_ends_has_nothing_more_to_tell(root_dir: Path) -> None:
    taken: list[TraceRecord] = []
    with owner(root_dir) as process, LayerStore.attach(root_dir) as attached:
        with attached.trace_into(taken.append):
            attached.map()
            wait_until(lambda: len(taken) == 1)
            process.kill()
            process.wait()
        with pytest.raises(StoreClosed), attached.trace_into(taken.append):
            pass
        with pytest.raises(StoreClosed):
            attached.trace_to(root_dir / "trace")
    assert len(taken) == 1


def test_an_engine_that_goes_on_for_another_is_followed_as_well(root_dir: Path) -> None:
    taken: list[TraceRecord] = []
    with LayerStore(root_dir, driver="vfs", prespawn=False, engine="process") as store:
        store.trace_to(root_dir / "trace")
        with store.trace_into(taken.append):
            store.map()
            wait_until(lambda: len(taken) == 1)
            kill(store.core.link.pid)  # type: ignore[attr-defined]
            store.mounts()
            wait_until(lambda: len(taken) == 2)
        store.mounts()
    assert [each.kind for each in taken] == ["MapLayers", "ListMounts"]
    assert numbers(root_dir / "trace")[:2] == ["ListMounts"] * 2
    assert (root_dir / "trace.1").exists()


def test_a_journal_is_the_owners_to_write(
    untraced: LayerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LayerStore.attach(untraced.root) as attached:
        with monkeypatch.context() as elsewhere:
            elsewhere.chdir(tmp_path)
            attached.trace_to("mine")
        untraced.map()
        untraced.trace_to(tmp_path / "owners")
        untraced.mounts()
        attached.trace_to(tmp_path)
        attached.map()
        with pytest.raises(DriverError, match="No such file or directory"):
            attached.trace_to(tmp_path / "nowhere" / "trace")
        for no_path in ("a\0b", "", "\ud800", "a" * 5000):
            for store in (attached, untraced):
                with pytest.raises(InvalidArgument, match="no file can be called so"):
                    store.trace_to(no_path)
        attached.trace_to(None)
        attached.trace_to(None)
        assert not untraced._core.tracer.on
    assert numbers(tmp_path / "mine") == ["MapLayers"]
    assert numbers(tmp_path / "owners") == ["ListMounts"]
    (made,) = tmp_path.glob(f"layerstore-{os.getpid()}-*.trace")
    assert numbers(made) == ["MapLayers"]


def test_of_threads_that_want_a_journal_at_once_the_last_has_it(
    untraced: LayerStore, tmp_path: Path
) -> None:
    def switch(number: int) -> None:
        place = LayerStore.attach(untraced.root) if number % 2 else untraced
        for turn in range(10):
            place.trace_to(tmp_path / f"{number}-{turn}")
        if place is not untraced:
            place.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(switch, range(4)))
    assert len(untraced._core.tracer._sinks) == 1
    assert sum(thread.name == "journal" for thread in threading.enumerate()) == 1
    assert len(list(tmp_path.iterdir())) == 40
    untraced.map()
    untraced.trace_to(None)
    assert sorted(map(len, map(numbers, tmp_path.iterdir()))) == [0] * 39 + [1]


def test_a_second_journal_is_refused_until_the_first_is_begun(
    untraced: LayerStore, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    outcomes: list[object] = []
    going_on = threading.Event()
    request.addfinalizer(going_on.set)
    switching = untraced._recording._switching
    switching.submit(going_on.wait)
    with LayerStore.attach(untraced.root) as attached:
        waits = in_thread(lambda: attached.trace_to(tmp_path / "one"), outcomes)
        wait_until(lambda: switching._work_queue.qsize() == 1)  # the owner has it
        with pytest.raises(StoreBusy):
            attached.trace_to(tmp_path / "two")
        assert attached.map() == {}  # others don't wait for it
        going_on.set()
        waits.join(60)
        assert outcomes == [None]
        attached.trace_to(tmp_path / "two")


@pytest.mark.parametrize(
    "frame", [["records", [1]], ["records", "x"], ["records"], ["lost", -1], ["lost", "1"]], ids=str
)
def test_an_owner_that_makes_no_sense_is_done_with(
    untraced: LayerStore, root_dir: Path, frame: list[object]
) -> None:
    facts = plain(described(untraced._core, ""))
    false = root_dir / "false"
    (false / "layerstore").mkdir(parents=True)

    def serve(door: socket.socket) -> None:
        door.settimeout(60)
        sock, _ = door.accept()
        with sock:
            sock.settimeout(60)
            for answer in (["owner", facts], frame):
                receive_frame(sock)
                send_frame(sock, answer)
            sock.recv(1)

    with place.listen(str(false)) as door:
        serves = in_thread(lambda: serve(door), [])
        with LayerStore.attach(false) as attached, pytest.raises(StoreClosed):
            attached.map()
        serves.join(60)
