"""A driver worker: the actor that does jobs with its hands and tells what became of them.

Owns one pair of hands, and with them at most one child process. It is the one kind of actor that
waits: for the disk, or for its child.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import structs

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import BookKeeper, log
from layerstore.actors.runtime.calls import mark_worker_thread
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.actors.watching.trace import Envelope, Tracer
from layerstore.actors.watching.waiting import Glance
from layerstore.drivers import work
from layerstore.drivers.errors import InternalError, JobCancelled, LayerStoreError, WorkerDied

Order = tuple[m.Submit, Envelope | None]
"""A job to do, and the envelope that caused it."""
_MANY = 3
"""Jobs that join for which it is worth to ask the child: one message and its answer."""


class DriverWorker(BookKeeper):
    """Does what the pool hands it, one job after another."""

    def __init__(self, identity: Identity, *, hands: work.Hands, pool: Ref) -> None:
        super().__init__(identity)
        self._hands = hands
        self._pool = pool

    def on_start(self) -> None:
        """Mark the thread, so that nothing in it waits for an actor."""
        super().on_start()
        mark_worker_thread()

    def told(self, message: m.Message) -> None:
        """Do the jobs of a Run, or spawn the child ahead of the first."""
        match message:
            case m.Run():
                done = self._do_all(list(zip(message.submits, message.causes, strict=True)))
                self.send(self._pool, m.Finished(worker=self.name, jobs=tuple(done)))
            case m.WarmUp():
                self._warm_up()
            case _:
                super().told(message)

    def _do_all(self, orders: list[Order]) -> list[m.DoneJob]:
        joining = [order for order in orders if order[0].job.joins]
        if len(joining) < _MANY or not self._hands.takes_many:
            return [self._do(*order) for order in orders]
        done = self._do_together(joining)
        return done + [self._do(*order) for order in orders if not order[0].job.joins]

    def _do_together(self, orders: list[Order]) -> list[m.DoneJob]:
        begin, around = self._tracer.begin, self._handling
        jobs = [begin(submit.job, cause or around, self.name) for submit, cause in orders]
        self._doing = jobs[0]
        begun = time.monotonic_ns()
        try:
            results = self._hands.perform_all([submit.job for submit, _ in orders])
        except Exception as error:  # noqa: BLE001 - the askers must hear of it
            log.exception("%s failed at %d jobs together", self.name, len(orders))
            failure = InternalError(f"{len(orders)} jobs together", repr(error))
            results = [work.Performed(error=failure, begun=begun, ended=begun)] * len(orders)
        self._doing = None
        return [
            self._done_with(submit, job, result)
            for (submit, _), job, result in zip(orders, jobs, results, strict=True)
        ]

    def _done_with(
        self, submit: m.Submit, job: Envelope | None, result: work.Performed
    ) -> m.DoneJob:
        kind = type(submit.job).__name__
        error = result.error
        if isinstance(error, InternalError):
            log.error("%s failed at %s", self.name, submit.summary(), exc_info=error)
        if job is not None:
            job.started, job.ended = result.begun, result.ended
            keep_job(self._tracer, job, result.child, result.retries, error)
        done = m.Done(token=submit.token, kind=kind, error=error, retries=result.retries)
        submit.reply_to.tell(done, job or self._handling, self.name)
        outcome = "ok" if error is None else type(error).__name__
        return m.DoneJob(kind, outcome, result.begun - submit.at, result.ended - result.begun)

    def _do(self, submit: m.Submit, cause: Envelope | None) -> m.DoneJob:
        kind = type(submit.job).__name__
        begun = time.monotonic_ns()
        job = self._doing = self._tracer.begin(submit.job, cause or self._handling, self.name)
        try:
            value = self._hands.perform(submit.job, submit.descriptors)
        except LayerStoreError as error:
            if isinstance(error, InternalError):
                log.error("%s failed at %s", self.name, submit.summary(), exc_info=error)
            done = m.Done(token=submit.token, kind=kind, error=error, retries=self._hands.retries)
        except Exception as error:  # noqa: BLE001 - the asker must hear of it
            log.exception("%s failed at %s", self.name, submit.summary())
            done = m.Done(token=submit.token, kind=kind, error=InternalError(kind, repr(error)))
        else:
            done = m.Done(token=submit.token, kind=kind, value=value, retries=self._hands.retries)
        self._doing = None
        keep_job_of(self._tracer, job, self._hands, done.error)
        submit.reply_to.tell(done, job or self._handling, self.name)
        outcome = "ok" if done.error is None else type(done.error).__name__
        return m.DoneJob(kind, outcome, begun - submit.at, time.monotonic_ns() - begun)

    def look(self) -> Glance:
        """Return what is before this worker: the job it has in hand, too."""
        return structs.replace(super().look(), doing=self._doing, child=self._hands.child_pid)

    def _warm_up(self) -> None:
        try:
            self._hands.warm_up()
        except LayerStoreError as error:
            # The job that needs the child will meet the same error and tell its caller.
            log.warning("%s could not start its child ahead of time: %s", self.name, error)

    def on_stop(self) -> None:
        """End the child."""
        self._hands.close()
        super().on_stop()


def keep_job_of(
    tracer: Tracer, job: Envelope | None, hands: work.Hands, error: LayerStoreError | None
) -> None:
    """Remember a job that hands have done, heavy ones with their child."""
    if job is None:
        return
    pid = None
    if getattr(job.content, "heavy", False):
        pid = error.pid if isinstance(error, WorkerDied) else hands.child_pid
    keep_job(tracer, job, pid, hands.retries, error)


def keep_job(
    tracer: Tracer, job: Envelope, child: int | None, count: int, error: LayerStoreError | None
) -> None:
    """Remember a job that is done, with the process that did it where that isn't this one."""
    if child is not None:
        job.receiver = f"child {child}"
    retries = f" after {count} {'retry' if count == 1 else 'retries'}" if count else ""
    tracer.keep(job, "ok" if error is None else type(error).__name__, retries)


