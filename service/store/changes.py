"""The outbox: the changes, in the order of commits. Its rows are part of the writes that make the
changes, so no change is lost and no row reports a change that was not stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from connectors.claims import Claim
from service.model import Status, Sync
from service.store.engine import Engine, Statement, stamp

Feed = Literal["records", "events"]

WHOLE = 0xFFFFFF
"""The index of a position after all entries of a row."""
ROWS_AT_ONCE = 50
"""Rows that are read at once. A row of records has as many entries as a page had records."""
DELETED_IN_A_ROW = 500
"""Deleted records in one row."""
EVENTS: Mapping[Status, str] = {
    Status.PENDING: "sync.started",
    Status.PAUSED: "sync.paused",
    Status.COMPLETE: "sync.completed",
    Status.FAILED: "sync.failed",
    Status.CANCELLED: "sync.cancelled",
}
OTHER_EVENTS = ("connection.lost", "connection.stale", "recovery.closing", "recovery.found")
"""The events that are not status changes of a sync."""

_ADD = """
INSERT INTO outbox (feed, type, tenant_id, user_id, connector, connection_id, sync_id, historical,
                    at, body)
VALUES (:feed, :type, :tenant_id, :user_id, :connector, :connection_id, :sync_id, :historical,
        :at, :body)
"""
_LOST = """
INSERT INTO outbox (feed, type, tenant_id, user_id, connector, connection_id, sync_id, historical,
                    at, body)
SELECT 'events', 'connection.lost', tenant_id, user_id, connector, id, '', 0, :now, :body
  FROM connections WHERE id = :id AND forgotten_at IS NULL
"""
# The rows of running transactions, and of those that began after one of these, are not read yet.
SETTLED = {
    "sqlite": "9223372036854775807",
    "postgresql": "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)",
}
_CLUSTER = {
    "sqlite": "''",
    "postgresql": "(SELECT CAST(system_identifier AS TEXT) FROM pg_control_system())",
}
_FILTERS = {
    "user": "user_id = :user",
    "connection": "connection_id = :connection",
    "type": "type = :type",
}
_MARK = """
INSERT INTO outbox_trimmed (feed, user_id, tx, seq) VALUES (:feed, :user_id, :tx, :seq)
    ON CONFLICT (feed, user_id) DO UPDATE SET tx = excluded.tx, seq = excluded.seq
"""
_DELETE = "DELETE FROM outbox WHERE tx = :tx AND seq = :seq"


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in a feed: after the first `index` entries of a row."""

    tx: int = 0
    seq: int = 0
    index: int = WHOLE


BEGINNING = Position()


class OutboxRow(msgspec.Struct, frozen=True):
    """A row of the outbox."""

    tx: int
    seq: int
    #: The dataset of records; the type of an event.
    type: str
    tenant_id: str
    user_id: str
    connector: str
    connection_id: str
    #: Empty for an event that belongs to no sync.
    sync_id: str
    historical: int
    at: str
    #: JSON: a list of [op, record id, original time] of records; the data of an event.
    body: str


# Writing ------------------------------------------------------------------------------------------


def changed_records(
    sync: Sync, dataset: str, at: datetime, changes: Sequence[tuple[str, str, str | None]]
) -> Statement:
    """The statement that adds the changes of a page: of each record `created`, `updated` or
    `deleted`, its id, and its time at the source (None if unknown)."""
    historical = int(sync.dataset(dataset).historical)
    rows = [
        {**_of(sync, "records", dataset, at), "historical": historical, "body": _json(part)}
        for part in (
            changes[begin : begin + DELETED_IN_A_ROW]
            for begin in range(0, len(changes), DELETED_IN_A_ROW)
        )
    ]
    return Statement(_ADD, rows)


