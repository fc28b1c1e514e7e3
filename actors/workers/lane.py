"""The lane: short jobs that wait, and the workers that are idle.

Owns both, and how many workers may be at short jobs at once. Who has a job puts it in, and calls
once for all that its turn has put in; a worker that is called takes as many as it does together,
until none is left. So a job passes nobody on its way, and many pass at once. All who come here do
it by single steps of the interpreter, and whoever leaves looks again after having said so: what is
put in is taken by somebody.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from layerstore.actors import messages as m
from layerstore.actors.runtime.ref import Ref
from layerstore.actors.watching.trace import Envelope, Tracer
from layerstore.drivers.errors import LayerStoreError, StoreBusy, StoreClosed

MANY = 3
"""Jobs that join for which it is worth to ask the child: one message and its answer."""
_MOST = 16
"""Jobs that one worker takes together: while it does these, the next are being handed in."""

Tallies = dict[tuple[str, str], tuple[int, int, int]]
"""By kind and outcome of jobs: how many, nanoseconds waited and worked."""


def add_up(sums: Tallies, more: Tallies) -> None:
    """Add figures to others."""
    for key, figures in more.items():
        count, waited, worked = sums.get(key, (0, 0, 0))
        sums[key] = (count + figures[0], waited + figures[1], worked + figures[2])


class Waiting:
    """A job in the lane, with what it is traced by; none is like another."""

    __slots__ = ("envelope", "submit")

    def __init__(self, submit: m.Submit, envelope: Envelope | None) -> None:
        self.submit = submit
        self.envelope = envelope


class Lane:
    """Where short jobs wait for the pool's workers."""

    def __init__(self, tracer: Tracer, *, pool: str, at_once: int, max_queued: int) -> None:
        """Make an empty one, for `at_once` workers; `pool` is whose name traces show."""
        self._tracer = tracer
        self._name = pool
        self._max_queued = max_queued
        self._waiting: deque[Waiting] = deque()
        self._places = deque([None] * at_once)
        """For workers that are at short jobs; who has none is not called."""
        self._idle: dict[str, Ref] = {}
        self._most_idle = 2 * at_once
        self._with_child: set[str] = set()
        self._pool: Ref | None = None
        self._closing = False
        self.running: dict[str, int] = {}
        """By worker, how many jobs it is at."""
        self.tallies: dict[str, Tallies] = {}
        """By worker, what it has done; only it writes there."""
        self._gone: Tallies = {}

    def opened_by(self, pool: Ref) -> None:
        """Take note of whom to ask for workers where none is idle."""
        self._pool = pool

    # Handing in

    def put(self, submit: m.Submit, cause: Envelope | None, sender: str) -> LayerStoreError | None:
        """Put a job in; returns why it is refused, if it is. `call` has it seen to."""
        if not submit.job.follows:
            if self._closing:
                return StoreClosed(self._name)
            if len(self._waiting) >= self._max_queued:
                return StoreBusy(len(self._waiting))
        envelope = self._tracer.wrap(submit, cause, sender, self._name) if self._tracer.on else None
        self._waiting.append(Waiting(submit, envelope))
        return None

    def call(self) -> None:
        """Have a worker come for what waits, unless as many as may are at it already."""
        if not self._waiting:
            return
        try:
            self._places.pop()
        except IndexError:
            return  # whoever gives its place back looks again
        worker = self.take_idle(child=len(self._waiting) > 1)
        if worker is not None:
            worker.rouse(m.Serve())
        elif self._pool is not None:
            self._pool.rouse(m.Understaffed())

    def take_out(self, token: int, reply_to: Ref) -> m.Submit | None:
        """Take a job out that nobody has begun with; None where there is none such."""
        for waiting in tuple(self._waiting):
            submit = waiting.submit
            if submit.token == token and submit.reply_to.name == reply_to.name:
                try:
                    self._waiting.remove(waiting)
                except ValueError:
                    return None
                return submit
        return None

    # Serving

    def take(self, *, many: bool) -> list[Waiting]:
        """Take the next job, and those after it that join; all that do, if a child does `many`.

        Else others, who may be idle, get their share.
        """
        length = len(self._waiting)
        share = length if many else length // (1 + len(self._places))
        taken: list[Waiting] = []
        while len(taken) < min(max(share, 1), _MOST):
            try:
                waiting = self._waiting.popleft()
            except IndexError:
                break
            if taken and not waiting.submit.job.joins:
                self._waiting.appendleft(waiting)
                break
            taken.append(waiting)
            if not waiting.submit.job.joins:
                break
        now = time.monotonic_ns()
        for waiting in taken:
            if waiting.envelope is not None:
                waiting.envelope.started = now
        return taken

    def leave(self, worker: Ref) -> None:
        """Be idle, which the worker says that has found nothing more."""
        self.add_idle(worker)
        self._places.append(None)
        self.call()
        if len(self._idle) > self._most_idle and self._pool is not None:
            self._pool.rouse(m.Overstaffed())

    # Workers

    def add_idle(self, worker: Ref) -> None:
        """Take note of a worker that does nothing."""
        self._idle[worker.name] = worker

    def take_idle(self, *, child: bool) -> Ref | None:
        """Take an idle worker, of those that have a child (or have none) if there is one."""
        idle = list(self._idle)
        fitting = [name for name in idle if (name in self._with_child) == child]
        for name in (*reversed(fitting), *reversed(idle)):
            worker = self._idle.pop(name, None)
            if worker is not None:
                return worker
        return None

    def has_child(self, worker: Ref) -> None:
        """Take note that a worker has a child, or soon will."""
        self._with_child.add(worker.name)

    def take_surplus(self) -> Ref | None:
        """Take an idle worker for good, where a burst has left more than are kept for the next."""
        worker = self.take_idle(child=True) if len(self._idle) > self._most_idle else None
        if worker is not None:
            self._with_child.discard(worker.name)
            add_up(self._gone, self.tallies.pop(worker.name, {}))
        return worker

    # Looking and ending

    @property
    def idle(self) -> int:
        """How many workers do nothing."""
        return len(self._idle)

    def __len__(self) -> int:
        return len(self._waiting)

    def done(self) -> Tallies:
        """Return what all workers have done; the pool's."""
        sums = self._gone.copy()
        for tallies in self.tallies.copy().values():
            add_up(sums, tallies.copy())
        return sums

    def queue(self) -> Iterator[Envelope]:
        """Yield the envelopes of what waits, where it is traced; from any thread."""
        return (w.envelope for w in self._waiting.copy() if w.envelope is not None)

    def close(self) -> None:
        """Admit only what ends something from now on."""
        self._closing = True

    def refused(self) -> Iterator[m.Submit]:
        """Take out all that waits, which nobody will do."""
        while True:
            try:
                yield self._waiting.popleft().submit
            except IndexError:
                return
