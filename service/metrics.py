"""What this process counts for `GET /metrics`: values, no I/O.

Figures that some part has anyway are not counted here: `service/api/figures.py` reads them when a
scrape comes."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from service.model import ENDED, Status, Sync
from service.progress import Tally

PREFIX = "seller_sync"
STAGE_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 43200, 86400)
WAIT_SECONDS = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15)
QUEUED = "queued"
"""The stage of a sync that waits for its turn, also if it continues later on in another one."""
MOST_FOLLOWED = 10_000


class Metrics:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._moves = self._counter("moves", "Moves of syncs.", "from", "to")
        self._ended = self._counter(
            "ended", "Syncs that ended or paused, by what they became.", "connector", "status"
        )
        self._datasets = self._counter(
            "datasets", "Datasets of ended syncs.", "connector", "dataset", "outcome"
        )
        self._takeovers = self._counter("takeovers", "Syncs continued after a crash.")
        self._retries = self._counter("retries", "Retries of whole syncs.", "connector")
        self._dataset_retries = self._counter(
            "dataset_retries", "Retries of single datasets.", "connector", "dataset"
        )
        self._pages = self._counter("pages", "Pages stored.", "connector", "dataset")
        self._rows = self._counter("rows", "Records.", "connector", "dataset", "outcome")
        self._stages = self._seconds("stage", "Time in a stage.", STAGE_SECONDS, "stage")
        self.write_wait = self._seconds(
            "write_wait", "Wait of a write for the writer (SQLite) or a connection.", WAIT_SECONDS
        )
        self.lock_wait = self._seconds(
            "lock_wait", "Wait of a write for locks of others.", WAIT_SECONDS
        )
        self.loop_lag = self._seconds("event_loop_lag", "Delay of the event loop.", WAIT_SECONDS)
        #: Calls that wait for the writer or a connection of the database.
        self.queued = 0
        #: The stage of each sync that is changed here, and since when it is in it.
        self._since: dict[str, tuple[str, datetime]] = {}

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _seconds(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        name = f"{PREFIX}_{name}_seconds"
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)

    def expect(self, connectors: Mapping[str, Sequence[str]]) -> None:
        """Begin at zero what is counted of these connectors and their datasets: the increase of a
        series that did not exist before is not seen."""
        for connector, datasets in connectors.items():
            self._retries.labels(connector)
            for status in (*ENDED, Status.PAUSED):
                self._ended.labels(connector, status.value)
            for dataset in datasets:
                self._pages.labels(connector, dataset)
                self._dataset_retries.labels(connector, dataset)

    # Syncs ----------------------------------------------------------------------------------------

    def changed(self, before: Sync | None, sync: Sync) -> None:
        """Count a change that this process has stored."""
        if before and before.takeovers < sync.takeovers:
            self._takeovers.inc()
        if before and before.retries < sync.retries:
            self._retries.labels(sync.connector).inc()
        if before and before.status is sync.status and before.stage is sync.stage:
            return
        self._time_stage(before, sync)
        if before and before.status is sync.status:
            return
        self._moves.labels(before.status.value if before else "none", sync.status.value).inc()
        if sync.status in ENDED or sync.status is Status.PAUSED:
            self._ended.labels(sync.connector, sync.status.value).inc()
        if sync.status in ENDED:
            for dataset in sync.datasets:
                self._datasets.labels(sync.connector, dataset.name, dataset.status.value).inc()

    def _time_stage(self, before: Sync | None, sync: Sync) -> None:
        """Observe the time in the stage that the sync leaves. In a cluster, the start of a sync may
        be known by its version before: it did not change while it waited."""
        known = self._since.pop(sync.id, None)
        if before and known is None and before.status is Status.PENDING:
            known = (QUEUED, before.updated_at)
        if known:
            seconds = (sync.updated_at - known[1]).total_seconds()
            self._stages.labels(known[0]).observe(max(0.0, seconds))
        if sync.status in (Status.PENDING, Status.IN_PROGRESS):
            stage = QUEUED if sync.status is Status.PENDING else sync.stage.value
            self._since[sync.id] = (stage, sync.updated_at)
            if len(self._since) > MOST_FOLLOWED:  # another process has ended them
                self._since.pop(next(iter(self._since)))

    def landed(self, connector: str, dataset: str, tally: Tally) -> None:
        """Count a stored page."""
        self._pages.labels(connector, dataset).inc()
        for outcome in ("created", "updated", "unchanged", "failed"):
            if count := getattr(tally, outcome):
                self._rows.labels(connector, dataset, outcome).inc(count)

    def retried(self, connector: str, dataset: str) -> None:
        self._dataset_retries.labels(connector, dataset).inc()
