"""Replay: the recorded requests go to a fresh store, in the recorded order, to reproduce a bug.

Owns the order: a request is sent once all those are answered that were answered before it was sent
when it was recorded, so what overlapped may overlap again. The translation of each request is
RequestMaker's. What a trace tells is checked as any input is.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from layerstore.actors.messages import Abandon, Message
from layerstore.actors.runtime.calls import Call
from layerstore.actors.runtime.ref import Ref
from layerstore.actors.watching.facts import facts_of
from layerstore.actors.watching.trace import TraceRecord
from layerstore.api.store import LayerStore
from layerstore.command.tracing.loaded import Trace, answers, is_call
from layerstore.command.tracing.recorded import Unplayable
from layerstore.command.tracing.requests import RequestMaker
from layerstore.drivers.errors import CallTimeout, DriverError, LayerStoreError
from layerstore.drivers.system.printable import escaped

_CLOSING = {"CloseBooks", "UnmountAll", "CutOff", "StopWorkers"}
NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class _Sent:
    record: TraceRecord
    call: Call


class Replay:
    """Plays one trace; `lines` give what is to be told, `differing` counts other outcomes."""

    def __init__(self, trace: Trace, root: str, *, driver: str | None, timeout: float) -> None:
        """Open a fresh store in `root`, which must be empty or missing; `timeout` in seconds.

        Raises DriverError, and what LayerStore raises.
        """
        if os.path.lexists(root) and (not os.path.isdir(root) or os.listdir(root)):
            raise DriverError("replay in", root, errno.ENOTEMPTY, "it must be empty or missing")
        self._root, self._driver = root, driver or trace.header.driver
        self._timeout = timeout
        # What a caller gave up is told to the supervisor too, and what it asks is the store's own.
        self._calls = [
            record
            for record in trace.records
            if is_call(record) and record.receiver != "supervisor"
        ]
        self._answers = answers(trace.records)
        self._maker = RequestMaker(self._calls, self._answers)
        self._sent: list[_Sent] = []
        self._unplayed: Counter[str] = Counter()
        self._differences: list[str] = []
        self.differing = 0
        self.played = 0
        self._store = self._open()

    def _open(self) -> LayerStore:
        return LayerStore(self._root, driver=self._driver, durability="relaxed")

    def close(self) -> None:
        """Close the store. Idempotent."""
        self._store.close()

    def lines(self) -> Iterator[str]:
        """Play; gives a line for each thing to tell, the summary last."""
        yield from self._prepare()
        closed = False
        for record in self._calls:
            if record.kind in _CLOSING:
                closed = True
                continue
            if closed:
                yield "the store is closed and opened again, as a repair does"
                self._await_all()
                self._reopen()
                closed = False
            self._await_before(record)
            yield from self._send(record)
        self._await_all()
        yield from self._differences
        for reason, count in self._unplayed.items():
            yield f"not replayed: {count} x {reason}"
        yield (
            f"{self.played} requests replayed in {escaped(self._root)}, "
            f"{self.differing} with another outcome"
        )

    def _prepare(self) -> Iterator[str]:
        """Make what was there before the trace began, and reopen the store as it was then."""
        told = False
        for actor, message, line in self._maker.before():
            if isinstance(line, str):
                yield escaped(line)
            told = True
            facts = Call(self._ref(actor), message, self._timeout).result()
            self._maker.learn_before(message, facts_of(facts))
        if told:
            self._reopen()
        for actor, message in self._maker.held_before():
            Call(self._ref(actor), message, self._timeout).result()

    def _reopen(self) -> None:
        self._store.close(keep_mounts=True)
        self._store = self._open()

    def _ref(self, name: str) -> Ref:
        core = self._store._core
        refs = {
            "layers": core.actors.layers,
            "mounts": core.actors.mounts,
            "images": core.actors.images,
        }
        refs["reaper"] = core.actors.reaper
        if name not in refs:
            raise Unplayable(f"what was asked of {name[:40]}")
        return refs[name]

    def _outcome(self, record: TraceRecord) -> str:
        answer = self._answers.get(record.request)
        return answer.outcome if answer is not None else NO_ANSWER

    def _send(self, record: TraceRecord) -> Iterator[str]:
        try:
            ref = self._ref(record.receiver)
            message = self._maker.message(record, self._outcome(record))
        except Unplayable as error:
            self._unplayed[escaped(f"{record.kind}: {error}")] += 1
            return
        except LayerStoreError as error:
            yield escaped(f"request {record.sequence} {record.kind}: not replayed: {error}")
            return
        self.played += 1
        if isinstance(message, Abandon):
            ref.tell(message, None, "caller")
        else:
            self._sent.append(_Sent(record, self._asked(ref, message)))

    def _asked(self, ref: Ref, message: Message) -> Call:
        try:
            return Call(ref, message, self._timeout)
        except BaseException:
            for descriptor in getattr(message, "descriptors", ()):
                descriptor.close()
            raise

    def _await_before(self, record: TraceRecord) -> None:
        left = []
        for sent in self._sent:
            answer = self._answers.get(sent.record.request)
            if answer is not None and answer.ended <= record.enqueued:
                self._await(sent)
            else:
                left.append(sent)
        self._sent = left

    def _await_all(self) -> None:
        for sent in self._sent:
            self._await(sent)
        self._sent = []

    def _await(self, sent: _Sent) -> None:
        record, was = sent.record, self._outcome(sent.record)
        try:
            value = sent.call.result()
        except CallTimeout:
            now = NO_ANSWER
        except LayerStoreError as error:
            now = type(error).__name__
        else:
            now = "ok"
            answer = self._answers.get(record.request)
            self._maker.learn(record, answer.facts if answer else {}, facts_of(value))
        if now != was:
            self.differing += 1
            about = f"{record.kind} {record.summary}".strip()
            self._differences.append(
                escaped(f"request {record.sequence} {about}: was {was}, is now {now}")
            )
