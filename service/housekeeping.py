"""Periodic work: scheduled syncs, notices, syncs paused for too long, retention."""

from contextlib import suppress
from datetime import timedelta

import anyio
import structlog

from connectors.base import Clock
from service.connections import Connections
from service.errors import LostConnection, Overtaken, ServiceError, SyncAlreadyRunning, TooManySyncs
from service.model import Options, Trigger
from service.notices import Notices
from service.notifications import Notifications
from service.registry import Registry
from service.runner.base import Runner
from service.starting import Starter, StartRequest
from service.store.changes import ChangeStore
from service.store.chores import ChoreStore
from service.store.connections import Run, StoredConnection
from service.store.engine import Unavailable
from service.store.syncs import KEY_LIFETIME, SyncStore
from service.users import Actor, sub_of

#: Seconds between two rounds. Cron expressions count in minutes.
EVERY = 20.0
#: Time between two deletions of expired data.
TIDY_EVERY = timedelta(hours=1)
#: Time between two checks for new notices (`service.notices`).
NOTICES_EVERY = timedelta(minutes=5)
#: Time between two checks for syncs without a living process. Heartbeats use real time, not this
#: clock.
RESCUE_EVERY = timedelta(seconds=1)
#: Time after which a scheduled sync that could not start is retried.
POSTPONED_BY = timedelta(minutes=1)
#: How long a notification that is delivered again is recognised.
NOTIFICATIONS_KEPT = timedelta(days=7)
#: How long the log of webhooks' deliveries is kept.
DELIVERIES_KEPT = timedelta(days=30)
#: Rows deleted in one write: other writes must not wait for long.
DELETED_AT_ONCE = 1000

log = structlog.get_logger()


class Housekeeping:
    """Runs one loop per process. In each round, only one of all processes does a piece of work.
    Failed work is retried in its next round."""

    def __init__(
        self,
        starter: Starter,
        registry: Registry,
        connections: Connections,
        store: SyncStore,
        changes: ChangeStore,
        notifications: Notifications,
        chores: ChoreStore,
        runner: Runner,
        notices: Notices,
        clock: Clock,
        retention: timedelta,
        audit_retention: timedelta,
        changes_kept: timedelta,
    ) -> None:
        self._starter = starter
        self._registry = registry
        self._connections = connections
        self._store = store
        self._chores = chores
        self._runner = runner
        self._notices = notices
        self._clock = clock
        self._retention = retention
        self._audit_retention = audit_retention
        self._changes = changes
        self._notifications = notifications
        self._changes_kept = changes_kept

    async def run(self) -> None:
        """Run until cancelled."""
        trimmed = False
        while True:
            try:
                await self._store.ping()  # logs an outage even while there are no requests
                if not trimmed:  # at the start, and then each hour
                    await self.trim_feeds()
                    trimmed = True
                await self._take_turns()
            except Unavailable:
                pass  # try again in the next round
            except Exception:
                log.exception("housekeeping_failed")
            await self._clock.sleep(EVERY)

    async def _take_turns(self) -> None:
        now = self._clock.now()
        if await self._chores.take("schedules", now, timedelta(seconds=EVERY / 2)):
            await self.start_due()
            await self._notifications.start_waiting()
        if await self._chores.take("notices", now, NOTICES_EVERY):
            await self._notices.publish()
        if await self._chores.take("retention", now, TIDY_EVERY):
            await self.tidy()

    async def rescue_often(self) -> None:
        """Until cancelled, give the syncs of dead processes to living ones."""
        while True:
            try:
                if await self._chores.take("rescue", self._clock.now(), RESCUE_EVERY):
                    await self._runner.rescue()
            except Unavailable:
                pass  # try again in the next round
            except Exception:
                log.exception("rescue_failed")
            await anyio.sleep(RESCUE_EVERY.total_seconds())

    # Schedules --------------------------------------------------------------------------------

    async def start_due(self) -> None:
        """Start the scheduled syncs that are due, one per connection even after missed runs."""
        for connection in await self._connections.due():
            await self._start(connection)

    async def _start(self, connection: StoredConnection) -> None:
        schedule = connection.schedule
        run = self._connections.run_of(schedule) if schedule else None
        if schedule is None or run is None:
            return
        if connection.refused:
            await self._skip(connection.id, run, LostConnection.code)
            return
        actor = Actor(sub_of(connection.user), connection.tenant, schedule.plan)
        request = StartRequest(connection.id, Options(), trigger=Trigger.SCHEDULE, run=run)
        try:
            await self._starter.start(actor, request)
        except (SyncAlreadyRunning, TooManySyncs) as error:
            if await self._connections.postpone_run(connection.id, run, POSTPONED_BY):
                log.info("scheduled_sync_postponed", connection_id=connection.id, code=error.code)
        except ServiceError as error:
            await self._skip(connection.id, run, error.code)

    async def _skip(self, connection_id: str, run: Run, code: str) -> None:
        if await self._connections.skip_run(connection_id, run):
            log.warning("scheduled_sync_not_started", connection_id=connection_id, code=code)

    # Retention --------------------------------------------------------------------------------

    async def tidy(self) -> None:
        """Delete expired data in small portions. Live syncs, the newest sync of each connection and
        the coverage of its datasets are never deleted."""
        now = self._clock.now()
        await self._connections.correct_future_runs()
        for table, column in (
            *(("idempotency_keys", "at"), ("consents", "begun_at")),
            *(("notifications", "at"), ("webhook_deliveries", "at")),
        ):
            await self._store.cap_future_times(table, column, now)
        for sync in await self._store.paused_before(now - self._retention):
            text = f"Paused for more than {self._retention.days} days. Start a new sync."
            with suppress(Overtaken):  # resumed or cancelled meanwhile
                await self._registry.expire(sync, text)
        while old := await self._store.old_syncs(now - self._retention, limit=100):
            for sync_id, user in old:
                while await self._store.prune_items(sync_id, DELETED_AT_ONCE):
                    pass
                await self._store.prune(sync_id, user)
                self._registry.forget(sync_id)
        for table, age in (
            ("audit_logs", self._audit_retention),
            ("idempotency_keys", KEY_LIFETIME),
            ("notifications", NOTIFICATIONS_KEPT),
            ("webhook_deliveries", DELIVERIES_KEPT),
        ):
            while await self._store.prune_table(table, now - age, DELETED_AT_ONCE):
                pass
        await self.trim_feeds()

    async def trim_feeds(self) -> None:
        """Delete the rows of the feeds that are too old."""
        before = self._clock.now() - self._changes_kept
        while await self._changes.trim(before, DELETED_AT_ONCE):
            pass
