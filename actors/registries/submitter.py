"""An actor that gives work to the driver pool and goes on when that is done.

Owns nothing but the way there; what the work is for is in the continuation that comes with it.
"""

from __future__ import annotations

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import BookKeeper, Continuation
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.actors.workers.lane import Lane
from layerstore.drivers import work
from layerstore.drivers.errors import JobCancelled
from layerstore.drivers.work import ImageJob


class Submitter(BookKeeper):
    """Submits jobs; told what became of each by a Done."""

    def __init__(self, identity: Identity, pool: Ref, lane: Lane) -> None:
        super().__init__(identity)
        self._pool = pool
        self._lane = lane
        self._put_in = False
        """In this turn, a short job."""

    def submit(
        self,
        job: work.Job | ImageJob,
        then: Continuation,
        descriptors: work.Descriptors = (),
    ) -> int:
        """Have a job done, which gets the descriptors; returns the token that `then` goes by."""
        token = self.expect(then)
        self.hand_in(m.Submit(token=token, job=job, descriptors=descriptors, reply_to=self.ref))
        return token

    def hand_in(self, submit: m.Submit) -> None:
        """Have a job done for whoever is told of it: a heavy one by the pool."""
        if submit.job.heavy:
            self.send(self._pool, submit)
            return
        refusal = self._lane.put(submit, self._handling, self.name)
        self._put_in = True
        if refusal is not None:
            self.send(submit.reply_to, submit.refused(refusal))

    def cancel(self, token: int) -> None:
        """Have a job of its own end that nobody waits for; a short one that runs is left to it."""
        submit = self._lane.take_out(token, self.ref)
        if submit is None:
            self.send(self._pool, m.Cancel(token=token, reply_to=self.ref))
        else:
            cancelled = JobCancelled(type(submit.job).__name__)
            self.send(submit.reply_to, submit.refused(cancelled))

    def end_turn(self) -> None:
        """Call a worker for what the turn has put into the lane."""
        if self._put_in:
            self._put_in = False
            self._lane.call()
