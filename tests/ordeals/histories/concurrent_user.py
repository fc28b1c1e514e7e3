"""One of several threads that use a store at once, and what the books say each call may do.

Histories are partitioned: one for each mount name, one for each (base) layer's chain ID. What is
checked of each of their operations:

mount name: absent -> creating -> ready(references, mounts) -> removing -> absent
    create      takes effect twice: the name is taken, then the layer is there with one reference
                (or, where its init function fails, the name is free again). MountNameConflict at
                any moment at which the name is taken, whatever its layer's state.
    get, id     at a moment when it is ready, else MountDoesNotExist; `id` tells the creation's ID.
    release     takes effect once, or twice where the reference was the last one: then it is
                removing first, and absent at the end.
    mount,      count at one moment; NotMounted at one at which the count is zero.
    unmount
    look        the state, and when it is ready references and mounts, at one moment.

layer: absent -> ready(references) -> removing -> absent
    register    one moment, at which it isn't removing: one reference more, made if it was absent.
    get         at a moment when it is ready, else LayerDoesNotExist.
    release     as of a name, and it tells whether the layer was removed.
    look        the references while it is ready, else nothing.

let go      a process that was attached is gone: one reference less. Where that was the last one,
            and another had been released, it goes as by a release; else it stays without any.
undo        what such a process was just making goes as by a release, if nobody else holds it.

A call that failed with WorkerDied has no effect at all. Layers on other layers are left to the
sequential histories, because what keeps a parent in passing is part of its count.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from layerstore import Layer, LayerStore, LayerStoreError, RWLayer
from tests.ordeals.histories.linearizability import Operation

Histories = dict[str, list[Operation]]


@dataclass(frozen=True, slots=True)
class Books:
    """What the books hold of one name or chain."""

    phase: str = "absent"
    by: Operation | None = None
    """Whose second step ends the phase."""
    references: int = 0
    given_up: bool = False
    """Somebody has released it, so it goes with its last reference."""
    mounts: int = 0
    mount_id: Hashable = None


ABSENT = Books()


def steps_of(operation: Operation) -> int:
    """Return how many moments an operation has."""
    if operation.outcome == "WorkerDied":
        return 0
    if operation.kind in ("release", "let go", "undo"):
        return 2
    if operation.kind == "create" and not _conflicts(operation):
        return 2
    return 1


def _conflicts(operation: Operation) -> bool:
    return operation.outcome == "MountNameConflict"


def mount_step(books: Books, operation: Operation, step: int) -> Books | None:
    """Specify a mount name; see the module."""
    outcome, is_ready = operation.outcome, books.phase == "ready"
    following: Books | None = None
    match operation.kind:
        case "create":
            following = _created(books, operation, step)
        case "get" | "id" if outcome == "MountDoesNotExist":
            following = None if is_ready else books
        case "get" if is_ready:
            following = replace(books, references=books.references + 1)
        case "id" if is_ready and outcome == books.mount_id:
            following = books
        case "release":
            following = _released(books, operation, step)
        case "let go":
            following = _dropped(books, operation, step, goes=books.given_up)
        case "undo":
            following = _dropped(books, operation, step, goes=True)
        case "mount" if is_ready:
            following = replace(books, mounts=books.mounts + 1)
        case "unmount" if is_ready and outcome == "NotMounted":
            following = None if books.mounts else books
        case "unmount" if is_ready and books.mounts:
            following = replace(books, mounts=books.mounts - 1)
        case "look" if outcome == _seen(books):
            following = books
    return following


def _seen(books: Books) -> Hashable:
    is_ready = books.phase == "ready"
    return (books.phase, books.references, books.mounts) if is_ready else books.phase


def _created(books: Books, operation: Operation, step: int) -> Books | None:
    if _conflicts(operation):
        return books if books.phase != "absent" else None
    if step == 0:
        return Books("creating", operation) if books.phase == "absent" else None
    if operation.outcome == "CallerError":
        return ABSENT
    return Books("ready", references=1, mount_id=operation.outcome)


def _released(books: Books, operation: Operation, step: int) -> Books | None:
    following = _dropped(books, operation, step, goes=True)
    return replace(following, given_up=True) if following and not step else following


def _dropped(books: Books, operation: Operation, step: int, *, goes: bool) -> Books | None:
    """Take a reference; with the last it `goes`, or stays without any."""
    if step == 1:
        return ABSENT if books.by == operation else books
    if books.phase != "ready" or not books.references:
        return None
    if books.references == 1 and goes:
        return Books("removing", operation)
    return replace(books, references=books.references - 1)


def layer_step(books: Books, operation: Operation, step: int) -> Books | None:
    """Specify a base layer; see the module."""
    is_ready = books.phase == "ready"
    following: Books | None = None
    match operation.kind:
        case "register" if books.phase != "removing":
            following = replace(books, phase="ready", references=books.references + 1)
        case "get" if operation.outcome == "LayerDoesNotExist":
            following = None if is_ready else books
        case "get" if is_ready:
            following = replace(books, references=books.references + 1)
        case "release":
            removes = books.by == operation if step else books.references == 1
            if removes == operation.outcome:
                following = _released(books, operation, step)
        case "undo":
            following = _released(books, operation, step)
        case "let go":
            following = _dropped(books, operation, step, goes=books.given_up)
        case "look" if operation.outcome == (books.references if is_ready else None):
            following = books
    return following


class User:
    """Performs random operations and records them; one thread's."""

    def __init__(
        self, store: LayerStore, seed: int, names: list[str], tars: dict[str, bytes]
    ) -> None:
        self.histories: Histories = {}
        self._store = store
        self._random = random.Random(seed)  # noqa: S311 - nothing is secret here
        self._names = names
        self._tars = tars
        self._rws: list[RWLayer] = []
        self._layers: list[Layer] = []

    def act(self) -> Hashable:
        """Perform one operation of any kind and return its outcome."""
        choices: list[Callable[[], Hashable]] = [
            self._create, self._get, self._id, self._look, self._register, self._get_layer,
        ]  # fmt: skip
        if self._rws:
            choices += [self._mount, self._unmount, self._release, self._release]
        if self._layers:
            choices += [self._release_layer, self._release_layer]
        return self._random.choice(choices)()

    def let_go(self) -> None:
        """Release everything, recording that too."""
        while self._rws:
            self._release()
        while self._layers:
            self._release_layer()

    def _recorded(self, key: str, kind: str, call: Callable[[], Hashable]) -> Hashable:
        start = time.monotonic_ns()
        try:
            outcome = call()
        except LayerStoreError as error:
            outcome = type(error).__name__
        self._add(key, kind, outcome, start)
        return outcome

    def _add(self, key: str, kind: str, outcome: Hashable, start: int) -> None:
        operation = Operation(kind, id(self), outcome, start, time.monotonic_ns())
        self.histories.setdefault(key, []).append(operation)

    def _create(self) -> Hashable:
        name = self._random.choice(self._names)
        init = self._random.choice([None, None, _failing_init])

        def create() -> Hashable:
            rw = self._store.create_rw_layer(name, init=init)
            self._rws.append(rw)
            return rw.mount_id

        return self._recorded(name, "create", create)

    def _get(self) -> Hashable:
        name = self._random.choice(self._names)

        def get() -> Hashable:
            self._rws.append(self._store.get_rw_layer(name))
            return "ok"

        return self._recorded(name, "get", get)

    def _id(self) -> Hashable:
        name = self._random.choice(self._names)
        return self._recorded(name, "id", lambda: self._store.get_mount_id(name))

    def _mount(self) -> Hashable:
        rw = self._random.choice(self._rws)
        return self._recorded(rw.name, "mount", lambda: bool(rw.mount()))

    def _unmount(self) -> Hashable:
        rw = self._random.choice(self._rws)

        def unmount() -> Hashable:
            rw.unmount()
            return "ok"

        return self._recorded(rw.name, "unmount", unmount)

    def _release(self) -> Hashable:
        rw = self._rws.pop(self._random.randrange(len(self._rws)))
        return self._recorded(rw.name, "release", lambda: bool(rw.release()))

    def _look(self) -> Hashable:
        start = time.monotonic_ns()
        mounts = {mount.name: mount for mount in self._store.mounts()}
        for name in self._names:
            seen: Hashable = "absent"
            if name in mounts:
                facts = mounts[name]
                is_ready = facts.state == "ready"
                counts = (facts.state, facts.references, facts.mount_count)
                seen = counts if is_ready else facts.state
            self._add(name, "look", seen, start)
        start = time.monotonic_ns()
        layers = {str(chain): facts for chain, facts in self._store.map().items()}
        for chain in self._tars:
            references = layers[chain].references if chain in layers else None
            self._add(chain, "look", references, start)
        return None

    def _register(self) -> Hashable:
        chain = self._random.choice(list(self._tars))

        def register() -> Hashable:
            self._layers.append(self._store.register(self._tars[chain]))
            return "ok"

        return self._recorded(chain, "register", register)

    def _get_layer(self) -> Hashable:
        chain = self._random.choice(list(self._tars))

        def get() -> Hashable:
            self._layers.append(self._store.get(chain))
            return "ok"

        return self._recorded(chain, "get", get)

    def _release_layer(self) -> Hashable:
        layer = self._layers.pop(self._random.randrange(len(self._layers)))
        return self._recorded(str(layer.chain_id), "release", lambda: bool(layer.release()))


def _failing_init(_path: str) -> None:
    raise ValueError("no")
