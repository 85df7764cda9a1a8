"""Metrics that are read from the parts of the service at each scrape."""

import shutil
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from service.api.parts import Parts
from service.metrics import PREFIX
from service.model import LIVE, Status
from service.operations import Backlog
from service.streams.formats import End
from service.streams.hub import GONE

REASONS = (*(reason.name.lower() for reason in End), GONE)


def live_figures(parts: Parts) -> Iterator[Metric]:
    """The figures of this process."""
    hub = parts.hub
    yield _gauge("streams", "Open streams.", hub.count)
    ended = _counter("streams_ended", "Ended streams.", "reason")
    for reason in REASONS:
        ended.add_metric([reason], hub.ended[reason])
    yield ended
    conflated = _counter("events_conflated", "Events that a newer one replaced before being sent.")
    conflated.add_metric([], hub.conflated)
    yield conflated
    text = "Calls that wait for the database or its writer."
    yield _gauge("write_queue", text, parts.metrics.queued)
    yield from _source_figures(parts)
    yield from _disk_figures(parts)


def _source_figures(parts: Parts) -> Iterator[Metric]:
    calls = _counter("source_calls", "Calls to a source.", "connector", "operation")
    refused = _counter(
        "source_refusals", "Calls that a source refused (429).", "connector", "operation"
    )
    waited = _counter("quota_wait_seconds", "Wait for a quota.", "connector", "operation")
    for connector, uses in parts.sources.uses().items():
        for operation, use in uses.items():
            labels = [connector, operation]
            calls.add_metric(labels, use.calls)
            refused.add_metric(labels, use.refused)
            waited.add_metric(labels, use.waited)
    yield from (calls, refused, waited)


def _disk_figures(parts: Parts) -> Iterator[Metric]:
    """The disk of an SQLite database. Database servers have metrics of their own."""
    if parts.data_folder is None:
        return
    with suppress(OSError):
        disk = shutil.disk_usage(parts.data_folder)
        yield _gauge("disk_free_bytes", "Free space on the disk of the database.", disk.free)
        yield _gauge("disk_size_bytes", "Size of the disk of the database.", disk.total)


def backlog_figures(backlog: Backlog | None) -> Iterator[Metric]:
    """The figures of all processes. For None, only that the database does not respond."""
    yield _gauge("database_up", "Whether the database answers.", backlog is not None)
    if backlog is None:
        return
    live = GaugeMetricFamily(f"{PREFIX}_syncs", "Live syncs of all processes.", labels=["status"])
    for status in sorted(LIVE):
        live.add_metric([status.value], backlog.by_status.get(status, 0))
    yield live
    waiting = backlog.by_status.get(Status.PENDING, 0)
    yield _gauge("waiting", "Syncs that wait for their turn, of all processes.", waiting)
    text = "Wait of the sync that has waited longest for its turn."
    yield _gauge("oldest_waiting_seconds", text, backlog.oldest_waiting)
    text = "Longest time of a running sync without a page, beyond its planned wait."
    yield _gauge("oldest_idle_seconds", text, max(0.0, backlog.oldest_idle))
    text = "Connections without a complete sync for twice the interval of their schedule."
    yield _gauge("schedules_overdue", text, backlog.overdue)
    yield _gauge("outbox_lag_seconds", "Age of the oldest unread change.", backlog.outbox_lag)
    if backlog.webhook_lag is not None:
        yield _gauge(
            "webhook_lag_seconds", "Wait of the oldest webhook delivery.", backlog.webhook_lag
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
