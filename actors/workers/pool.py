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

from msgspec import structs

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import BookKeeper
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.actors.watching.trace import Envelope
from layerstore.actors.watching.waiting import Glance
from layerstore.actors.workers.worker import DriverWorker
from layerstore.drivers.errors import JobCancelled, LayerStoreError, StoreBusy, StoreClosed
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
        self._causes: dict[int, Envelope] = {}  # by the identity of a queued Submit
        self._short: deque[m.Submit] = deque()
        self._heavy: deque[m.Submit] = deque()
        self._short_free = workers
        self._heavy_free = max_heavy
        self._max_queued = max_queued
        self._warm = warm
        self._workers: dict[str, Ref] = {}
        self._hands: dict[str, Hands] = {}
        self._idle: dict[str, Ref] = {}
        self._running: dict[str, m.Run] = {}
        self._with_child: set[str] = set()
        self._numbers = count(1)
        self._keep = max(workers, warm)
        self._cutting_off = False
        self._done: dict[tuple[str, str], list[int]] = {}
        """By kind and outcome of jobs: how many, nanoseconds waited and worked."""

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
            case m.Cancel():
                self._cancel(message)
            case m.Finished():
                self._count(message.jobs)
                self._finished(message.worker)
            case _:
                super().told(message)

    def asked(self, message: m.Message) -> object:
        """Tell what goes on, or cut it off."""
        match message:
            case m.PoolStatus():
                return self._status()
            case m.CutOff():
                self._cut_off()
                return None
        return super().asked(message)

    def look(self) -> Glance:
        """Return what is before the pool: the jobs that wait for a worker, too."""
        workers = tuple(self._workers.copy().values())
        queue = tuple(self._causes.copy().values())
        return structs.replace(super().look(), queue=queue, workers=workers)

    def _submit(self, submit: m.Submit) -> None:
        queue = self._heavy if submit.job.heavy else self._short
        if self._cutting_off and not submit.job.follows:
            self._refuse(submit, StoreClosed(self.name))
        elif not submit.job.follows and len(queue) >= self._max_queued:
            self._refuse(submit, StoreBusy(len(queue)))
        else:
            queue.append(submit)
            if self._handling is not None:
                self._causes[id(submit)] = self._handling
            self._dispatch()

    def _cancel(self, message: m.Cancel) -> None:
        """End a job that nobody wants: take it out of its queue, or its child from it.

        A short one that runs already is left to its end.
        """

        def is_meant(submit: m.Submit) -> bool:
            return (submit.token, submit.reply_to.name) == (message.token, message.reply_to.name)

        for queue in (self._short, self._heavy):
            found = next((submit for submit in queue if is_meant(submit)), None)
            if found is not None:
                queue.remove(found)
                self._refuse(found, JobCancelled(type(found.job).__name__))
        for name, run in self._running.items():
            if run.submits[0].job.heavy and is_meant(run.submits[0]):
                self._hands[name].cancel(run.submits[0].job)

    def _refuse(self, submit: m.Submit, error: LayerStoreError) -> None:
        for descriptor in submit.descriptors:
            descriptor.close()
        self._cause(submit)
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
        worker = self._take(child=heavy or len(submits) > 1)
        run = m.Run(submits=submits, causes=tuple([self._cause(submit) for submit in submits]))
        self._running[worker.name] = run
        if heavy:
            self._with_child.add(worker.name)
        worker.tell(run, run.causes[0] or self._handling, self.name)

    def _cause(self, submit: m.Submit) -> Envelope | None:
        """Return, for once, the envelope that a job came in, so that it causes what becomes of it.

        The message that is handled when a job's turn comes is of whoever had it before.
        """
        return self._causes.pop(id(submit), None)

    def _take(self, *, child: bool) -> Ref:
        """Take an idle worker, for heavy and for many jobs one that has a child, or start one."""
        fitting = [name for name in self._idle if (name in self._with_child) == child]
        if fitting or self._idle:
            name = fitting[-1] if fitting else next(reversed(self._idle))
            return self._idle.pop(name)
        return self._start_worker()

    def _count(self, jobs: tuple[m.DoneJob, ...]) -> None:
        for job in jobs:
            sums = self._done.setdefault((job.kind, job.outcome), [0, 0, 0])
            for index, more in enumerate((1, job.waited, job.worked)):
                sums[index] += more

    def _finished(self, name: str) -> None:
        run = self._running.pop(name)
        if run.submits[0].job.heavy:
            self._heavy_free += 1
        else:
            self._short_free += 1
        worker = self._workers[name]
        if len(self._idle) >= 2 * self._keep:
            # What a burst of heavy jobs started is let go again, with its child.
            del self._workers[name], self._hands[name]
            self._with_child.discard(name)
            worker.stop()
        else:
            self._idle[name] = worker
        self._dispatch()

    def _start_worker(self) -> Ref:
        name = f"{self.name}-worker-{next(self._numbers)}"
        hands = self._hands[name] = self._make_hands()
        worker = DriverWorker.launch(name, self._tracer, self._watch, hands=hands, pool=self.ref)
        self._workers[name] = worker
        return worker

    def _status(self) -> m.PoolFacts:
        return m.PoolFacts(
            workers=len(self._workers),
            idle=len(self._idle),
            running=sum(len(run.submits) for run in self._running.values()),
            queued=len(self._short) + len(self._heavy),
            jobs=tuple(
                m.JobTally(
                    kind=kind,
                    outcome=outcome,
                    count=count,
                    waited=waited / 1e9,
                    worked=worked / 1e9,
                )
                for (kind, outcome), (count, waited, worked) in sorted(self._done.items())
            ),
        )

    def _cut_off(self) -> None:
        self._cutting_off = True
        while self._heavy:
            self._refuse(self._heavy.popleft(), StoreClosed(self.name))

    def on_stop(self) -> None:
        """Refuse what is queued, and have every worker end after what it does."""
        for queue in (self._short, self._heavy):
            while queue:
                self._refuse(queue.popleft(), self._watch.lost(self.name))
        for worker in self._workers.values():
            worker.stop()
        self._running.clear()  # a job's descriptors are its worker's
        super().on_stop()
