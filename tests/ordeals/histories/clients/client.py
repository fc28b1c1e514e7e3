"""A process that is attached to a store and uses it at random.

Owns its log, which tells each operation twice, when it begins and when it is answered: what a
killed process was at is the one that has only begun.
"""

from __future__ import annotations

import fcntl
import io
import os
import pickle
import time
import traceback
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from layerstore import LayerStore
from tests.ordeals.histories.concurrent_user import User
from tests.ordeals.histories.linearizability import Operation

Word = Literal["ready", "begun", "done", "closing", "over", "failed"]


@dataclass(frozen=True, slots=True)
class Task:
    """What a process is to do."""

    root: str
    number: int
    seed: int
    base: str
    """What all read-write layers are made on."""
    names: list[str]
    tars: dict[str, bytes]
    operations: int
    lets_go: bool
    """Whether it releases what it has before it closes the store."""
    log: str
    gate: str
    """A file that is locked until all may begin."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the log."""

    word: Word
    key: str
    operation: Operation | None
    told: str = ""


def entries(log: Path) -> Iterator[Entry]:
    """Read a log as far as it is whole."""
    with log.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)  # noqa: S301 - from a process of ours
            except (EOFError, pickle.UnpicklingError):
                return


class Client(User):
    """A user that writes down what it does."""

    def __init__(self, store: LayerStore, task: Task, log: int) -> None:
        super().__init__(store, task.seed, task.names, task.tars)
        self._log = log
        self._number = task.number
        self._base = task.base

    def tell(
        self, word: Word, key: str = "", operation: Operation | None = None, told: str = ""
    ) -> None:
        """Write a line, in one step: it is whole whenever this process is killed."""
        os.write(self._log, pickle.dumps(Entry(word, key, operation, told)))

    def _recorded(self, key: str, kind: str, call: Callable[[], Hashable]) -> Hashable:
        self.tell("begun", key, Operation(kind, self._number, None, time.monotonic_ns(), 0))
        return super()._recorded(key, kind, call)

    def _add(self, key: str, kind: str, outcome: Hashable, start: int) -> None:
        end = time.monotonic_ns()
        self.tell("done", key, Operation(kind, self._number, outcome, start, end))

    def _create(self) -> Hashable:
        name = self._random.choice(self._names)

        def create() -> Hashable:
            rw = self._store.create_rw_layer(name, self._base)
            self._rws.append(rw)
            return rw.mount_id

        return self._recorded(name, "create", create)

    def _register(self) -> Hashable:
        chain = self._random.choice(list(self._tars))
        tar = self._tars[chain]
        pumped = self._random.random() < 0.5

        def register() -> Hashable:
            self._layers.append(self._store.register(io.BytesIO(tar) if pumped else tar))
            return "ok"

        return self._recorded(chain, "register", register)


def run(task: Task) -> None:
    """Do a task, until it is done or this process is killed."""
    log = os.open(task.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    store = LayerStore.attach(task.root)
    client = Client(store, task, log)
    try:
        client.tell("ready")
        with open(task.gate, "rb") as gate:
            fcntl.flock(gate, fcntl.LOCK_SH)
        for _ in range(task.operations):
            client.act()
        if task.lets_go:
            client.let_go()
        client.tell("closing", operation=Operation("", task.number, None, time.monotonic_ns(), 0))
        store.close(keep_mounts=True)
        client.tell("over")
    except BaseException:  # noqa: BLE001 - it is for whoever reads the log
        client.tell("failed", told=traceback.format_exc())
