"""The trace: what was said between the actors, and why."""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import re
import subprocess
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerstore import DriverError, LayerDoesNotExist, LayerStore, TraceRecord
from layerstore.actors import messages as m
from layerstore.drivers.system.syscalls import umount
from layerstore.drivers.work import TarSource
from tests.conftest import OpenStore
from tests.support.tars import layer_tar


def caused_by(records: list[TraceRecord], cause: TraceRecord) -> list[TraceRecord]:
    return [record for record in records if record.cause == cause.sequence]


def test_a_message_is_shown_by_ids_and_never_by_its_contents() -> None:
    message = m.Register(
        reference=1, parent=None, descriptor='{"secret": 1}', source=TarSource(), descriptors=()
    )
    assert repr(message) == "Register(base)"


def test_the_causal_chain_of_a_removal_can_be_read(open_store: OpenStore) -> None:
    store = open_store()
    base = store.register(layer_tar({"a": b"1"})).chain_id
    store.create_rw_layer("web", base).release()
    store.mounts()  # answered after the message that the release ended with was kept
    records = store.trace()
    (release,) = [record for record in records if record.kind == "ReleaseRWLayer"]
    assert (release.receiver, release.summary, release.outcome) == ("mounts", "web", "pending")
    chain = [release]
    while following := caused_by(records, chain[-1]):
        wanted = [record for record in following if record.kind not in {"Sweep", "Run"}]
        if not wanted:
            break
        chain.append(wanted[0])
    assert [(record.kind, record.receiver) for record in chain[:4]] == [
        ("ReleaseRWLayer", "mounts"),
        ("Submit", "pool"),
        ("RemoveMount", chain[2].receiver),
        ("Done", "mounts"),
    ]
    assert chain[1].summary.startswith("RemoveMount web ")
    assert chain[2].receiver.startswith("pool-worker-")
    assert [record.kind for record in chain[4:]] == ["DropLayer", "Done", "Answer"]
    assert (chain[-1].receiver, chain[-1].summary, chain[-1].outcome) == (
        "caller", "ReleaseRWLayer", "ok",
    )  # fmt: skip
    assert {record.request for record in chain} == {release.sequence}
    for record in chain:
        assert record.enqueued <= record.started <= record.ended
    for earlier, later in itertools.pairwise(chain):
        assert earlier.started <= later.enqueued


def test_a_refusal_is_the_outcome_of_its_message(open_store: OpenStore) -> None:
    store = open_store()
    missing = "sha256:" + "0" * 64
    with pytest.raises(LayerDoesNotExist):
        store.get(missing)
    (refusal,) = [record for record in store.trace() if record.kind == "GetLayer"]
    assert refusal.outcome == "LayerDoesNotExist"


def test_the_ring_forgets_the_oldest(open_store: OpenStore) -> None:
    store = open_store(trace_size=5, prespawn=False)
    for _ in range(20):
        store.map()
    assert [record.kind for record in store.trace()] == ["MapLayers"] * 5


def test_tracing_can_be_off(open_store: OpenStore) -> None:
    store = open_store(trace_size=0)
    store.create_rw_layer("web").release()
    assert store.trace() == []


@contextlib.contextmanager
def queued_up(store: LayerStore) -> Iterator[ThreadPoolExecutor]:
    """Keep the only worker busy for a `with` block, which gets threads to ask from."""
    reached, let_go = threading.Event(), threading.Event()

    def block(_path: str) -> None:
        reached.set()
        assert let_go.wait(60)

    with ThreadPoolExecutor(21) as threads:
        blocked = threads.submit(store.create_rw_layer, "blocked", init=block)
        try:
            assert reached.wait(60)
            yield threads
        finally:
            let_go.set()
        blocked.result(60)


def await_queue(store: LayerStore, length: int) -> None:
    queue = 0
    while queue < length:
        (queue,) = [a.queue for a in store.waiting().actors if a.name == "pool"]


