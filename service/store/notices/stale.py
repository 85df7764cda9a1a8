"""Connections without a complete sync for too long."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from service.store.changes import shown
from service.store.connections import Schedule, schedule_of
from service.store.engine import Engine, Statement, Values, stamp

AT_ONCE = 200
"""Connections that are checked in one read."""

_CANDIDATES = f"""
SELECT id, user_id, schedule_cron, schedule_timezone, schedule_next, schedule_plan, stale_for,
       created_at,
       (SELECT completed_at FROM sync_progress
         WHERE user_id = connections.user_id AND connection_id = connections.id
           AND status = 'complete'
         ORDER BY id DESC LIMIT 1) AS completed_at
  FROM connections WHERE forgotten_at IS NULL AND id > :after
 ORDER BY id LIMIT {AT_ONCE}
"""
_MARK_STALE = """
UPDATE connections SET stale_for = :basis
 WHERE id = :id AND forgotten_at IS NULL AND (stale_for IS NULL OR stale_for < :basis)
   AND NOT EXISTS (SELECT 1 FROM sync_progress
                    WHERE user_id = connections.user_id AND connection_id = connections.id
                      AND status = 'complete' AND completed_at > :basis)
RETURNING id
"""
_PUBLISH_STALE = """
INSERT INTO outbox (feed, type, tenant_id, user_id, connector, connection_id, sync_id, historical,
                    at, body)
SELECT 'events', 'connection.stale', tenant_id, user_id, connector, id, '', 0, :now, :body
  FROM connections WHERE id = :id
"""


class StaleCandidate(msgspec.Struct, frozen=True):
    """A connection, and the time since which no sync of it has completed."""

    id: str
    user: str
    #: When its last complete sync completed; None if no sync has.
    completed_at: datetime | None
    created_at: datetime
    schedule: Schedule | None
    #: Whether the event was published since then.
    published: bool

    @property
    def since(self) -> datetime:
        return self.completed_at or self.created_at


class StaleStore:
    """Finds connections that may be stale, and publishes their events in the outbox."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def connections(self, after: str) -> Sequence[StaleCandidate]:
        """The next AT_ONCE connections after the id `after`, by their ids."""
        return [_candidate(row) for row in await self._engine.read(_CANDIDATES, {"after": after})]

    async def publish_stale(
        self, connection: StaleCandidate, since: datetime, now: datetime
    ) -> bool:
        """Mark a connection as stale since `since`, and publish the event. Returns False if it was
        already published, or if the connection was forgotten or has completed a sync meanwhile."""
        completed = connection.completed_at
        body = {
            "connectionId": connection.id,
            "lastCompletedAt": shown(completed) if completed else None,
            "staleSince": shown(since),
        }
        mark = {"id": connection.id, "basis": stamp(connection.since)}
        text = msgspec.json.encode(body).decode()
        event = {"id": connection.id, "now": stamp(now), "body": text}
        return await self._engine.write(
            Statement(_MARK_STALE, [mark]), [Statement(_PUBLISH_STALE, [event])]
        )


def _candidate(row: Values) -> StaleCandidate:
    basis = row["completed_at"] or row["created_at"]
    completed = row["completed_at"]
    return StaleCandidate(
        id=row["id"],
        user=row["user_id"],
        completed_at=datetime.fromisoformat(completed) if completed else None,
        created_at=datetime.fromisoformat(row["created_at"]),
        schedule=schedule_of(row),
        published=row["stale_for"] is not None and row["stale_for"] >= basis,
    )
