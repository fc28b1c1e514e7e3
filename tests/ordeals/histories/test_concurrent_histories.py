"""Threads that use the same names and layers at once: what they saw could have happened in turn.

Histories are recorded and checked for linearizability; concurrent_user tells against what.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from layerstore import LayerStore, LayerStoreError
from layerstore.drivers.system.mountinfo import mount_points
from layerstore.drivers.system.proc_children import children_of
from tests.conftest import OpenStore
from tests.ordeals.histories.concurrent_user import ABSENT, User, layer_step, mount_step, steps_of
from tests.ordeals.histories.linearizability import Operation, is_linearizable
from tests.ordeals.histories.model import digest_of
from tests.support.homes import directories_of
from tests.support.options import AmountOf
from tests.support.tars import layer_tar

_THREADS = 4
_OPERATIONS = 14

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def rounds(amount: AmountOf) -> int:
    return amount("--history-rounds")


def users_of(store: LayerStore, seed: int, number: int) -> list[User]:
    """Make users that share two names and two layers which nobody has used before."""
    names = [f"rw-{number}-{n}" for n in range(2)]
    tars = [layer_tar({f"file-{number}-{n}": b"1"}) for n in range(2)]
    by_chain = {digest_of(tar): tar for tar in tars}
    return [User(store, seed + n, names, by_chain) for n in range(_THREADS)]


def run_together(users: list[User]) -> None:
    """Have every user act in a thread of its own."""
    start = threading.Barrier(len(users))

    def run(user: User) -> None:
        start.wait()
        for _ in range(_OPERATIONS):
            user.act()
        user.let_go()

    threads = [threading.Thread(target=run, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def merged(users: list[User]) -> Iterator[tuple[str, list[Operation]]]:
    for key in sorted({key for user in users for key in user.histories}):
        yield key, [operation for user in users for operation in user.histories.get(key, [])]


def check(users: list[User], seed: int) -> int:
    """Check every history; returns how many operations had which no user could expect."""
    surprises = 0
    for key, history in merged(users):
        step = layer_step if key.startswith("sha256:") else mount_step
        lines = "\n".join(str(o) for o in sorted(history, key=lambda o: o.start))
        assert is_linearizable(history, ABSENT, steps_of, step), f"seed {seed}, {key}:\n{lines}"
        surprises += sum(operation.outcome == "WorkerDied" for operation in history)
    return surprises


def test_what_threads_see_could_have_happened_in_turn(open_store: OpenStore, rounds: int) -> None:
    store = open_store(durability="relaxed")
    for number in range(rounds):
        seed = secrets.randbits(32)
        users = users_of(store, seed, number)
        run_together(users)
        assert check(users, seed) == 0
        assert (store.map(), store.mounts()) == ({}, [])


def test_so_it_could_when_children_are_killed_at_random(open_store: OpenStore, rounds: int) -> None:
    store = open_store(durability="relaxed")
    over = threading.Event()
    killing = threading.Thread(target=kill_now_and_then, args=(over,))
    killing.start()
    deaths = 0
    try:
        number = 0
        while number < rounds or not deaths:
            seed = secrets.randbits(32)
            users = users_of(store, seed, number)
            run_together(users)
            deaths += check(users, seed)
            assert (store.map(), store.mounts()) == ({}, [])
            number += 1
    finally:
        over.set()
        killing.join()


def kill_now_and_then(over: threading.Event) -> None:
    chance = random.Random()  # noqa: S311 - any moment will do
    while not over.wait(chance.uniform(0.005, 0.03)):
        children = children_of(os.getpid())
        if not children:
            continue
        victim = chance.choice(children)
        try:
            process = os.pidfd_open(victim)
        except ProcessLookupError:
            continue
        try:
            if victim in children_of(os.getpid()):  # else the number may be another's by now
                signal_by(process)
        finally:
            os.close(process)


def signal_by(process: int) -> None:
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_closing_under_load_answers_everybody(open_store: OpenStore, rounds: int) -> None:
    for number in range(rounds):
        store = open_store(durability="relaxed")
        users = users_of(store, secrets.randbits(32), number)
        outcomes: list[object] = []

        def use(user: User, outcomes: list[object] = outcomes) -> None:
            outcome: object = None
            while outcome != "StoreClosed":
                started = time.monotonic()
                try:
                    outcome = user.act()
                except LayerStoreError as error:
                    outcome = type(error).__name__
                assert time.monotonic() - started < 60
                outcomes.append(outcome)

        threads = [threading.Thread(target=use, args=(user,)) for user in users]
        for thread in threads:
            thread.start()
        while len(outcomes) < 30 + 10 * (number % 7):
            threads[0].join(0.001)
        store.close()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert set(outcomes) & {"WorkerDied", "InternalError", "CallTimeout"} == set()
        assert [p.path for p in mount_points() if p.path.startswith(f"{store.root}/")] == []
        emptied(open_store()).close()


def emptied(store: LayerStore) -> LayerStore:
    """Remove all that a closed store has left; nothing of it may be unreadable."""
    assert store.faults == []
    for mount in store.mounts():
        assert (mount.state, mount.references, mount.mount_count) == ("ready", 0, 0)
        store.get_rw_layer(mount.name).release()
    for chain in store.map():
        store.get(chain).release()
    store.drain()
    assert directories_of(store) == set()
    return store
