"""The DriverPool: the actor that starts workers, and hands heavy jobs to idle ones.

Owns the queue of heavy jobs that wait; short ones wait in the lane, which workers serve themselves.
Both have a bound each on how many run at once, so neither waits behind the other; the heavy bound
is generous, because a heavy job may be waiting for its caller (to read one stream before another,
or to feed one layer from another) and callers must not be able to block each other. Workers are
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
from layerstore.actors.workers.lane import Lane
from layerstore.actors.workers.worker import DriverWorker
from layerstore.drivers.errors import JobCancelled, LayerStoreError, StoreBusy, StoreClosed
from layerstore.drivers.work import Hands

_Key = tuple[int, str]
"""Token and asker of a job."""


def _key(submit: m.Submit) -> _Key:
    return submit.token, submit.reply_to.name


class DriverPool(BookKeeper):
    """Starts workers and has them do heavy jobs; bounded in what runs and in what waits."""

    def __init__(
        self,
        identity: Identity,
        *,
        make_hands: Callable[[], Hands],
        lane: Lane,
        max_heavy: int,
        max_queued: int,
        warm: int,
    ) -> None:
        """Start without workers, or with `warm` of them whose children are spawned ahead."""
        super().__init__(identity)
        self._make_hands = make_hands
        self._lane = lane
        self._causes: dict[int, Envelope] = {}  # by the identity of a queued Submit
        self._heavy: deque[m.Submit] = deque()
        self._heavy_free = max_heavy
        self._max_queued = max_queued
        self._warm = warm
        self._workers: dict[str, Ref] = {}
        self._hands: dict[str, Hands] = {}
        self._running: dict[_Key, tuple[str, m.Submit]] = {}
        """With the worker that has the job."""
        self._numbers = count(1)
        self._cutting_off = False
        lane.opened_by(self.ref)

    def on_start(self) -> None:
        """Start the workers that are wanted ahead."""
        super().on_start()
        for _ in range(self._warm):
            worker = self._start_worker()
            self._lane.has_child(worker)
            self.send(worker, m.WarmUp())
            self._lane.add_idle(worker)

    def told(self, message: m.Message) -> None:
        """Take a job, or a worker back."""
        match message:
            case m.Submit():
                self._submit(message)
            case m.Cancel():
                self._cancel(message)
            case m.Finished():
                self._finished(message)
            case m.Overstaffed():
                self._let_go()
            case m.Understaffed():
                idle = self._lane.take_idle(child=False)
                (idle or self._start_worker()).rouse(m.Serve())
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
        queue = (*self._causes.copy().values(), *self._lane.queue())
        return structs.replace(super().look(), queue=queue, workers=workers)

    def _submit(self, submit: m.Submit) -> None:
        if self._cutting_off and not submit.job.follows:
            self._refuse(submit, StoreClosed(self.name))
        elif not submit.job.follows and len(self._heavy) >= self._max_queued:
            self._refuse(submit, StoreBusy(len(self._heavy)))
        else:
            self._heavy.append(submit)
            if self._handling is not None:
                self._causes[id(submit)] = self._handling
            self._dispatch()

    def _cancel(self, message: m.Cancel) -> None:
        """End a heavy job that nobody wants: take it out of the queue, or its child from it."""

        wanted = (message.token, message.reply_to.name)
        found = next((submit for submit in self._heavy if _key(submit) == wanted), None)
        if found is not None:
            self._heavy.remove(found)
            self._refuse(found, JobCancelled(type(found.job).__name__))
        elif wanted in self._running:
            worker, submit = self._running[wanted]
            # One that has begun with another will say that it has done this.
            hands = self._hands.get(worker)  # which may have been let go since
            if hands and [name for name, _ in self._running.values()].count(worker) == 1:
                hands.cancel(submit.job)

    def _refuse(self, submit: m.Submit, error: LayerStoreError) -> None:
        self._cause(submit)
        self.send(submit.reply_to, submit.refused(error))

    def _dispatch(self) -> None:
        while self._heavy and self._heavy_free:
            self._heavy_free -= 1
            self._run(self._heavy.popleft())

    def _run(self, submit: m.Submit) -> None:
        worker = self._lane.take_idle(child=True) or self._start_worker()
        self._running[_key(submit)] = worker.name, submit
        self._lane.has_child(worker)
        worker.tell(m.Run(submits=(submit,)), self._cause(submit) or self._handling, self.name)

    def _cause(self, submit: m.Submit) -> Envelope | None:
        """Return, for once, the envelope that a job came in, so that it causes what becomes of it.

        The message that is handled when a job's turn comes is of whoever had it before.
        """
        return self._causes.pop(id(submit), None)

    def _finished(self, message: m.Finished) -> None:
        del self._running[message.token, message.asker]
        self._heavy_free += 1
        self._let_go()
        self._dispatch()

    def _let_go(self) -> None:
        """Have the workers end, with their children, that a burst has started and nobody needs."""
        while (worker := self._lane.take_surplus()) is not None:
            del self._hands[worker.name]
            self._workers.pop(worker.name).stop()

    def _start_worker(self) -> Ref:
        name = f"{self.name}-worker-{next(self._numbers)}"
        hands = self._hands[name] = self._make_hands()
        worker = DriverWorker.launch(
            name, self._tracer, self._watch, hands=hands, pool=self.ref, lane=self._lane
        )
        self._workers[name] = worker
        return worker

    def _status(self) -> m.PoolFacts:
        return m.PoolFacts(
            workers=len(self._workers),
            idle=self._lane.idle,
            running=sum(self._lane.running.copy().values()),
            queued=len(self._lane) + len(self._heavy),
            jobs=tuple(
                m.JobTally(
                    kind=kind,
                    outcome=outcome,
                    count=count,
                    waited=waited / 1e9,
                    worked=worked / 1e9,
                )
                for (kind, outcome), (count, waited, worked) in sorted(self._lane.done().items())
            ),
        )

    def _cut_off(self) -> None:
        self._cutting_off = True
        self._lane.close()
        while self._heavy:
            self._refuse(self._heavy.popleft(), StoreClosed(self.name))

    def on_stop(self) -> None:
        """Refuse what is queued, and have every worker end after what it does."""
        for submit in (*self._lane.refused(), *self._heavy):
            self._refuse(submit, self._watch.lost(self.name))
        self._heavy.clear()
        for worker in self._workers.values():
            worker.stop()
        self._running.clear()  # a job's descriptors are its worker's
        super().on_stop()
