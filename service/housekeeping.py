"""What must happen by the clock: scheduled syncs, syncs paused for too long, retention."""

from datetime import timedelta

import structlog

from connectors.base import Clock
from service.connections import Connections
from service.errors import LostConnection, ServiceError, SyncAlreadyRunning, TooManySyncs
from service.model import Actor, Options, sub_of
from service.registry import Registry, StartRequest
from service.store.connections import StoredConnection
from service.store.engine import Unavailable
from service.store.syncs import KEYS_LAST, SyncStore

EVERY = 20.0
"""Seconds between two looks at the clock: cron counts in minutes."""
TIDY_EVERY = timedelta(hours=1)
LATER = timedelta(minutes=1)
"""When a scheduled sync is tried again that could not begin."""
AT_ONCE = 1000
"""Rows deleted in one write: others must not wait for long."""

log = structlog.get_logger()


class Housekeeping:
    """One loop a process. What fails is tried again at the next round."""

    def __init__(
        self,
        registry: Registry,
        connections: Connections,
        store: SyncStore,
        clock: Clock,
        retention: timedelta,
        audit_retention: timedelta,
    ) -> None:
        self._registry = registry
        self._connections = connections
        self._store = store
        self._clock = clock
        self._retention = retention
        self._audit_retention = audit_retention

    async def run(self) -> None:
        """For ever; cancel it to end it."""
        tidied = None
        while True:
            now = self._clock.now()
            try:
                await self._store.ping()  # so that the log has it although nobody asks
                await self.start_due()
                if tidied is None or not timedelta(0) <= now - tidied < TIDY_EVERY:
                    await self.tidy()
                    tidied = now
            except Unavailable:
                pass  # the next round is soon enough
            except Exception:
                log.exception("housekeeping_failed")
            await self._clock.sleep(EVERY)

    # Schedules --------------------------------------------------------------------------------

    async def start_due(self) -> None:
        """A run that was missed is made up once, however many were."""
        for connection in await self._connections.due():
            await self._start(connection)

    async def _start(self, connection: StoredConnection) -> None:
        if connection.schedule is None or not await self._connections.take_run(connection):
            return  # another process was first
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
            await self._registry.start(actor, request)
        except (SyncAlreadyRunning, TooManySyncs) as error:
            log.info("scheduled_sync_postponed", connection_id=connection.id, code=error.code)
            await self._postpone(connection)
        except ServiceError as error:
            log.warning("scheduled_sync_not_started", connection_id=connection.id, code=error.code)

    async def _postpone(self, connection: StoredConnection) -> None:
        kept = await self._connections.find(connection.id)
        if kept:
            await self._connections.take_run(kept, LATER)

    # Retention --------------------------------------------------------------------------------

    async def tidy(self) -> None:
        """What is old is deleted in small portions: never what is live, never the newest sync of a
        connection, nor how far its datasets were read."""
        now = self._clock.now()
        await self._connections.pull_back()
        for table, column in (("idempotency_keys", "at"), ("consents", "begun_at")):
            await self._store.no_later(table, column, now)
        for sync in self._registry.paused():
            if now - sync.updated_at > self._retention:
                text = f"Paused for more than {self._retention.days} days. Start a new sync."
                await self._registry.expire(sync, text)
        while old := await self._store.old_syncs(now - self._retention, limit=100):
            for sync_id, user in old:
                while await self._store.prune_items(sync_id, AT_ONCE):
                    pass
                await self._store.prune(sync_id, user)
                self._registry.forget(sync_id)
        for table, age in (
            ("audit_logs", self._audit_retention),
            ("idempotency_keys", KEYS_LAST),
        ):
            while await self._store.prune_table(table, now - age, AT_ONCE):
                pass