def sync_event_statement(sync: Sync) -> Statement:
    """The statement that adds the event of a sync's change to its current status."""
    body = {
        "syncId": sync.id,
        "connectionId": sync.connection_id,
        "connector": sync.connector,
        "status": "in_progress" if sync.status is Status.PENDING else sync.status,
        "trigger": sync.trigger,
        "kind": sync.kind,
        "attempt": sync.attempt,
        "version": sync.version,
        "startedAt": shown(sync.started_at),
        "completedAt": shown(sync.completed_at) if sync.completed_at else None,
        "recordsProcessed": sum(dataset.processed for dataset in sync.read_datasets),
        "recordsFailed": sum(dataset.failed for dataset in sync.read_datasets),
        "claimsDetected": sync.known_claims,
        "warningsCount": len(sync.warnings),
        "error": sync.error,
    }
    row = _of(sync, "events", EVENTS[sync.status], sync.updated_at)
    return Statement(_ADD, [{**row, "historical": 0, "body": _json(body)}])


def found_event(sync: Sync, claims: Sequence[Claim], at: datetime) -> Statement:
    """The statement that adds the event of claims that were not known before."""
    amounts: dict[str | None, list[str | None]] = {}
    for claim in claims:
        amounts.setdefault(claim.currency, []).append(claim.amount)
    body = {
        "syncId": sync.id,
        "connectionId": sync.connection_id,
        "connector": sync.connector,
        "claims": len(claims),
        "totals": [
            {
                "currency": currency,
                "claims": len(of_currency),
                "unvalued": of_currency.count(None),
                "amount": _sum([amount for amount in of_currency if amount is not None]),
            }
            for currency, of_currency in sorted(amounts.items(), key=lambda item: item[0] or "")
        ],
    }
    row = _of(sync, "events", "recovery.found", at)
    return Statement(_ADD, [{**row, "historical": 0, "body": _json(body)}])


def _sum(amounts: Sequence[str]) -> str | None:
    return f"{sum(map(Decimal, amounts)):f}" if amounts else None


def lost_event(connection_id: str, at: datetime, why: str) -> Statement:
    """The statement that adds the event of a connection whose credentials are refused."""
    body = _json({"connectionId": connection_id, "reason": why})
    return Statement(_LOST, [{"id": connection_id, "now": stamp(at), "body": body}])


def shown(moment: datetime) -> str:
    """A time as clients see it, to the millisecond."""
    return f"{stamp(moment)[:23]}Z"


def _of(sync: Sync, feed: Feed, type: str, at: datetime) -> dict[str, Any]:
    return {
        "feed": feed,
        "type": type,
        "tenant_id": sync.tenant,
        "user_id": sync.user,
        "connector": sync.connector,
        "connection_id": sync.connection_id,
        "sync_id": sync.id,
        "at": stamp(at),
    }


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# Reading ------------------------------------------------------------------------------------------


