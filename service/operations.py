"""The state of the service for operators, across all tenants: waiting and running syncs, nodes,
lags."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise

import anyio
import msgspec

from connectors.base import Clock
from service.model import Status, Sync
from service.nodes import Nodes
from service.progress import Stage
from service.runner.base import Owner, Runner
from service.schedules import next_runs
from service.store.connections import Schedule
from service.store.nodes import Node
from service.store.operations import SCHEDULES_AT_ONCE, OperationsStore, Scheduled, Waiting

STUCK_AFTER = timedelta(minutes=15)
"""A sync without a new page for longer, beyond its planned wait, is stuck."""
MAX_SYNCS = 1000
"""Maximum syncs that are shown, and that are searched for the longest time without a page."""
SCHEDULES_EVERY = timedelta(minutes=1)
"""Time between two checks of all schedules."""
RUNS_COMPARED = 8
COMPUTING = frozenset({Stage.PROCESSING, Stage.FINALIZING})
"""The stages without pages, in which every change is progress."""

Lag = Callable[[], Awaitable[float | None]]
"""Returns the seconds that the oldest delivery has waited; None without one."""


class Backlog(msgspec.Struct, frozen=True):
    """Figures of the live syncs of all tenants."""

    by_status: Mapping[Status, int]
    oldest_waiting: float
    #: The longest time, in seconds, that a sync has stored no page, not counting planned waits.
    oldest_idle: float
    #: Connections without a complete sync for twice the interval of their schedule.
    overdue: int
    outbox_lag: float
    webhook_lag: float | None


class LiveSync(msgspec.Struct, frozen=True):
    """A waiting or running sync, and the process that runs it."""

    sync: Sync
    #: The id of a node, or the name of its worker if that is not known; None while it waits.
    owner: str | None
    owned_since: datetime | None
    stuck: bool


class WaitingCalls(msgspec.Struct, frozen=True):
    """The number of datasets that wait for the quota of an operation, and until when."""

    operation: str
    waiting: int
    until: datetime


class Overview(msgspec.Struct, frozen=True):
    """Everything that the operators' page shows."""

    nodes: Sequence[Node]
    syncs: Sequence[LiveSync]
    waiting: int
    oldest_waiting: float | None
    quotas: Sequence[WaitingCalls]
    outbox_lag: float
    webhook_lag: float | None


class Operations:
    """Reads the state of the service on request."""

    def __init__(
        self,
        store: OperationsStore,
        runner: Runner,
        nodes: Nodes,
        clock: Clock,
        webhook_lag: Lag | None = None,
    ) -> None:
        self._store = store
        self._runner = runner
        self._nodes = nodes
        self._clock = clock
        #: Returns the wait of the oldest webhook delivery.
        self.webhook_lag = webhook_lag
        self._lock = anyio.Lock()
        self._overdue = 0
        self._overdue_at: datetime | None = None

    async def backlog(self) -> Backlog:
        """Raises Unavailable during an outage of the database."""
        now, counts = self._clock.now(), await self._store.counts()
        running = await self._store.running(MAX_SYNCS)
        owners = await self._runner.owners()
        idle = [now - idle_since(sync, owners.get(sync.id)) for sync in running]
        return Backlog(
            by_status={status: waiting.count for status, waiting in counts.items()},
            oldest_waiting=_seconds(counts.get(Status.PENDING), now) or 0.0,
            oldest_idle=max((span.total_seconds() for span in idle), default=0.0),
            overdue=await self._count_overdue(now),
            outbox_lag=await self._outbox_lag(now),
            webhook_lag=await self._lag_of_webhooks(),
        )

    async def overview(self) -> Overview:
        """Raises Unavailable during an outage of the database."""
        now, owners = self._clock.now(), await self._runner.owners()
        nodes = await self._nodes.all()
        names = {node.worker: node.id for node in nodes}
        counts, syncs = await self._store.counts(), await self._store.unfinished(MAX_SYNCS)
        pending = counts.get(Status.PENDING)
        return Overview(
            nodes=nodes,
            syncs=[_live(sync, owners.get(sync.id), names, now) for sync in syncs],
            waiting=pending.count if pending else 0,
            oldest_waiting=_seconds(pending, now),
            quotas=_quotas(syncs, now),
            outbox_lag=await self._outbox_lag(now),
            webhook_lag=await self._lag_of_webhooks(),
        )

    async def _outbox_lag(self, now: datetime) -> float:
        oldest = await self._store.outbox_oldest()
        return max(0.0, (now - oldest).total_seconds()) if oldest else 0.0

    async def _lag_of_webhooks(self) -> float | None:
        return await self.webhook_lag() if self.webhook_lag else None

    async def _count_overdue(self, now: datetime) -> int:
        """Count the overdue connections, at most once in SCHEDULES_EVERY."""
        async with self._lock:
            last = self._overdue_at
            if last is None or not timedelta(0) <= now - last < SCHEDULES_EVERY:
                count, page = 0, await self._store.scheduled()
                while page:
                    count += sum(is_overdue(scheduled, now) for scheduled in page)
                    full = len(page) == SCHEDULES_AT_ONCE
                    page = await self._store.scheduled(page[-1].connection_id) if full else []
                self._overdue, self._overdue_at = count, now
            return self._overdue


def idle_since(sync: Sync, owner: Owner | None) -> datetime:
    """The time since which a running sync has stored no page, not counting its wait for its turn
    and planned waits. During a planned wait, it is the end of the wait, in the future."""
    known = [sync.attempt_at or sync.started_at, sync.checkpoint_at, sync.waiting_until]
    known += [dataset.waiting_until for dataset in sync.datasets]
    if sync.stage in COMPUTING:
        known.append(sync.updated_at)
    if owner and not sync.takeovers:
        known.append(owner.since)
    return max(filter(None, known))


def is_overdue(scheduled: Scheduled, now: datetime) -> bool:
    """Whether the last complete sync is older than twice the time between two runs."""
    last = scheduled.completed_at or scheduled.created_at
    schedule = scheduled.schedule
    return now - last > 2 * _longest_gap(schedule.cron, schedule.timezone, now.date())


@lru_cache(10_000)
def _longest_gap(cron: str, timezone: str, day: date) -> timedelta:
    """The longest time between two of the next runs: longer over a weekend without runs."""
    begin = datetime.combine(day, time(), UTC)
    runs = next_runs(Schedule(cron, timezone, begin), begin, RUNS_COMPARED + 1)[1:]
    return max(later - sooner for sooner, later in pairwise(runs))


def _live(
    sync: Sync, owner: Owner | None, names: Mapping[str | None, str], now: datetime
) -> LiveSync:
    """`names` are the ids of the nodes, by the names of their workers."""
    stuck = sync.status is Status.IN_PROGRESS and now - idle_since(sync, owner) > STUCK_AFTER
    if owner is None:
        return LiveSync(sync, None, None, stuck)
    return LiveSync(sync, names.get(owner.worker, owner.worker), owner.since, stuck)


def _quotas(syncs: Sequence[Sync], now: datetime) -> Sequence[WaitingCalls]:
    """The operations whose quota some dataset waits for, by name."""
    until: dict[str, list[datetime]] = {}
    for sync in syncs:
        for dataset in sync.datasets:
            if dataset.waiting_operation and dataset.waiting_until and dataset.waiting_until > now:
                until.setdefault(dataset.waiting_operation, []).append(dataset.waiting_until)
    return [WaitingCalls(name, len(until[name]), max(until[name])) for name in sorted(until)]


def _seconds(waiting: Waiting | None, now: datetime) -> float | None:
    return max(0.0, (now - waiting.since).total_seconds()) if waiting else None
