"""Notifications of sources: each is kept once, until it has expired."""

from collections.abc import Sequence
from datetime import datetime

from service.model import Sync
from service.store.engine import Engine, Statement, stamp

_KEEP = """
INSERT INTO notifications (connection_id, id, dataset, record_id, at, sync_id)
SELECT :connection_id, :id, :dataset, :record_id, :at, ''
 WHERE EXISTS (SELECT 1 FROM connections WHERE id = :connection_id AND forgotten_at IS NULL)
    ON CONFLICT (connection_id, id) DO NOTHING RETURNING id
"""
_TAKE = """
UPDATE notifications SET sync_id = :sync_id
 WHERE connection_id = :connection_id AND sync_id = '' AND dataset = :dataset
   AND record_id = :record_id
"""
_OF_ACCOUNT = """
SELECT id FROM connections
 WHERE connector = :connector AND account_id = :account AND forgotten_at IS NULL ORDER BY id
"""


def reads_notified(sync: Sync) -> Statement:
    """The statement that marks the notifications whose records a new sync reads."""
    of = {"sync_id": sync.id, "connection_id": sync.connection_id}
    (dataset,) = sync.options.datasets or ("",)
    records = sync.options.records or ()
    return Statement(_TAKE, [{**of, "dataset": dataset, "record_id": id} for id in records])


class NotificationStore:
    """The notifications of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def connections_of(self, connector: str, account: str) -> Sequence[str]:
        """The ids of the connections with this account."""
        values = {"connector": connector, "account": account}
        return [row["id"] for row in await self._engine.read(_OF_ACCOUNT, values)]

    async def keep(
        self, connection_id: str, notification: str, dataset: str, record: str, at: datetime
    ) -> bool:
        """Keep a notification. Returns False if it was received before."""
        row = {
            "connection_id": connection_id,
            "id": notification,
            "dataset": dataset,
            "record_id": record,
            "at": stamp(at),
        }
        return await self._engine.write(Statement(_KEEP, [row]), [])

    async def waiting(self) -> Sequence[tuple[str, str]]:
        """The connections and datasets with records that no sync reads yet."""
        sql = """SELECT DISTINCT connection_id, dataset FROM notifications WHERE sync_id = ''
                  ORDER BY connection_id, dataset"""
        return [(row["connection_id"], row["dataset"]) for row in await self._engine.read(sql, {})]

    async def records(self, connection_id: str, dataset: str, limit: int) -> Sequence[str]:
        """The records that no sync of the connection reads yet, the oldest notification first."""
        sql = """SELECT record_id, MIN(at) AS first FROM notifications
                  WHERE connection_id = :id AND sync_id = '' AND dataset = :dataset
                  GROUP BY record_id ORDER BY first, record_id LIMIT :limit"""
        values = {"id": connection_id, "dataset": dataset, "limit": limit}
        return [row["record_id"] for row in await self._engine.read(sql, values)]