class ChangeStore:
    """The feeds of one database. `user` is None for the feeds of all users."""

    def __init__(self, engine: Engine, dialect: str) -> None:
        self._engine = engine
        self._settled, self._cluster = SETTLED[dialect], _CLUSTER[dialect]

    async def rows(
        self, feed: Feed, filters: Mapping[str, str], after: Position
    ) -> Sequence[OutboxRow]:
        """The next rows after a position, oldest first, at most ROWS_AT_ONCE; also the row of the
        position itself, if it has entries left. `filters` are user, connection and type."""
        where = "".join(f" AND {_FILTERS[name]}" for name in filters)
        compared = ">" if after.index == WHOLE else ">="
        sql = f"""SELECT {", ".join(_COLUMNS)} FROM outbox
                   WHERE feed = :feed{where} AND (tx, seq) {compared} (:tx, :seq)
                     AND tx < {self._settled}
                   ORDER BY tx, seq LIMIT {ROWS_AT_ONCE}"""
        values = {**filters, "feed": feed, "tx": after.tx, "seq": after.seq}
        rows = await self._engine.read(sql, values)
        return [OutboxRow(*(row[name] for name in _COLUMNS)) for row in rows]

    async def unsettled(self) -> int:
        """The number of rows that are stored, but not read yet: an older transaction, of any
        database of the server, is still running."""
        sql = f"SELECT COUNT(*) AS n FROM outbox WHERE tx >= {self._settled}"
        return int((await self._engine.read(sql, {}))[0]["n"])

    async def tail(self, feed: Feed, user: str | None) -> Position:
        """The position after the last row."""
        of = {"feed": feed} | ({"user": user} if user is not None else {})
        where = " AND user_id = :user" if user is not None else ""
        sql = f"""SELECT tx, seq FROM outbox WHERE feed = :feed{where} AND tx < {self._settled}
                   ORDER BY tx DESC, seq DESC LIMIT 1"""
        rows = await self._engine.read(sql, of)
        last = Position(rows[0]["tx"], rows[0]["seq"]) if rows else BEGINNING
        return max(last, await self.trimmed(feed, user))

    async def trimmed(self, feed: Feed, user: str | None) -> Position:
        """The position after the last row that was deleted because of its age."""
        of = {"feed": feed} | ({"user": user} if user is not None else {})
        where = " AND user_id = :user" if user is not None else ""
        sql = f"""SELECT tx, seq FROM outbox_trimmed WHERE feed = :feed{where}
                   ORDER BY tx DESC, seq DESC LIMIT 1"""
        rows = await self._engine.read(sql, of)
        return Position(rows[0]["tx"], rows[0]["seq"]) if rows else BEGINNING

    async def epoch(self, now: datetime) -> int:
        """The epoch of the offsets. A database that was restored in another cluster, whose
        transactions have other numbers, begins a new one."""
        sql = f"""SELECT {self._cluster} AS here,
                         (SELECT epoch FROM outbox_epochs ORDER BY epoch DESC LIMIT 1) AS epoch,
                         (SELECT made_by FROM outbox_epochs ORDER BY epoch DESC LIMIT 1) AS made_by
                """
        (row,) = await self._engine.read(sql, {})
        if row["epoch"] is not None and row["made_by"] == row["here"]:
            return int(row["epoch"])
        epoch = max(int(now.timestamp() * 1000), (row["epoch"] or 0) + 1)
        begin = Statement(
            """INSERT INTO outbox_epochs (epoch, made_by) SELECT :epoch, :here
                WHERE NOT EXISTS (SELECT 1 FROM outbox_epochs
                                   WHERE made_by = :here
                                     AND epoch = (SELECT MAX(epoch) FROM outbox_epochs))
               RETURNING epoch""",
            [{"epoch": epoch, "here": row["here"]}],
            alone=("outbox epoch",),
        )
        older = [Statement(f"UPDATE {table} SET tx = 0", [{}]) for table in _NUMBERED]
        await self._engine.write(begin, older)
        return await self.epoch(now)

    async def trim(self, before: datetime, limit: int) -> int:
        """Delete rows that are older; returns how many, at most `limit`."""
        sql = """SELECT feed, user_id, tx, seq FROM outbox WHERE at < :before
                  ORDER BY at LIMIT :limit"""
        found = await self._engine.read(sql, {"before": stamp(before), "limit": limit})
        rows = sorted((dict(row) for row in found), key=lambda row: (row["tx"], row["seq"]))
        if rows:
            newest = {(row["feed"], row["user_id"]): row for row in rows}
            marks = Statement(_MARK, list(newest.values()))
            keys = [{"tx": row["tx"], "seq": row["seq"]} for row in rows]
            await self._engine.write(
                Statement("SELECT 1 AS n", [{}]), [marks, Statement(_DELETE, keys)]
            )
        return len(rows)


_COLUMNS = OutboxRow.__struct_fields__
_NUMBERED = ("outbox", "outbox_trimmed", "outbox_relay", "webhooks", "webhook_deliveries")
