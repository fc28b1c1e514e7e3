"""An actor that gives work to the driver pool and goes on when that is done.

Owns nothing but the way there; what the work is for is in the continuation that comes with it.
"""

from __future__ import annotations

from layerstore.actors import messages as m
from layerstore.actors.runtime.base import BookKeeper, Continuation
from layerstore.actors.runtime.ref import Identity, Ref
from layerstore.drivers import work
from layerstore.drivers.work import ImageJob


class Submitter(BookKeeper):
    """Submits jobs; told what became of each by a Done."""

    def __init__(self, identity: Identity, pool: Ref) -> None:
        super().__init__(identity)
        self._pool = pool

    def submit(
        self,
        job: work.Job | ImageJob,
        then: Continuation,
        descriptors: work.Descriptors = (),
    ) -> int:
        """Have a job done, which gets the descriptors; returns the token that `then` goes by."""
        token = self.expect(then)
        self.send(
            self._pool, m.Submit(token=token, job=job, descriptors=descriptors, reply_to=self.ref)
        )
        return token
