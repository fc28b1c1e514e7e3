"""What operators see: metrics, Prometheus, OpenTelemetry spans, and requests in the log."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from layerstore import InternalError, InvalidTar, LayerStore, StoreClosed
from layerstore.otel import spans
from layerstore.prometheus import serve
from tests.support.tars import layer_tar
from tests.support.ways.marks import INSIDE


def test_metrics_tell_what_is_there_and_what_was_done(store: LayerStore) -> None:
    before = store.metrics()
    assert (before.layers, before.mounts, before.images, before.trash) == (0, {}, 0, 0)
    base = store.register(layer_tar({"a": b"12345"}))
    with pytest.raises(InvalidTar):
        store.register(b"no tar" * 200)
    rw = store.create_rw_layer("rw", base.chain_id)
    with rw.mounted():
        now = store.metrics()
    assert (now.layers, now.layer_references, now.mounts) == (1, 2, {"ready": 1})
    assert now.layer_bytes == base.diff_size
    assert now.mounted == 1
    assert now.restarts == 0
    jobs = {(job.kind, job.outcome): job for job in now.jobs}
    assert jobs["ApplyLayer", "ok"].count == 1
    assert jobs["ApplyLayer", "InvalidTar"].count == 1
    assert jobs["CreateMount", "ok"].count == 1
    assert all(job.worked > 0 and job.waited >= 0 for job in now.jobs)
    assert now.workers >= now.idle_workers
    assert {"layers", "mounts", "images", "pool", "reaper"} <= now.mailboxes.keys()
    store.close()
    with pytest.raises(StoreClosed):
        store.metrics()


def scrape(port: int) -> dict[tuple[str, str], float]:
    """Return the samples by name and by kind, outcome or state."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return {
        (sample.name, "/".join(v for k, v in sample.labels.items() if k != "root")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_scrapes_them(store: LayerStore) -> None:
    with serve(store, 0) as port:
        store.create_rw_layer("rw")
        samples = scrape(port)
        assert samples["layerstore_up", ""] == 1
        assert samples["layerstore_mounts", "ready"] == 1
        assert samples["layerstore_jobs_total", "CreateMount/ok"] == 1
        assert samples["layerstore_job_work_seconds_total", "CreateMount/ok"] > 0
        store.close()
        assert scrape(port) == {("layerstore_up", ""): 0.0}


def test_spans_are_the_tree_of_what_a_call_led_to(store: LayerStore) -> None:
    exporter = InMemorySpanExporter()
    with spans(store, SimpleSpanProcessor(exporter)):
        store.create_rw_layer("rw").release()
        with pytest.raises(InvalidTar):
            store.register(b"no tar" * 200)
        store.drain()
    finished = exporter.get_finished_spans()
    by_id = {span.context.span_id: span for span in finished}
    create = only(finished, "CreateRWLayer")
    assert create.parent is None
    made = only(finished, "CreateMount")
    assert root_of(made, by_id) is create
    assert made.start_time < made.end_time  # type: ignore[operator]
    failed = only(finished, "ApplyLayer")
    assert failed.attributes is not None
    assert failed.attributes["layerstore.outcome"] == "InvalidTar"
    assert not failed.status.is_ok
    assert len({span.context.trace_id for span in finished}) >= 3
    store.create_rw_layer("unseen")
    assert exporter.get_finished_spans() == finished


def only(found: Sequence[ReadableSpan], name: str) -> ReadableSpan:
    (span,) = [span for span in found if span.name == name]
    return span


def root_of(span: ReadableSpan, by_id: dict[int, ReadableSpan]) -> ReadableSpan:
    while span.parent is not None:
        assert span.parent.trace_id == span.context.trace_id
        span = by_id[span.parent.span_id]
    return span


def test_a_watcher_that_fails_ends_nothing(
    store: LayerStore, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_record: object) -> None:
        raise ValueError("no")

    with store.trace_into(fail):
        store.create_rw_layer("rw").release()
    assert "failed to take a record" in caplog.text
    assert store.metrics().restarts == 0


@INSIDE
def test_a_line_of_the_log_tells_its_request(
    store: LayerStore, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object, **_options: object) -> list[str]:
        raise ValueError("a bug")

    driver = store._core.disk.driver
    driver.create_read_write = fail  # type: ignore[method-assign]
    with pytest.raises(InternalError):
        store.create_rw_layer("rw")
    (asked,) = [r for r in store.trace() if r.kind == "CreateRWLayer"]
    (told,) = [r for r in caplog.records if "failed at" in r.getMessage()]
    assert told.__dict__["request"] == asked.sequence
    assert told.getMessage().startswith(f"request {asked.sequence}: ")
    logging.getLogger("layerstore").warning("of no request")
    assert caplog.records[-1].getMessage() == "of no request"
    assert caplog.records[-1].__dict__["request"] == 0
