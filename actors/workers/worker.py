"""A driver worker: the actor that does jobs with its hands and tells what became of them.

Owns one pair of hands, and with them at most one child process. It is the one kind of actor that
waits: for the disk, or for its child.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from msgspec import structs

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import BookKeeper, log
from layerstore.actors.runtime.calls import mark_worker_thread
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.actors.watching.trace import Envelope, Tracer
from layerstore.actors.watching.waiting import Glance
from layerstore.actors.workers.lane import MANY, Lane, Waiting
from layerstore.drivers import work
from layerstore.drivers.errors import InternalError, LayerStoreError, WorkerDied

Finding = tuple[m.Done, Envelope | None]
"""What became of a job, and what it is traced by."""


class DriverWorker(BookKeeper):
    """Does what the pool hands it, one job after another."""

    def __init__(self, identity: Identity, *, hands: work.Hands, pool: Ref, lane: Lane) -> None:
        super().__init__(identity)
        self._hands = hands
        self._pool = pool
        self._lane = lane
        self._tallies = lane.tallies.setdefault(identity.name, {})

    def on_start(self) -> None:
        """Mark the thread, so that nothing in it waits for an actor."""
        super().on_start()
        mark_worker_thread()

    def told(self, message: m.Message) -> None:
        """Do a heavy job, or the short ones that wait, or spawn the child ahead of the first."""
        match message:
            case m.Run():
                self._lane.running[self.name] = 1
                submit = message.submits[0]
                done, job = self._do(submit, self._handling)
                self._lane.add_idle(self.ref)
                submit.reply_to.tell(done, job or self._handling, self.name)
                del self._lane.running[self.name]
                asker = submit.reply_to.name
                finished = m.Finished(worker=self.name, token=submit.token, asker=asker)
                self.send(self._pool, finished)
            case m.Serve():
                self._serve()
            case m.WarmUp():
                self._warm_up()
            case _:
                super().told(message)

    # Short jobs

    def _serve(self) -> None:
        """Do what waits in the lane until nothing does.

        Whoever hears that the last is done finds this worker idle, not another to be started.
        """
        lane, left = self._lane, False
        while not left:
            together = self._hands.takes_many
            taken = lane.take(many=together)
            if not taken:
                lane.leave(self.ref)
                return
            lane.call()  # others may do the rest meanwhile
            lane.running[self.name] = len(taken)
            for part, done in self._do_taken(taken, together=together and len(taken) >= MANY):
                if part[-1] is taken[-1] and not lane:
                    lane.leave(self.ref)
                    left = True
                self._tell_all(part, done)
            del lane.running[self.name]

    def _do_taken(
        self, taken: list[Waiting], *, together: bool
    ) -> Iterator[tuple[list[Waiting], list[Finding]]]:
        """Do jobs, and yield with what became of them those that are done."""
        tracer, first = self._tracer, taken[0].envelope
        run = tracer.begin_run(m.Run(submits=tuple([w.submit for w in taken])), first, self.name)
        for waiting in taken:
            if waiting.envelope is not None:
                tracer.keep(waiting.envelope, "ok")
        self._handling = run
        if together:
            yield taken, self._do_together(taken)
        else:
            for waiting in taken:
                yield [waiting], [self._do(waiting.submit, waiting.envelope)]
        self._handling = None
        if run is not None:
            tracer.keep(run, "ok")

    def _tell_all(self, taken: list[Waiting], done: list[Finding]) -> None:
        """Tell everybody at once what became of what they asked for."""
        by_asker: dict[str, tuple[Ref, list[Finding]]] = {}
        for waiting, found in zip(taken, done, strict=True):
            asker = waiting.submit.reply_to
            by_asker.setdefault(asker.name, (asker, []))[1].append(found)
        for asker, findings in by_asker.values():
            asker.tell_all(findings, self.name)

    def _do_together(self, taken: list[Waiting]) -> list[Finding]:
        begin = self._tracer.begin
        jobs = [begin(each.submit.job, each.envelope, self.name) for each in taken]
        self._doing = jobs[0]
        begun = time.monotonic_ns()
        try:
            results = self._hands.perform_all([each.submit.job for each in taken])
        except Exception as error:  # noqa: BLE001 - the askers must hear of it
            log.exception("%s failed at %d jobs together", self.name, len(taken))
            failure = InternalError(f"{len(taken)} jobs together", repr(error))
            results = [work.Performed(error=failure, begun=begun, ended=begun)] * len(taken)
        self._doing = None
        return [
            self._done_with(each.submit, job, result)
            for each, job, result in zip(taken, jobs, results, strict=True)
        ]

    def _done_with(self, submit: m.Submit, job: Envelope | None, result: work.Performed) -> Finding:
        error = result.error
        if isinstance(error, InternalError):
            log.error("%s failed at %s", self.name, submit.summary(), exc_info=error)
        if job is not None:
            job.started, job.ended = result.begun, result.ended
            keep_job(self._tracer, job, result.child, result.retries, error)
        done = submit.done(error=error, retries=result.retries)
        self._count(done, result.begun - submit.at, result.ended - result.begun)
        return done, job

    def _do(self, submit: m.Submit, cause: Envelope | None) -> Finding:
        begun = time.monotonic_ns()
        job = self._doing = self._tracer.begin(submit.job, cause, self.name)
        value: object = None
        error: LayerStoreError | None = None
        try:
            value = self._hands.perform(submit.job, submit.descriptors)
        except LayerStoreError as caught:
            if isinstance(caught, InternalError):
                log.error("%s failed at %s", self.name, submit.summary(), exc_info=caught)
            error = caught
        except Exception as caught:  # noqa: BLE001 - the asker must hear of it
            log.exception("%s failed at %s", self.name, submit.summary())
            error = InternalError(type(submit.job).__name__, repr(caught))
        self._doing = None
        done = submit.done(value, error=error, retries=self._hands.retries)
        keep_job_of(self._tracer, job, self._hands, error)
        self._count(done, begun - submit.at, time.monotonic_ns() - begun)
        return done, job

    def _count(self, done: m.Done, waited: int, worked: int) -> None:
        outcome = "ok" if done.error is None else type(done.error).__name__
        count, waited_before, worked_before = self._tallies.get((done.kind, outcome), (0, 0, 0))
        # Replaced as a whole, for others look at it meanwhile.
        self._tallies[done.kind, outcome] = (
            count + 1,
            waited_before + waited,
            worked_before + worked,
        )

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
