"""Attached processes that use the same names and layers at once, while some are killed.

What each saw, and what there is at the end, could have happened in turn: exactly what those that
are gone held is given back, what they made stays, and a call without an answer was done, or undone.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import random
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layerstore import Layer, LayerStore
from layerstore.drivers.system.mountinfo import mount_points
from tests.conftest import OpenStore
from tests.ordeals.histories.clients.client import Entry, Task, entries
from tests.ordeals.histories.clients.remains import Remains, remains
from tests.ordeals.histories.concurrent_user import ABSENT, layer_step, mount_step, steps_of
from tests.ordeals.histories.linearizability import Operation, is_linearizable
from tests.ordeals.histories.model import digest_of
from tests.support.figures import Tell
from tests.support.homes import directories_of
from tests.support.options import AmountOf
from tests.support.tars import layer_tar
from tests.support.waiting import wait_until
from tests.support.ways.opening import Way

_CLIENTS = 4
_KILLED = 2
_OPERATIONS = 14
_HISTORIES = 2
"""For each of the rounds that other histories have: these are shorter."""

pytestmark = pytest.mark.timeout(600)
if TYPE_CHECKING:
    Zygote = Connection[Any, Any]


@pytest.fixture
def way() -> Way:
    """The owner is another process, which is looked at in the end."""
    return "attached"


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    """Whoever forks clients."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.ordeals.histories.clients.zygote", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
        )
    with process:
        asked: Zygote = Connection(ours.detach())
        yield asked
        asked.close()
        assert process.wait(60) == 0


class History:
    """One history: who takes part in it, and how it went."""

    def __init__(self, store: LayerStore, base: str, place: Path, number: int) -> None:
        self.seed = secrets.randbits(32)
        self._random = random.Random(self.seed)  # noqa: S311 - nothing is secret here
        self.names = [f"rw-{number}-{n}" for n in range(2)]
        tars = [layer_tar({f"file-{number}-{n}": b"1"}) for n in range(2)]
        self.tars = {digest_of(tar): tar for tar in tars}
        self._store = store
        self._base = base
        self._place = place
        self._tasks = [self._task(number, client) for client in range(_CLIENTS)]
        self._gone = [0] * _CLIENTS
        """When each closed its store, or was killed, at the earliest."""
        self.unanswered = 0

    def _task(self, number: int, client: int) -> Task:
        return Task(
            root=self._store.root,
            number=client,
            seed=self.seed + client,
            base=self._base,
            names=self.names,
            tars=self.tars,
            operations=_OPERATIONS,
            lets_go=self._random.random() < 0.5,
            log=str(self._place / f"log-{number}-{client}"),
            gate=str(self._place / "gate"),
        )

    def run(self, zygote: Zygote) -> None:
        """Have all act at once, and some killed after a number of their operations."""
        with contextlib.ExitStack() as stack, open(self._place / "gate", "wb") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            processes = []
            for task in self._tasks:
                zygote.send(task)
                # It doesn't end before the gate is open, so its number is still its own.
                processes.append(os.pidfd_open(zygote.recv()))
                stack.callback(os.close, processes[-1])
            wait_until(lambda: all(self._log(client) for client in range(_CLIENTS)))
            fcntl.flock(gate, fcntl.LOCK_UN)
            self._kill(processes[:_KILLED])
            for process in processes:
                assert select.select([process], [], [], 60)[0]

    def _kill(self, victims: list[int]) -> None:
        """Kill processes in the middle of what they do, or close to it."""
        waiting = {client: self._random.randrange(2 * _OPERATIONS) for client in range(_KILLED)}
        while waiting:
            for client, after in list(waiting.items()):
                if self._is_over(client) or len(self._log(client)) > after:
                    del waiting[client]
                    self._gone[client] = time.monotonic_ns()
                    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                        signal.pidfd_send_signal(victims[client], signal.SIGKILL)

    def _log(self, client: int) -> list[Entry]:
        path = Path(self._tasks[client].log)
        return list(entries(path)) if path.exists() else []

    def _is_over(self, client: int) -> bool:
        return any(entry.word in ("closing", "over", "failed") for entry in self._log(client))

    def check(self) -> None:
        """Compare all that was seen, and what there is now, with what can have been."""
        wait_until(self._is_settled)
        settled = time.monotonic_ns()
        found = [self._remains(client, settled) for client in range(_CLIENTS)]
        self.unanswered = sum(one.last is not None for one in found)
        for key in (*self.names, *self.tars):
            step = layer_step if key.startswith("sha256:") else mount_step
            last = Operation("look", "end", self._seen(key), settled, settled + 1)
            histories = [
                [last, *itertools.chain(*parts)]
                for parts in itertools.product(*(one.of(key) for one in found))
            ]
            assert any(is_linearizable(one, ABSENT, steps_of, step) for one in histories), (
                f"seed {self.seed}, {key}:\n" + "\n\n".join(map(_shown, histories))
            )

    def _remains(self, client: int, settled: int) -> Remains:
        log = self._log(client)
        assert [entry.told for entry in log if entry.word == "failed"] == []
        assert self._gone[client] or log[-1].word == "over"
        closing = [e.operation for e in log if e.word == "closing" and e.operation is not None]
        gone = closing[0].start if closing else self._gone[client]
        return remains(log, gone, settled)

    def _is_settled(self) -> bool:
        """Whether nobody holds anything any more, nor is anything made or removed."""
        mounts, layers = self._store.mounts(), self._store.map()
        return (
            all(mount.state == "ready" and not mount.references for mount in mounts)
            and not any(facts.references for chain, facts in layers.items() if chain != self._base)
            and self._store.metrics().running_jobs == 0
        )

    def _seen(self, key: str) -> object:
        if key.startswith("sha256:"):
            layers = {str(chain): facts for chain, facts in self._store.map().items()}
            return layers[key].references if key in layers else None
        for mount in self._store.mounts():
            if mount.name == key:
                return (mount.state, mount.references, mount.mount_count)
        return "absent"


