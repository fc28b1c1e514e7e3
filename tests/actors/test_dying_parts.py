"""Parts that die at random moments under load: children killed and stopped, actors that raise.

Every call ends within a bound, with a result or an error that says why; then the books agree with
the disk and everything can still be used. The seed of each round is told when it fails.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerstore import (
    CallTimeout,
    DriverError,
    Layer,
    LayerStore,
    RWLayer,
    StoreRestarted,
    WorkerDied,
)
from layerstore.actors.runtime.ref import Ref
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.proc_children import children_of
from tests.actors.dying import ACTORS, hit
from tests.conftest import OpenStore
from tests.support.figures import Tell
from tests.support.homes import directories_of
from tests.support.options import amount_of
from tests.support.tars import layer_tar, many_files

_THREADS = 4
_SECONDS = 10.0
_BOUND = 60.0
_TROUBLES = {"SIGKILL", "SIGSTOP", *ACTORS}
"""Seconds that one call may take, on a machine as busy as tests may find it."""
_TOLD = (StoreRestarted, WorkerDied, CallTimeout)
"""What a call may say while parts of the store die."""

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(1800)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dying_round" in metafunc.fixturenames:
        rounds = amount_of(metafunc.config, "--dying-rounds")
        metafunc.parametrize("dying_round", range(rounds))


class User:
    """One thread that uses the store, and knows what it holds."""

    def __init__(self, store: LayerStore, base: Layer, number: int, seed: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self.error: BaseException | None = None
        self._store = store
        self._base = base
        self._number = number
        self._chance = random.Random(seed + number)  # noqa: S311 - nothing is secret here
        self._made = 0

    def run(self, stop: threading.Event) -> None:
        """Use the store until it is time to stop."""
        acts = (self.register, self.stream, self.mount, self.change, self.commit, self.look)
        try:
            while not stop.is_set():
                self._chance.choice(acts)()
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.error = error

    def ask(self, act: Callable[[], object]) -> object:
        """Make one call; None where it said that a part of the store has died."""
        started = time.monotonic()
        try:
            answer = act()
        except _TOLD as error:
            self.outcomes[type(error).__name__] += 1
            return None
        except DriverError as error:
            if "it ends with -9" not in str(error):
                raise
            self.outcomes["fuse-overlayfs"] += 1  # which is one of the parts that are killed
            return None
        else:
            self.outcomes["ok"] += 1
            return answer
        finally:
            self.slowest = max(self.slowest, time.monotonic() - started)

    def insist(self, act: Callable[[], object]) -> None:
        """Make a call until it is answered."""
        deadline = time.monotonic() + _BOUND
        while self.ask(lambda: (act(),)) is None:
            assert time.monotonic() < deadline

    def name(self) -> str:
        self._made += 1
        return f"rw-{self._number}-{self._made}"

    def timeout(self) -> float | None:
        return self._chance.choice((None, None, self._chance.uniform(0.001, 0.5)))

    def register(self) -> None:
        tar = many_files(self._chance.choice((1, 30)), size=self._chance.choice((1, 9_000)))
        if self._chance.random() < 0.7:
            tar = layer_tar({f"{self._number}-{self._made}": b"1"})
        self._made += 1
        parent = self._chance.choice((None, self._base.chain_id))
        layer = self.ask(lambda: self._store.register(tar, parent, timeout=self.timeout()))
        if isinstance(layer, Layer):
            self.ask(lambda: self._read(layer, tar))
            self.insist(layer.release)

    def _read(self, layer: Layer, tar: bytes) -> None:
        with layer.tar_stream() as stream:
            assert stream.read() == tar

    def stream(self) -> None:
        def part() -> None:
            with self._base.tar_stream() as stream:
                stream.read(100)

        self.ask(self._chance.choice((self._base.metadata, part)))
        layer = self.ask(lambda: self._store.get(self._base.chain_id))
        if isinstance(layer, Layer):
            self.insist(layer.release)

    def create(self, *, on_base: bool = True) -> RWLayer | None:
        name, timeout = self.name(), self.timeout()
        init = self._chance.choice((None, _init))
        parent = self._base.chain_id if on_base else None
        rw = self.ask(lambda: self._store.create_rw_layer(name, parent, init=init, timeout=timeout))
        return rw if isinstance(rw, RWLayer) else None

    def mount(self) -> None:
        rw = self.create()
        if rw is None:
            return
        path = self.ask(rw.mount)
        if isinstance(path, str):
            Path(path, "new").write_bytes(b"1")
            if self._chance.random() < 0.5:
                # After StoreRestarted it may have been unmounted, so it isn't asked again.
                self.ask(rw.unmount)
        self.insist(rw.release)

    def change(self) -> None:
        rw = self.create()
        if rw is None:
            return
        other = self.ask(lambda: self._store.get_rw_layer(rw.name))
        self.ask(lambda: rw.apply_diff(layer_tar({"f": b"1"}), timeout=self.timeout()))
        changes = self.ask(lambda: rw.changes(timeout=self.timeout()))
        assert changes is None or {str(change) for change in changes} <= {"A /f"}  # type: ignore[attr-defined]
        self.ask(lambda: rw.size(timeout=self.timeout()))
        for held in (rw, other):
            if isinstance(held, RWLayer):
                self.insist(held.release)

    def commit(self) -> None:
        rw = self.create(on_base=False)
        if rw is None:
            return
        self.ask(lambda: rw.apply_diff(layer_tar({rw.name: b"1"})))
        self.ask(lambda: self._store.images.commit(rw))
        self.insist(rw.release)

    def look(self) -> None:
        looks: tuple[Callable[[], object], ...] = (
            self._store.map,
            self._store.mounts,
            self._store.images.list,
            self._store.check,
            lambda: self._store.drain(timeout=self.timeout()),
        )
        self.ask(self._chance.choice(looks))


def _init(path: str) -> None:
    Path(path, "init").write_bytes(b"1")


class Trouble:
    """One thread that kills and stops children, and has actors raise, at random moments."""

    def __init__(self, store: LayerStore, seed: int) -> None:
        self.made: Counter[str] = Counter()
        self.hit: list[Ref] = []
        self._store = store
        self._chance = random.Random(seed)  # noqa: S311 - nothing is secret here
        self._actors: list[str] = []

    def run(self, stop: threading.Event) -> None:
        next_actor = time.monotonic() + self._chance.uniform(0.1, 1)
        while not stop.wait(self._chance.uniform(0.01, 0.2)):
            if time.monotonic() < next_actor:
                self._to_a_child()
                continue
            # In a random order, so that each has its turn.
            self._actors = self._actors or self._chance.sample(ACTORS, len(ACTORS))
            with contextlib.suppress(StopIteration):  # no worker has been started yet
                self.hit.append(hit(self._store, self._actors[-1]))
            self.made[self._actors.pop()] += 1
            next_actor = time.monotonic() + self._chance.uniform(0.5, 1.5)

    def _to_a_child(self) -> None:
        family = children_of(os.getpid())
        with contextlib.suppress(FileNotFoundError):  # the child has ended
            family += [fork for child in family for fork in children_of(child)]
        if not family:
            return
        victim = self._chance.choice(family)
        with contextlib.suppress(ProcessLookupError), _handle(victim) as process:
            if self._chance.random() < 0.6:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                self.made["SIGKILL"] += 1
                return
            signal.pidfd_send_signal(process, signal.SIGSTOP)
            self.made["SIGSTOP"] += 1
            if self._chance.random() < 0.5:
                threading.Event().wait(self._chance.uniform(0, 0.3))
                signal.pidfd_send_signal(process, signal.SIGCONT)
                self.made["SIGCONT"] += 1


@contextlib.contextmanager
def _handle(pid: int) -> Iterator[int]:
    """Give a pidfd of a process that is one of ours, as its number can't be another's by then."""
    process = os.pidfd_open(pid)
    try:
        ours = children_of(os.getpid())
        with contextlib.suppress(FileNotFoundError):
            ours = ours + [fork for child in ours for fork in children_of(child)]
        if pid not in ours:
            raise ProcessLookupError
        yield process
    finally:
        os.close(process)


def test_parts_that_die_at_random_leave_a_store_that_is_whole(
    open_store: OpenStore, dying_round: int, tell: Tell
) -> None:
    seed = secrets.randbits(32)
    print(f"round {dying_round}, seed {seed}")
    store = open_store(durability="relaxed", max_streams=8)
    base = store.register(many_files(20))
    users = [User(store, base, number, seed) for number in range(_THREADS)]
    trouble = Trouble(store, seed)
    stop, peace = threading.Event(), threading.Event()
    threads = [threading.Thread(target=user.run, args=(stop,)) for user in users]
    troubling = threading.Thread(target=trouble.run, args=(peace,))
    for thread in (*threads, troubling):
        thread.start()
    began = time.monotonic()
    stop.wait(_SECONDS)
    while not set(trouble.made) >= _TROUBLES:
        assert time.monotonic() - began < _BOUND, trouble.made
        stop.wait(0.1)
    peace.set()
    stop.set()
    for thread in (*threads, troubling):
        thread.join(2 * _BOUND)
        assert not thread.is_alive()
    outcomes = sum((user.outcomes for user in users), Counter())
    slowest = max(user.slowest for user in users)
    tell(f"{store.driver_name}, {seed}: {dict(outcomes)}, {slowest:.1f} s, {dict(trouble.made)}")
    for user in users:
        if user.error is not None:
            raise user.error
    assert max(user.slowest for user in users) < _BOUND
    assert outcomes["ok"] > 20
    assert outcomes["StoreRestarted"] > 0
    # What has been told to an actor that was busy is met later.
    assert all(ref.join(_BOUND) for ref in trouble.hit)
    is_whole(store, base)
    started = time.monotonic()
    store.close()
    assert time.monotonic() - started < _BOUND
    assert [p.path for p in mount_points() if p.path.startswith(f"{store.root}/")] == []
    again = open_store()
    assert again.faults == []
    assert again.check(full=True) == []
    assert set(again.map()) == {base.chain_id}


def is_whole(store: LayerStore, base: Layer) -> None:
    """The books agree with the disk, nobody has anything but the base, and all works."""
    for image in store.images.list():
        store.images.remove(image.id, force=True)
    deadline = time.monotonic() + 60
    while set(store.map()) != {base.chain_id} or store.mounts():
        assert time.monotonic() < deadline, (store.map(), store.mounts())
    store.drain()
    assert store.check(full=True) == []
    assert [facts.references for facts in store.map().values()] == [1]
    assert len(directories_of(store)) == 1
    assert os.listdir(f"{store.root}/layerstore/trash") == []
    with store.create_rw_layer("last", base.chain_id) as rw:
        with rw.mounted() as path:
            Path(path, "new").write_bytes(b"1")
        assert [str(change) for change in rw.changes()] == ["A /new"]
    with store.create_rw_layer("bare") as rw:
        image = store.images.commit(rw, "last:1")
    assert store.images.remove(image.id, force=True).deleted == image.id