class Reaper(BookKeeper):
    """Empties the trash in the background, with hands of its own that run at low priority."""

    def __init__(self, identity: Identity, *, make_hands: Callable[[], work.Hands]) -> None:
        super().__init__(identity)
        self._hands = make_hands()
        self._swept_at = 0

    def on_start(self) -> None:
        """Mark the thread, so that nothing in it waits for an actor."""
        super().on_start()
        mark_worker_thread()

    def told(self, message: m.Message) -> None:
        """Delete what lies in the trash."""
        if not isinstance(message, m.Sweep):
            super().told(message)
            return
        if message.at < self._swept_at:
            return  # a sweep that began later has seen to it
        self._swept_at = time.monotonic_ns()
        try:
            self._sweep()
        except JobCancelled:
            log.debug("the trash is left to others")
        except LayerStoreError as error:
            # It stays in the trash for the next sweep; whoever drains is told.
            log.warning("the trash could not be emptied: %s", error)

    def asked(self, message: m.Message) -> object:
        """Delete what lies in the trash and answer how many entries that were."""
        if isinstance(message, m.Drain):
            return self._sweep()
        return super().asked(message)

    def look(self) -> Glance:
        """Return what is before the reaper: the sweep it is at, too."""
        return structs.replace(super().look(), doing=self._doing, child=self._hands.child_pid)

    def _sweep(self) -> work.Outcome:
        sweep = work.SweepTrash()
        job = self._doing = self._tracer.begin(sweep, self._handling, self.name)
        error: LayerStoreError | None = None
        try:
            return self._hands.perform(sweep, ())
        except LayerStoreError as caught:
            error = caught
            raise
        finally:
            self._doing = None
            keep_job_of(self._tracer, job, self._hands, error)

    def on_stop(self) -> None:
        """End the child."""
        self._hands.close()
        super().on_stop()
