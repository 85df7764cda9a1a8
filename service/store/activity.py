"""The activity of a user's connections: their records, last syncs and live syncs."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from service.model import LIVE, Status
from service.store.engine import Engine

_LIVE = ", ".join(f"'{status}'" for status in sorted(LIVE))
_ENDED = ", ".join(f"'{status}'" for status in sorted(set(Status) - LIVE))

# Scalar subqueries: look-ups by an index, also before PostgreSQL has statistics of the tables.
_ACTIVITY = f"""
SELECT newest.id AS id, newest.records AS records, newest.live AS live, newest.ended AS ended,
       (SELECT status FROM sync_progress WHERE id = newest.ended) AS status,
       (SELECT completed_at FROM sync_progress WHERE id = newest.ended) AS completed_at
  FROM (SELECT rows.id AS id,
               (SELECT CAST(SUM(records) AS BIGINT) FROM landed
                 WHERE connection_id = rows.id) AS records,
               (SELECT id FROM sync_progress
                 WHERE user_id = :user AND status IN ({_LIVE})
                   AND connection_id = rows.id) AS live,
               (SELECT id FROM sync_progress
                 WHERE user_id = :user AND connection_id = rows.id AND status IN ({_ENDED})
                 ORDER BY id DESC LIMIT 1) AS ended
          FROM {{rows}}) AS newest
"""
_COLUMNS = ("id", "records", "live", "ended", "status", "completed_at")


class EndedSync(msgspec.Struct, frozen=True):
    """The last sync of a connection that has ended."""

    id: str
    status: str
    completed_at: datetime | None


class Activity(msgspec.Struct, frozen=True):
    """The records and the syncs of a connection."""

    #: The number of stored records.
    records: int = 0
    last_sync: EndedSync | None = None
    live_sync_id: str | None = None


class ActivityStore:
    """Reads the activity of connections."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def of_connections(
        self, user: str, connection_ids: Sequence[str]
    ) -> Mapping[str, Activity]:
        """The activity of these connections of a user, by id, in one query."""
        if not connection_ids:
            return {}
        table = {"id": list(connection_ids)}
        rows = await self._engine.fetch(_ACTIVITY, _COLUMNS, {"user": user}, table)
        return {
            connection_id: Activity(records or 0, _ended(*ended), live)
            for connection_id, records, live, *ended in rows
        }


def _ended(sync_id: str | None, status: str, completed_at: str | None) -> EndedSync | None:
    if sync_id is None:
        return None
    at = datetime.fromisoformat(completed_at) if completed_at else None
    return EndedSync(sync_id, status, at)
