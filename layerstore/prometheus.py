"""Metrics of stores for Prometheus; needs prometheus-client (`layerstore[prometheus]`).

`serve` answers scrapes over HTTP. Whoever has a registry already registers a StoreCollector in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from layerstore.api.store import LayerStore
from layerstore.drivers.errors import LayerStoreError
from layerstore.observe.metrics import Metrics


class StoreCollector(Collector):
    """Takes a snapshot of a store at each scrape; one that is closed has no sample but `up`."""

    def __init__(self, store: LayerStore) -> None:
        self._store = store

    def describe(self) -> Iterable[Metric]:
        """Say nothing ahead: the store may not be open yet when this is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Give every sample, labelled with the store's root."""
        root = self._store.root
        up = GaugeMetricFamily("layerstore_up", "Whether the store answers", labels=["root"])
        try:
            metrics = self._store.metrics()
        except LayerStoreError:
            up.add_metric([root], 0)
            yield up
            return
        up.add_metric([root], 1)
        yield up
        yield from _gauges(root, metrics)
        yield from _counters(root, metrics)


def _gauges(root: str, metrics: Metrics) -> Iterator[Metric]:
    for name, about, value in (
        ("layers", "Read-only layers", metrics.layers),
        ("layer_bytes", "Bytes of all layers' files", metrics.layer_bytes),
        ("layer_references", "References to layers", metrics.layer_references),
        ("mounted", "Read-write layers that are mounted", metrics.mounted),
        ("images", "Images", metrics.images),
        ("trash_entries", "Removed and not deleted yet", metrics.trash),
        ("workers", "Workers", metrics.workers),
        ("idle_workers", "Workers without a job", metrics.idle_workers),
        ("running_jobs", "Jobs with a worker", metrics.running_jobs),
        ("queued_jobs", "Jobs that wait for a worker", metrics.queued_jobs),
    ):
        gauge = GaugeMetricFamily(f"layerstore_{name}", about, labels=["root"])
        gauge.add_metric([root], value)
        yield gauge
    for name, about, label, values in (
        ("mounts", "Read-write layers", "state", metrics.mounts),
        ("mailbox", "Messages that an actor has not begun with", "actor", metrics.mailboxes),
    ):
        gauge = GaugeMetricFamily(f"layerstore_{name}", about, labels=["root", label])
        for key, value in values.items():
            gauge.add_metric([root, key], value)
        yield gauge


def _counters(root: str, metrics: Metrics) -> Iterator[Metric]:
    restarts = CounterMetricFamily(
        "layerstore_restarts", "Times the actors were made anew", labels=["root"]
    )
    restarts.add_metric([root], metrics.restarts)
    yield restarts
    requests = CounterMetricFamily(
        "layerstore_requests", "Requests that actors have begun with", labels=["root", "kind"]
    )
    for kind, count in metrics.requests.items():
        requests.add_metric([root, kind], count)
    yield requests
    labels = ["root", "kind", "outcome"]
    jobs = CounterMetricFamily("layerstore_jobs", "Jobs done", labels=labels)
    waited = CounterMetricFamily("layerstore_job_wait_seconds", "Queued", labels=labels)
    worked = CounterMetricFamily("layerstore_job_work_seconds", "Worked on", labels=labels)
    for tally in metrics.jobs:
        key = [root, tally.kind, tally.outcome]
        jobs.add_metric(key, tally.count)
        waited.add_metric(key, tally.waited)
        worked.add_metric(key, tally.worked)
    yield from (jobs, waited, worked)


def text(store: LayerStore) -> str:
    """Return one scrape, in Prometheus's text format."""
    return generate_latest(_registry_of(store)).decode()


def _registry_of(store: LayerStore) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(StoreCollector(store))
    return registry


@contextlib.contextmanager
def serve(store: LayerStore, port: int, address: str = "127.0.0.1") -> Iterator[int]:
    """Answer scrapes at `/metrics` for a `with` block, which gets the port (of 0: any free one)."""
    server, thread = start_http_server(port, address, _registry_of(store))
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
