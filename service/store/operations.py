"""Figures of all syncs for operators: the waiting, running and late ones."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from service.model import LIVE, Status, Sync
from service.store.connections import Schedule
from service.store.engine import Engine
from service.store.syncs import sync_of

_LIVE = ", ".join(f"'{status}'" for status in sorted(LIVE))
# A version of a sync that waits is the one with which it began to wait.
_COUNTS = f"""
SELECT status, COUNT(*) AS n, MIN(updated_at) AS oldest FROM sync_progress
 WHERE status IN ({_LIVE}) GROUP BY status
"""
_UNFINISHED = """
SELECT body, version FROM sync_progress WHERE status IN ({statuses}) ORDER BY id LIMIT :limit
"""
_SCHEDULED = """
SELECT id, schedule_cron, schedule_timezone, created_at,
       (SELECT completed_at FROM sync_progress AS done
         WHERE done.user_id = connections.user_id AND done.connection_id = connections.id
           AND done.status = 'complete' ORDER BY done.id DESC LIMIT 1) AS completed_at
  FROM connections
 WHERE schedule_next IS NOT NULL AND lost IS NULL AND id > :after ORDER BY id LIMIT :limit
"""
# On SQLite, a row can be read as soon as it is stored.
_UNSETTLED = """
SELECT MIN(at) AS oldest FROM outbox
 WHERE tx >= CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)
"""
SCHEDULES_AT_ONCE = 500


class Waiting(msgspec.Struct, frozen=True):
    """The number of syncs with a live status, and since when the first of them has it."""

    count: int
    since: datetime


class Scheduled(msgspec.Struct, frozen=True):
    """A connection with a schedule, with the times of its creation and its last complete sync."""

    connection_id: str
    schedule: Schedule
    created_at: datetime
    completed_at: datetime | None


class OperationsStore:
    """Reads across all tenants: only for operators."""

    def __init__(self, engine: Engine, dialect: str) -> None:
        self._engine = engine
        self._settles = dialect == "postgresql"

    async def counts(self) -> dict[Status, Waiting]:
        """The live syncs by status."""
        rows = await self._engine.read(_COUNTS, {})
        return {Status(row["status"]): Waiting(row["n"], _moment(row["oldest"])) for row in rows}

    async def running(self, limit: int) -> list[Sync]:
        """The syncs in progress, oldest first."""
        return await self._syncs((Status.IN_PROGRESS,), limit)

    async def unfinished(self, limit: int) -> list[Sync]:
        """The syncs that wait or are in progress, oldest first."""
        return await self._syncs((Status.PENDING, Status.IN_PROGRESS), limit)

    async def _syncs(self, statuses: Sequence[Status], limit: int) -> list[Sync]:
        sql = _UNFINISHED.format(statuses=", ".join(f"'{status}'" for status in statuses))
        rows = await self._engine.read(sql, {"limit": limit})
        return [sync_of(row) for row in rows]

    async def outbox_oldest(self) -> datetime | None:
        """The time of the oldest change that feeds cannot show yet; None without one."""
        if not self._settles:
            return None
        (row,) = await self._engine.read(_UNSETTLED, {})
        return _moment(row["oldest"]) if row["oldest"] else None

    async def scheduled(self, after: str = "") -> list[Scheduled]:
        """A page of connections with a schedule that can be used, ordered by id."""
        values = {"after": after, "limit": SCHEDULES_AT_ONCE}
        return [
            Scheduled(
                row["id"],
                Schedule(row["schedule_cron"], row["schedule_timezone"], None),
                _moment(row["created_at"]),
                _moment(row["completed_at"]) if row["completed_at"] else None,
            )
            for row in await self._engine.read(_SCHEDULED, values)
        ]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
