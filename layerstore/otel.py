"""Traces of stores as OpenTelemetry spans; needs opentelemetry-sdk (`layerstore[otel]`).

Each message, job and answer becomes a span when it is done, with the one that caused it as its
parent; a public call and all that it led to are one trace. IDs are made from a store's own numbers,
so a span may be exported before its parent.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from layerstore.actors.watching.trace import TraceRecord
from layerstore.api.store import LayerStore

_FINE = {"ok", "pending"}
_SCOPE = InstrumentationScope("layerstore")


class _Spans:
    def __init__(self, processor: SpanProcessor, root: str) -> None:
        self._processor = processor
        self._resource = Resource.create({"service.name": "layerstore", "layerstore.root": root})
        self._session = secrets.randbits(64)
        self._offset = time.time_ns() - time.monotonic_ns()

    def take(self, record: TraceRecord) -> None:
        """Give a record to the processor as a span that has ended."""
        parent = self._context(record.request, record.cause) if record.cause else None
        fine = record.outcome in _FINE
        span = ReadableSpan(
            name=record.kind,
            context=self._context(record.request, record.sequence),
            parent=parent,
            resource=self._resource,
            attributes={
                "layerstore.sequence": record.sequence,
                "layerstore.request": record.request,
                "layerstore.sender": record.sender,
                "layerstore.receiver": record.receiver,
                "layerstore.summary": record.summary,
                "layerstore.outcome": record.outcome,
                "layerstore.waited_ns": record.started - record.enqueued,
            },
            kind=SpanKind.INTERNAL if parent else SpanKind.SERVER,
            status=Status(StatusCode.UNSET if fine else StatusCode.ERROR),
            start_time=record.enqueued + self._offset,
            end_time=record.ended + self._offset,
            instrumentation_scope=_SCOPE,
        )
        self._processor.on_end(span)

    def _context(self, request: int, sequence: int) -> SpanContext:
        trace_id = self._session << 64 | request
        span_id = (self._session ^ sequence) or 1
        return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1))


@contextlib.contextmanager
def spans(store: LayerStore, processor: SpanProcessor) -> Iterator[None]:
    """Give what a store does to a span processor, for a `with` block.

    The processor is called in the threads of actors: take a BatchSpanProcessor, which only queues.
    Of an attached store it has what the owner does.
    """
    with store.trace_into(_Spans(processor, store.root).take):
        yield
