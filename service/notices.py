"""Publishes events for claims that close soon and for stale connections."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache

from connectors.base import Clock
from service.schedules import twice_missed
from service.store.connections import Schedule
from service.store.engine import Engine
from service.store.notices.closing import ClosingStore
from service.store.notices.stale import StaleStore

SHORTEST = timedelta(minutes=2)
"""Twice the shortest interval of a schedule: no connection is stale earlier."""
DEADLINES = 10_000
"""Connections whose deadline is cached."""


class Notices:
    """Publishes each notice once, even if several processes try."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        stale_after: timedelta,
        wake: Callable[[str], None],
    ) -> None:
        """`stale_after` applies to connections without a schedule. `wake` is called with each user
        who has something new to read."""
        self._claims = ClosingStore(engine)
        self._connections = StaleStore(engine)
        self._clock = clock
        self._stale_after = stale_after
        self._wake = wake

    async def publish(self) -> None:
        await self._publish_closing()
        await self._publish_stale()

    async def _publish_closing(self) -> None:
        now = self._clock.now()
        while claims := await self._claims.closing(now.date()):
            if not await self._claims.publish_closing(claims, now):
                return  # another process publishes them
            for user in {claim.user for claim in claims}:
                self._wake(user)

    async def _publish_stale(self) -> None:
        after, now = "", self._clock.now()
        while connections := await self._connections.connections(after):
            for connection in connections:
                if connection.published or now < connection.since + SHORTEST:
                    continue
                since = self._stale_since(connection.schedule, connection.since)
                if since < now and await self._connections.publish_stale(connection, since, now):
                    self._wake(connection.user)
            after = connections[-1].id

    def _stale_since(self, schedule: Schedule | None, since: datetime) -> datetime:
        """The time when a connection becomes stale whose last sync completed at `since`."""
        if schedule is None or schedule.next is None:
            return since + self._stale_after
        return _deadline(schedule.cron, schedule.timezone, since)


@lru_cache(DEADLINES)
def _deadline(cron: str, timezone: str, since: datetime) -> datetime:
    return twice_missed(Schedule(cron, timezone, None), since)
