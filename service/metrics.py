"""The metrics that this process counts for `GET /metrics`. No I/O. Counting takes a microsecond:
all other work is done at collection. Figures that another part already has are not counted here:
`service/api/figures.py` reads them at collection."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from service.model import ENDED, Status, Sync
from service.progress import Tally

PREFIX = "seller_sync"
STAGE_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 43200, 86400)
WAIT_SECONDS = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15)
QUEUED = "queued"
"""The stage of a sync that waits for its turn, even if it will continue in a later stage."""
MAX_FOLLOWED = 10_000


class Counts:
    """A counter with labels."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self._about = (f"{PREFIX}_{name}", text)
        self._labels = labels
        self._values: Counter[tuple[str, ...]] = Counter()
        if not labels:
            self.add(n=0)

    def add(self, *labels: str, n: int = 1) -> None:
        """Add to a series, or begin it with 0."""
        self._values[labels] += n

    def family(self) -> Metric:
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for labels, value in tuple(self._values.items()):
            family.add_metric(labels, value)
        return family


class Spans:
    """A histogram of times, which only one thread observes."""

    def __init__(self, buckets: Sequence[float]) -> None:
        self._buckets = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._buckets, seconds)] += 1
        self._sum += seconds

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        names = [*map(floatToGoString, self._buckets), "+Inf"]
        cumulative = list(zip(names, accumulate(self._counts), strict=True))
        family.add_metric(labels, cumulative, self._sum)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self._moves = Counts("moves", "Status changes of syncs.", "from", "to")
        self._ended = Counts(
            "ended", "Syncs that ended or paused, by their new status.", "connector", "status"
        )
        self._datasets = Counts(
            "datasets", "Datasets of ended syncs.", "connector", "dataset", "outcome"
        )
        self._takeovers = Counts("takeovers", "Syncs continued after a crash.")
        self._retries = Counts("retries", "Retries of whole syncs.", "connector")
        self._dataset_retries = Counts(
            "dataset_retries", "Retries of single datasets.", "connector", "dataset"
        )
        self._pages = Counts("pages", "Pages stored.", "connector", "dataset")
        self._rows = Counts("rows", "Records.", "connector", "dataset", "outcome")
        self._stages: dict[str, Spans] = {}
        self.write_wait = Spans(WAIT_SECONDS)
        self.lock_wait = Spans(WAIT_SECONDS)
        self.loop_lag = Spans(WAIT_SECONDS)
        #: Calls that wait for the writer or a connection of the database.
        self.queued = 0
        #: The stage of each sync that this process changes, and when it began.
        self._since: dict[str, tuple[str, datetime]] = {}
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterator[Metric]:
        """The counted metrics, and those of the operating system."""
        counts = (self._moves, self._ended, self._datasets, self._takeovers, self._retries)
        for one in (*counts, self._dataset_retries, self._pages, self._rows):
            yield one.family()
        yield _histogram("stage", "Time in a stage.", self._stages, "stage")
        text = "Wait of a write for the writer (SQLite), of a call for a connection (PostgreSQL)."
        yield _histogram("write_wait", text, {"": self.write_wait})
        text = "Wait of a write for locks of others."
        yield _histogram("lock_wait", text, {"": self.lock_wait})
        yield _histogram("event_loop_lag", "Delay of the event loop.", {"": self.loop_lag})
        yield from self._process.collect()

    def expect(self, connectors: Mapping[str, Sequence[str]]) -> None:
        """Start the series of these connectors and their datasets at zero: Prometheus does not see
        the first increase of a new series."""
        for connector, datasets in connectors.items():
            self._retries.add(connector, n=0)
            for status in (*ENDED, Status.PAUSED):
                self._ended.add(connector, status.value, n=0)
            for dataset in datasets:
                self._pages.add(connector, dataset, n=0)
                self._dataset_retries.add(connector, dataset, n=0)

    # Syncs ----------------------------------------------------------------------------------------

    def changed(self, before: Sync | None, sync: Sync) -> None:
        """Count a change that this process has stored."""
        if before and before.takeovers < sync.takeovers:
            self._takeovers.add()
        if before and before.retries < sync.retries:
            self._retries.add(sync.connector)
        if before and before.status is sync.status and before.stage is sync.stage:
            return
        self._time_stage(before, sync)
        if before and before.status is sync.status:
            return
        self._moves.add(before.status.value if before else "none", sync.status.value)
        if sync.status in ENDED or sync.status is Status.PAUSED:
            self._ended.add(sync.connector, sync.status.value)
        if sync.status in ENDED:
            for dataset in sync.datasets:
                self._datasets.add(sync.connector, dataset.name, dataset.status.value)

    def _time_stage(self, before: Sync | None, sync: Sync) -> None:
        """Observe the time in the stage that the sync leaves. If another process queued the sync,
        its wait began with the version before: it did not change while it waited."""
        known = self._since.pop(sync.id, None)
        if before and known is None and before.status is Status.PENDING:
            known = (QUEUED, before.updated_at)
        if known:
            seconds = (sync.updated_at - known[1]).total_seconds()
            self._stages.setdefault(known[0], Spans(STAGE_SECONDS)).observe(max(0.0, seconds))
        if sync.status in (Status.PENDING, Status.IN_PROGRESS):
            stage = QUEUED if sync.status is Status.PENDING else sync.stage.value
            self._since[sync.id] = (stage, sync.updated_at)
            if len(self._since) > MAX_FOLLOWED:  # another process has ended them
                self._since.pop(next(iter(self._since)))

    def landed(self, connector: str, dataset: str, tally: Tally) -> None:
        """Count a stored page."""
        self._pages.add(connector, dataset)
        for outcome in ("created", "updated", "unchanged", "failed"):
            if count := getattr(tally, outcome):
                self._rows.add(connector, dataset, outcome, n=count)

    def retried(self, connector: str, dataset: str) -> None:
        self._dataset_retries.add(connector, dataset)


def _histogram(name: str, text: str, spans: Mapping[str, Spans], *labels: str) -> Metric:
    family = HistogramMetricFamily(f"{PREFIX}_{name}_seconds", text, labels=labels)
    for value, of_value in tuple(spans.items()):
        of_value.add_to(family, [value] if labels else [])
    return family
