"""The DriverPool: the actor that hands jobs to idle workers.

Owns the queue of jobs that wait and the set of workers that don't work. Short jobs and heavy ones
have a bound each on how many run at once, so neither waits behind the other; the heavy bound is
generous, because a heavy job may be waiting for its caller (to read one stream before another, or
to feed one layer from another) and callers must not be able to block each other. Workers are
started when they are wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count

from layerstore.actors import messages as m
from layerstore.actors.base import BookKeeper, Identity, Ref
from layerstore.actors.worker import DriverWorker
from layerstore.drivers.errors import StoreBusy, StoreClosed
from layerstore.drivers.work import Hands

_MAX_BATCH = 16


class DriverPool(BookKeeper):
    """Dispatches Submit to workers; bounded in what runs and in what waits."""

    def __init__(
        self,
        identity: Identity,
        *,
        make_hands: Callable[[], Hands],
        workers: int,
        max_heavy: int,
        max_queued: int,
        warm: int,
    ) -> None:
        """Start without workers, or with `warm` of them whose children are spawned ahead."""
        super().__init__(identity)
        self._make_hands = make_hands
        self._short: deque[m.Submit] = deque()
        self._heavy: deque[m.Submit] = deque()
        self._short_free = workers
        self._heavy_free = max_heavy
        self._max_queued = max_queued
        self._warm = warm
        self._workers: dict[str, Ref] = {}
        self._idle: dict[str, Ref] = {}
        self._running: dict[str, m.Run] = {}
        self._with_child: set[str] = set()
        self._leaving: list[Ref] = []
        self._numbers = count(1)
        self._keep = max(workers, warm)
        self._cutting_off = False
        self._stopping = False

    def on_start(self) -> None:
        """Start the workers that are wanted ahead."""
        super().on_start()
        for _ in range(self._warm):
            worker = self._start_worker()
            self._idle[worker.name] = worker
            self._with_child.add(worker.name)
            self.send(worker, m.WarmUp())

    def told(self, message: m.Message) -> None:
        """Take a job, or a worker back."""
        match message:
            case m.Submit():
                self._submit(message)
            case m.Finished():
                self._finished(message.worker)
            case _:
                super().told(message)

    def asked(self, message: m.Message) -> object:
        """Tell what goes on, or end it."""
        match message:
            case m.PoolStatus():
                return self._status()
            case m.CutOff():
                self._cut_off()
                return None
            case m.StopWorkers():
                return self._stop_workers()
        return super().asked(message)

    def _submit(self, submit: m.Submit) -> None:
        queue = self._heavy if submit.job.heavy else self._short
        if self._stopping or (self._cutting_off and not submit.job.follows):
            self._refuse(submit, StoreClosed(self.name))
        elif not submit.job.follows and len(queue) >= self._max_queued:
            self._refuse(submit, StoreBusy(len(queue)))
        else:
            queue.append(submit)
            self._dispatch()

    def _refuse(self, submit: m.Submit, error: StoreBusy | StoreClosed) -> None:
        for descriptor in submit.descriptors:
            descriptor.close()
        kind = type(submit.job).__name__
        self.send(submit.reply_to, m.Done(token=submit.token, kind=kind, error=error))

    def _dispatch(self) -> None:
        while self._heavy and self._heavy_free:
            self._heavy_free -= 1
            self._run((self._heavy.popleft(),))
        while self._short and self._short_free:
            # A long queue is shared out in batches, which saves a message to the pool and back
            # for each job; never so much to one worker that others would stand idle.
            size = min(_MAX_BATCH, max(1, len(self._short) // self._short_free))
            self._short_free -= 1
            self._run(tuple(self._short.popleft() for _ in range(size)))

    def _run(self, submits: tuple[m.Submit, ...]) -> None:
        heavy = submits[0].job.heavy
        worker = self._take(heavy=heavy)
        run = m.Run(submits=submits)
        self._running[worker.name] = run
        if heavy:
            self._with_child.add(worker.name)
        self.send(worker, run)

    def _take(self, *, heavy: bool) -> Ref:
        """Take an idle worker, for a heavy job one that has a child, or start one."""
        fitting = [name for name in self._idle if (name in self._with_child) == heavy]
        if fitting or self._idle:
            name = fitting[-1] if fitting else next(reversed(self._idle))
            return self._idle.pop(name)
        return self._start_worker()

    def _finished(self, name: str) -> None:
        run = self._running.pop(name)
        if run.submits[0].job.heavy:
            self._heavy_free += 1
        else:
            self._short_free += 1
        worker = self._workers[name]
        if len(self._idle) >= 2 * self._keep:
            # What a burst of heavy jobs started is let go again, with its child.
            del self._workers[name]
            self._with_child.discard(name)
            self._leaving = [other for other in self._leaving if other.alive]
            self._leaving.append(worker)
            worker.stop()
        else:
            self._idle[name] = worker
        self._dispatch()

    def _start_worker(self) -> Ref:
        name = f"{self.name}-worker-{next(self._numbers)}"
        worker = DriverWorker.launch(name, self._tracer, make_hands=self._make_hands, pool=self.ref)
        self._workers[name] = worker
        return worker

    def _status(self) -> m.PoolFacts:
        return m.PoolFacts(
            workers=len(self._workers),
            idle=len(self._idle),
            running=sum(len(run.submits) for run in self._running.values()),
            queued=len(self._short) + len(self._heavy),
        )

    def _cut_off(self) -> None:
        self._cutting_off = True
        while self._heavy:
            self._refuse(self._heavy.popleft(), StoreClosed(self.name))

    def _stop_workers(self) -> list[Ref]:
        self._cut_off()
        self._stopping = True
        while self._short:
            self._refuse(self._short.popleft(), StoreClosed(self.name))
        for worker in self._workers.values():
            worker.stop()
        return [*self._workers.values(), *self._leaving]