def _shown(history: list[Operation]) -> str:
    return "\n".join(str(operation) for operation in sorted(history, key=lambda o: o.start))


def mounted(store: LayerStore) -> set[str]:
    return {point.path for point in mount_points() if point.path.startswith(f"{store.root}/")}


def emptied(store: LayerStore, base: Layer) -> None:
    """Remove what is there on a base; nothing else may be mounted, nor lie about."""
    if store.driver_name != "vfs":
        assert mounted(store) == {mount.path for mount in store.mounts() if mount.mount_count}
    assert store.check() == []
    for mount in store.mounts():
        store.get_rw_layer(mount.name).release()
    for chain in store.map().keys() - {base.chain_id}:
        store.get(chain).release()
    store.drain()
    facts = store.map()
    assert [layer.references for layer in facts.values()] == [1]
    assert directories_of(store) == {facts[base.chain_id].cache_id}
    assert (store.mounts(), mounted(store)) == ([], set())
    assert store.check() == []


@pytest.mark.parametrize("engine", ["thread", pytest.param("process", marks=pytest.mark.thorough)])
def test_what_killed_processes_leave_could_have_happened_in_turn(
    engine: str,
    open_store: OpenStore,
    zygote: Zygote,
    tmp_path: Path,
    amount: AmountOf,
    tell: Tell,
) -> None:
    store = open_store(engine=engine)
    count = _HISTORIES * amount("--history-rounds")
    unanswered = 0
    base = store.register(layer_tar({"a": b"1"}))
    for number in range(count):
        history = History(store, base.chain_id, tmp_path, number)
        history.run(zygote)
        history.check()
        unanswered += history.unanswered
        emptied(store, base)
    tell(
        f"{count} histories of processes attached to a {engine} on {store.driver_name},"
        f" {_KILLED * count} killed, {unanswered} of them with a call that had no answer"
    )
    assert os.listdir(f"{store.root}/layerstore/trash") == []