def test_jobs_that_share_a_run_are_each_caused_by_their_own_request(open_store: OpenStore) -> None:
    store = open_store(workers=1)
    layers = [store.create_rw_layer(f"w{number}") for number in range(20)]
    with queued_up(store) as threads:
        releases = [threads.submit(layer.release) for layer in layers]
        await_queue(store, len(layers))
    for release in releases:
        release.result(60)
    store.mounts()
    records = store.trace()
    assert [r for r in records if r.kind == "Run" and " and 15 more" in r.summary]
    for number in range(20):
        (call,) = [r for r in records if (r.kind, r.summary) == ("ReleaseRWLayer", f"w{number}")]
        mine = [r for r in records if r.request == call.sequence]
        (submit,) = caused_by(records, call)
        (job,) = [r for r in caused_by(records, submit) if r.kind == "RemoveMount"]
        assert job.summary.startswith(f"w{number} ")
        assert (job.sender, job.outcome) == ("pool-worker-1", "ok")
        assert re.fullmatch(r"pool-worker-1|child \d+", job.receiver)  # where it does them together
        assert submit.started <= job.enqueued < job.started <= job.ended
        (done,) = caused_by(records, job)
        assert (done.kind, done.receiver) == ("Done", "mounts")
        (answer,) = [r for r in caused_by(records, done) if r.kind == "Answer"]
        assert answer.ended >= job.ended
        assert {r.kind for r in mine} >= {"ReleaseRWLayer", "Submit", "Done", "Answer"}


@pytest.mark.parametrize("broken", ["w0", "w1", "w2"])
def test_trash_is_swept_once_no_removal_is_under_way_though_the_last_fails(
    open_store: OpenStore, broken: str
) -> None:
    store = open_store(workers=1)
    layers = [store.create_rw_layer(f"w{number}") for number in range(3)]
    path = Path(f"{store.root}/image/{store.driver_name}/layerdb/mounts/{broken}")
    with queued_up(store) as threads:
        path.rename(path.with_name("elsewhere"))
        releases = [threads.submit(layer.release) for layer in layers]
        await_queue(store, len(layers))
    outcomes = [type(release.exception(10)) for release in releases]
    assert sorted(outcomes, key=str) == sorted([DriverError, type(None), type(None)], key=str)
    path.with_name("elsewhere").rename(path)
    store.drain()  # a sweep is kept once it is over
    removed = [r for r in store.trace() if r.kind == "Done" and "RemoveMount" in r.summary]
    sweeps = [r for r in store.trace() if r.kind == "Sweep"]
    assert len(removed) == 3
    assert [sweep.cause for sweep in sweeps] == [max(done.sequence for done in removed)]


class Heard(logging.Handler):
    """Notices that something is tried again."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.retry = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "trying again" in record.getMessage():
            self.retry.set()


@pytest.mark.root
def test_a_job_that_had_to_be_repeated_says_so(
    root_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "layerstore")
    heard = Heard()
    logging.getLogger("layerstore").addHandler(heard)
    try:
        with LayerStore(root_dir, driver="overlay2") as store, ThreadPoolExecutor(1) as threads:
            base = store.register(layer_tar({"a": b"1"}))
            rw = store.create_rw_layer("web", base.chain_id)
            path = rw.mount()
            subprocess.run(["mount", "--bind", path, path], check=True)
            unmounting = threads.submit(rw.unmount)
            assert heard.retry.wait(60)
            umount(path)  # what kept the mount point busy
            unmounting.result(60)
            (job,) = [r for r in store.trace() if r.kind == "UnmountLayer"]
    finally:
        logging.getLogger("layerstore").removeHandler(heard)
    assert re.search(r"^[0-9a-f]{12} after \d+ (retry|retries)$", job.summary)
    assert job.outcome == "ok"


def test_the_trace_keeps_no_contents_alive(open_store: OpenStore) -> None:
    store = open_store(workers=0)

    class Init:
        def __call__(self, _path: str) -> None:
            pass

    init = Init()
    seen = weakref.ref(init)
    store.create_rw_layer("web", init=init).release()
    del init
    store.drain()
    store.mounts()
    gc.collect()
    assert seen() is None
    assert "CreateRWLayer" in [record.kind for record in store.trace()]
