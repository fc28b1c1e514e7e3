"""A store in a process of its own is the same store: what its embedder passes in and out works."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import signal
import threading
from functools import partial
from pathlib import Path

import pytest

from layerstore import (
    AsyncLayerStore,
    CallerError,
    DriverNotSupported,
    InternalError,
    InvalidArgument,
    InvalidName,
    LayerStore,
    StoreClosed,
    StoreLocked,
    mount_points,
)
from layerstore.drivers.system.proc_children import children_of
from tests.conftest import OpenStore
from tests.support.tars import layer_tar
from tests.support.waiting import in_thread, wait_until

TAR = layer_tar({"etc": None, "etc/passwd": b"root"})


def test_the_actors_are_in_a_child_of_its_own_session(own: LayerStore) -> None:
    (engine,) = children_of(os.getpid())
    assert engine == own.core.link.pid  # type: ignore[attr-defined]
    assert os.getsid(engine) == engine
    assert own.owner is None
    assert own.register(io.BytesIO(TAR)).release() != []


def test_an_init_function_is_called_by_the_embedder(own: LayerStore) -> None:
    base = own.register(TAR)
    calls: list[tuple[str, int]] = []

    def init(path: str) -> None:
        calls.append((path, os.getpid()))
        Path(path, "made").touch()

    with own.create_rw_layer("web", base.chain_id, init=init) as rw, rw.mounted() as path:
        assert sorted(os.listdir(path)) == ["etc", "made"]
        assert rw.changes() == []
    assert [pid for _, pid in calls] == [os.getpid()]
    with own.create_rw_layer("run", base.chain_id, init=mount_points) as rw, rw.mounted() as path:
        assert "proc" in os.listdir(path)


def test_an_init_function_that_fails_is_the_cause(own: LayerStore) -> None:
    def fails(_path: str) -> None:
        raise ZeroDivisionError("too bad")

    def refuses(_path: str) -> None:
        raise InvalidName("x", "a test's")

    with pytest.raises(CallerError, match="ZeroDivisionError: too bad") as caught:
        own.create_rw_layer("web", init=fails)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(InvalidName, match="a test's"):
        own.create_rw_layer("web", init=refuses)
    assert own.mounts() == []
    own.drain()
    assert own.check() == []


def test_an_init_function_must_not_wait_for_the_store(own: LayerStore) -> None:
    def asks(_path: str) -> None:
        own.mounts()

    with pytest.raises(InternalError, match="an init function called the store"):
        own.create_rw_layer("web", init=asks)
    assert own.mounts() == []


class _Source(io.RawIOBase):
    """A source that fails in the middle, or has gone on until then."""

    def __init__(self, fails: bool) -> None:
        self._left = io.BytesIO(TAR)
        self._fails = fails

    def read(self, size: int = -1) -> bytes:
        if self._fails and self._left.tell() > 600:
            raise ZeroDivisionError("too bad")
        return self._left.read(min(size, 512))


def test_sources_are_objects_of_the_embedder(own: LayerStore) -> None:
    layer = own.register(_Source(fails=False))
    with layer.tar_stream() as stream:
        assert stream.read() == TAR
    with pytest.raises(CallerError) as caught:
        own.register(_Source(fails=True))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert set(own.map()) == {layer.chain_id}


def test_opening_fails_as_in_this_process(
    root_dir: Path, driver_name: str, open_own: OpenStore
) -> None:
    with pytest.raises(DriverNotSupported, match="nodriver"):
        LayerStore(root_dir, driver="nodriver", engine="process")
    with pytest.raises(InvalidArgument, match="engine is thread or process"):
        LayerStore(root_dir, engine="magic")  # type: ignore[arg-type]
    open_own()
    for engine in ("process", "thread"):
        with pytest.raises(StoreLocked) as caught:
            LayerStore(root_dir, driver=driver_name, engine=engine)
        assert caught.value.pid == os.getpid()


def test_options_reach_the_engine(root_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    with LayerStore(
        root_dir,
        driver="vfs",
        durability="relaxed",
        workers=0,
        engine="process",
        trace_size=3,
        trace_file=tmp_path / "journal",
        listen=False,
    ) as store:
        for _ in range(5):
            store.map()
        assert len(store.trace()) == 3
        assert store.core.workers == 0
        assert not (root_dir / "layerstore" / "socket").exists()
    assert list((tmp_path / "journal").iterdir())


def test_what_the_engine_logs_is_logged_here(
    own: LayerStore, open_own: OpenStore, root_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own.close()
    (root_dir / "layerstore" / "socket").mkdir()
    with caplog.at_level(logging.WARNING, "layerstore"):
        open_own()
    assert "no other process can attach to the store: listen on" in caplog.text


def test_signals_are_for_the_embedder(own: LayerStore) -> None:
    engine = own.core.link.pid  # type: ignore[attr-defined]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(engine, number)
    assert own.register(TAR).release() != []
    assert own.core.link.pid == engine  # type: ignore[attr-defined]


def test_a_repair_opens_the_store_anew(own: LayerStore) -> None:
    layer = own.register(TAR)
    (damaged,) = Path(own.root).rglob("passwd")
    damaged.write_bytes(b"else")
    steps = own.repair(force=True)
    assert steps
    assert own.map() == {}
    assert own.check(full=True) == []
    assert own.register(TAR).chain_id == layer.chain_id


def test_closing_ends_every_thread_process_and_call(open_own: OpenStore, root_dir: Path) -> None:
    threads, descriptors = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))
    store = open_own()
    errors: list[object] = []
    reader, writer = os.pipe()
    waits = in_thread(lambda: store.register(reader), errors)
    wait_until(lambda: store.metrics().running_jobs == 1)
    base = store.register(TAR)
    rw = store.create_rw_layer("web", base.chain_id)
    rw.mount()
    store.close(timeout=2)
    waits.join(60)
    os.close(reader)
    os.close(writer)
    assert len(errors) == 1
    with pytest.raises(StoreClosed):
        rw.changes()
    store.close()
    assert set(threading.enumerate()) == threads
    assert set(os.listdir("/proc/self/fd")) == descriptors
    assert children_of(os.getpid()) == []
    with LayerStore(root_dir, durability="relaxed") as again:
        assert [mount.mount_count for mount in again.mounts()] == [0]
        assert again.check() == []


@pytest.mark.root
def test_mounts_can_be_kept(root_dir: Path) -> None:
    open_own = partial(LayerStore, root_dir, driver="overlay2", engine="process")
    store = open_own()
    rw = store.create_rw_layer("web", store.register(TAR).chain_id)
    path = rw.mount()
    Path(path, "file").touch()
    store.close(keep_mounts=True)
    again = open_own()
    found = again.get_rw_layer("web")
    assert sorted(os.listdir(path)) == ["etc", "file"]
    found.unmount()
    found.release()
    assert again.mounts() == []
    again.close()


def test_asyncio_has_an_engine_of_its_own_too(root_dir: Path) -> None:
    async def works() -> None:
        async with AsyncLayerStore(
            str(root_dir), driver="vfs", durability="relaxed", engine="process"
        ) as store:
            base = await store.register(TAR)
            names = [f"web-{number}" for number in range(20)]
            made = await asyncio.gather(
                *(store.create_rw_layer(name, base.chain_id) for name in names)
            )
            task = asyncio.create_task(store.create_rw_layer("late", base.chain_id))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.gather(*(rw.release() for rw in made))
            await base.release()
            await asyncio.to_thread(wait_until, lambda: store.blocking.mounts() == [])

    asyncio.run(works())
