"""What small work costs beside the hand-overs between threads that it consists of.

Owns the floor: a thread that only answers, and an actor of Pykka's that only answers. Whatever a
call does, it takes as long as that, since the interpreter's lock goes from thread to thread with
it; on one processor it need not go from one to the other.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import pykka

from benchmarks.bench import Bench, await_children
from benchmarks.mounts import await_threads
from benchmarks.timing import OURS, Table
from layerstore import LayerStore
from tests.support.tars import layer_tar

_FEW, _MANY = 8, 100
_EACH = 500
"""Pairs of calls of each of the few threads."""

Question = tuple[Callable[[Any], object] | None, Any]


class _Answering(pykka.ThreadingActor):
    """Answers, and does nothing else."""

    use_daemon_thread = True

    def on_receive(self, message: object) -> object:
        return message


def measure(bench: Bench) -> None:
    """Eight threads get and release a layer; a hundred make a read-write layer each."""
    with ThreadPoolExecutor(_MANY) as threads, _answering() as questions:
        await_threads(threads, _MANY)
        _measure(bench, threads, questions, "")
        with _one_processor():
            _measure(bench, threads, questions, ", on one processor")


def _measure(
    bench: Bench, threads: ThreadPoolExecutor, questions: SimpleQueue[Question], where: str
) -> None:
    title = f"{_FEW} threads: {_EACH} calls each with an answer, and as many without"
    pairs = bench.table(title + where)
    calls = bench.table(f"{_MANY} threads: one call each{where}")
    thread, actor_of = "a thread that only answers", "an actor of Pykka's that only answers"
    actor = _Answering.start()

    def ask(number: int) -> None:
        box: SimpleQueue[int] = SimpleQueue()
        questions.put((box.put, number))
        box.get()

    def ask_and_tell(_: int) -> None:
        for number in range(_EACH):
            ask(number)
            questions.put((None, number))

    def ask_and_tell_actor(_: int) -> None:
        for number in range(_EACH):
            actor.ask(number)
            actor.tell(number)

    with bench.store("relaxed") as store:
        await_children(store, os.cpu_count() or 1)
        base = store.register(layer_tar({"a": b"1"})).chain_id

        def get_and_release(_: int) -> None:
            for _ in range(_EACH):
                store.get(base).release()

        for _ in range(bench.rounds):
            for what, do in (
                (thread, ask_and_tell),
                (actor_of, ask_and_tell_actor),
                (f"{OURS}: get, release", get_and_release),
            ):
                with pairs.timed(what):
                    list(threads.map(do, range(_FEW)))
            with calls.timed(thread):
                list(threads.map(ask, range(_MANY)))
            with calls.timed(actor_of):
                list(threads.map(actor.ask, range(_MANY)))
            _create_and_remove(store, base, threads, calls)
    actor.stop()
    pairs.print()
    calls.print()


def _create_and_remove(
    store: LayerStore, base: str, threads: ThreadPoolExecutor, calls: Table
) -> None:
    create = store.create_rw_layer
    with calls.timed(f"{OURS}: create_rw_layer"):
        made = list(threads.map(lambda number: create(f"rw{number}", base), range(_MANY)))
    jobs = [record for record in store.trace() if record.kind == "CreateMount"][-_MANY:]
    calls.times["  of that, creating in workers"].append(
        sum(job.ended - job.started for job in jobs) / 1e9
    )
    with calls.timed(f"{OURS}: release of a read-write layer"):
        list(threads.map(lambda layer: layer.release(), made))
    jobs = [record for record in store.trace() if record.kind == "RemoveMount"][-_MANY:]
    calls.times["  of that, removing in workers"].append(
        sum(job.ended - job.started for job in jobs) / 1e9
    )
    store.drain()


@contextlib.contextmanager
def _answering() -> Iterator[SimpleQueue[Question]]:
    questions: SimpleQueue[Question] = SimpleQueue()

    def answer() -> None:
        while (question := questions.get()) != (None, None):
            reply, value = question
            if reply is not None:
                reply(value)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield questions
    finally:
        questions.put((None, None))
        thread.join()


@contextlib.contextmanager
def _one_processor() -> Iterator[None]:
    """Have all threads of this process, and children to come, on one processor."""
    before = os.sched_getaffinity(0)
    try:
        _run_on({min(before)})
        yield
    finally:
        _run_on(before)


def _run_on(processors: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(thread), processors)
