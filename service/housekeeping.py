"""Periodic work: scheduled syncs, syncs paused for too long, retention."""

from datetime import timedelta

import structlog

from connectors.base import Clock
from service.connections import Connections
from service.errors import LostConnection, ServiceError, SyncAlreadyRunning, TooManySyncs
from service.model import Options
from service.registry import Registry
from service.starting import Starter, StartRequest
from service.store.connections import StoredConnection
from service.store.engine import Unavailable
from service.store.syncs import KEY_LIFETIME, SyncStore
from service.users import Actor, sub_of

#: Seconds between two rounds. Cron expressions count in minutes.
EVERY = 20.0
#: Time between two deletions of expired data.
TIDY_EVERY = timedelta(hours=1)
#: Time after which a scheduled sync that could not start is retried.
POSTPONED_BY = timedelta(minutes=1)
#: Rows deleted in one write: other writes must not wait for long.
DELETED_AT_ONCE = 1000

log = structlog.get_logger()


class Housekeeping:
    """Runs one loop per process. Failed work is retried in the next round."""

    def __init__(
        self,
        starter: Starter,
        registry: Registry,
        connections: Connections,
        store: SyncStore,
        clock: Clock,
        retention: timedelta,
        audit_retention: timedelta,
    ) -> None:
        self._starter = starter
        self._registry = registry
        self._connections = connections
        self._store = store
        self._clock = clock
        self._retention = retention
        self._audit_retention = audit_retention

    async def run(self) -> None:
        """Run until cancelled."""
        tidied = None
        while True:
            now = self._clock.now()
            try:
                await self._store.ping()  # logs an outage even while there are no requests
                await self.start_due()
                if tidied is None or not timedelta(0) <= now - tidied < TIDY_EVERY:
                    await self.tidy()
                    tidied = now
            except Unavailable:
                pass  # try again in the next round
            except Exception:
                log.exception("housekeeping_failed")
            await self._clock.sleep(EVERY)

    # Schedules --------------------------------------------------------------------------------

    async def start_due(self) -> None:
        """Start the scheduled syncs that are due, one per connection even after missed runs."""
        for connection in await self._connections.due():
            await self._start(connection)

    async def _start(self, connection: StoredConnection) -> None:
        if connection.schedule is None or not await self._connections.take_run(connection):
            return  # another process has started it
        if connection.refused:
            log.warning(
                "scheduled_sync_not_started",
                connection_id=connection.id,
                code=LostConnection.code,
            )
            return
        actor = Actor(sub_of(connection.user), connection.tenant, connection.schedule.plan)
        request = StartRequest(connection.id, Options(), by="schedule")
        try:
            await self._starter.start(actor, request)
        except (SyncAlreadyRunning, TooManySyncs) as error:
            log.info("scheduled_sync_postponed", connection_id=connection.id, code=error.code)
            await self._postpone(connection)
        except ServiceError as error:
            log.warning("scheduled_sync_not_started", connection_id=connection.id, code=error.code)

    async def _postpone(self, connection: StoredConnection) -> None:
        claimed = await self._connections.find(connection.id)
        if claimed:
            await self._connections.take_run(claimed, POSTPONED_BY)

    # Retention --------------------------------------------------------------------------------

    async def tidy(self) -> None:
        """Delete expired data in small portions. Live syncs, the newest sync of each connection and
        the coverage of its datasets are never deleted."""
        now = self._clock.now()
        await self._connections.correct_future_runs()
        for table, column in (("idempotency_keys", "at"), ("consents", "begun_at")):
            await self._store.cap_future_times(table, column, now)
        for sync in self._registry.paused():
            if now - sync.updated_at > self._retention:
                text = f"Paused for more than {self._retention.days} days. Start a new sync."
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
        ):
            while await self._store.prune_table(table, now - age, DELETED_AT_ONCE):
                pass
