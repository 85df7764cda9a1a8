"""Every SQL statement of the service, once."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from connectors.base import Record
from service.model import LIVE, Outcome, Sync, Tally
from service.store.engine import Engine, Statement, Table, Values, bulk

COUNTED_AT_MOST = 10_000
"""Beyond it a filtered history has no total: counting would cost more than it tells."""

CONSENT_LASTS = timedelta(minutes=15)

_LIVE = ", ".join(f"'{status}'" for status in sorted(LIVE))

_CREATE = f"""
INSERT INTO sync_progress (id, user_id, tenant_id, connection_id, connector, status, stage,
                           progress, message, version, started_at, completed_at, updated_at, body)
SELECT :id, :user_id, :tenant_id, :connection_id, :connector, :status, :stage,
       :progress, :message, :version, :started_at, :completed_at, :updated_at, :body
 WHERE (SELECT COUNT(*) FROM sync_progress
         WHERE tenant_id = :tenant_id AND status IN ({_LIVE})) < :most_of_tenant
RETURNING id
"""
_SAVE = """
UPDATE sync_progress
   SET status = :status, stage = :stage, progress = :progress, message = :message,
       version = :version, completed_at = :completed_at, updated_at = :updated_at, body = :body
 WHERE id = :id AND version = :version - 1  -- no row touched: somebody was here before us
RETURNING id
"""
_COUNT_SYNC = """
INSERT INTO sync_counts (user_id, total) VALUES (:user_id, 1)
    ON CONFLICT (user_id) DO UPDATE SET total = sync_counts.total + 1
"""
_LAND = """
INSERT INTO records (connection_id, dataset, id, sync_id, seen, hash, updated_at, data)
SELECT :connection_id, :dataset, rows.id, :sync_id, :sync_id, rows.hash, :updated_at, rows.data
  FROM {rows} WHERE true  -- or ON CONFLICT would be read as a join's
    ON CONFLICT (connection_id, dataset, id) DO UPDATE
   SET sync_id = excluded.sync_id, seen = excluded.seen, hash = excluded.hash,
       updated_at = excluded.updated_at, data = excluded.data
"""
_SEE = """
UPDATE records SET seen = :sync_id
 WHERE connection_id = :connection_id AND dataset = :dataset AND id IN (SELECT rows.id FROM {rows})
"""
_KNOWN = """
SELECT id, hash, seen FROM records
 WHERE connection_id = :connection_id AND dataset = :dataset
   AND id IN (SELECT rows.id FROM {rows})
"""
_KNOWN_ITEMS = """
SELECT record_id FROM sync_history_items
 WHERE sync_id = :sync_id AND dataset = :dataset
   AND record_id IN (SELECT rows.id FROM {rows})
"""
_ITEM = """
INSERT INTO sync_history_items (sync_id, dataset, record_id, name, outcome, error, at)
SELECT :sync_id, :dataset, rows.id, rows.name, rows.outcome, rows.error, :at
  FROM {rows} WHERE true
    ON CONFLICT (sync_id, dataset, record_id) DO NOTHING
"""
_LEARN = """
INSERT INTO learned (connection_id, name, value) VALUES (:connection_id, :name, :value)
    ON CONFLICT (connection_id, name) DO UPDATE SET value = excluded.value
"""
_WATERMARK = """
INSERT INTO watermarks (connection_id, dataset, until, sync_id)
VALUES (:connection_id, :dataset, :until, :sync_id)
    ON CONFLICT (connection_id, dataset) DO UPDATE
   SET until = excluded.until, sync_id = excluded.sync_id
"""
_CONNECT = """
INSERT INTO connections (id, user_id, tenant_id, connector, region, marketplace_ids, environment,
                         name, credentials, created_at, checked_at)
VALUES (:id, :user_id, :tenant_id, :connector, :region, :marketplace_ids, :environment,
        :name, :credentials, :created_at, :created_at)
RETURNING id
"""
_CHECKED = """
UPDATE connections SET checked_at = :at, lost = :lost
 WHERE id = :id AND forgotten_at IS NULL RETURNING id
"""
_FORGET = f"""
UPDATE connections SET credentials = NULL, forgotten_at = :at
 WHERE id = :id AND forgotten_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM sync_progress
                    WHERE user_id = connections.user_id AND connection_id = connections.id
                      AND status IN ({_LIVE}))
RETURNING id
"""
_BEGIN_CONSENT = """
INSERT INTO consents (state, user_id, begun_at, body) VALUES (:state, :user_id, :at, :body)
RETURNING state
"""
_CONSENT = """
SELECT body FROM consents WHERE state = :state AND user_id = :user AND begun_at >= :since
"""
_END_CONSENT = """
DELETE FROM consents WHERE state = :state AND user_id = :user AND begun_at >= :since
RETURNING state
"""
_ERASE_ITEMS = """
DELETE FROM sync_history_items WHERE sync_id IN (
    SELECT sync_progress.id FROM sync_progress
      JOIN connections ON connections.user_id = sync_progress.user_id
     WHERE connections.id = :id AND sync_progress.connection_id = :id)
"""
_HISTORY_FILTERS = {
    "status": "status IN (SELECT value FROM json_each(:status))",
    "connector": "connector = :connector",
    "connection_id": "connection_id = :connection_id",
    "since": "started_at >= :since",
    "until": "started_at < :until",
}


class StoredConnection(msgspec.Struct, frozen=True):
    """A connection as it is kept: its credentials still encrypted."""

    id: str
    user: str
    tenant: str
    connector: str
    region: str
    marketplace_ids: tuple[str, ...]
    environment: str
    name: str
    credentials: str | None
    created_at: datetime
    checked_at: datetime | None = None
    lost: str | None = None


class Landing(msgspec.Struct, frozen=True):
    """What a page's records come to, and the statements that keep them."""

    tally: Tally
    statements: Sequence[Statement]


class Store:
    """What the rooms above ask for. Writes of a sync are the registry's alone to make."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def close(self) -> None:
        await self._engine.close()

    async def ping(self) -> None:
        await self._engine.read("SELECT 1", {})

    async def write(self, guard: Statement, *rest: Statement) -> bool:
        """All of it or nothing; False if the guard touched no row."""
        return await self._engine.write(guard, [each for each in rest if each.rows])

    # Syncs ------------------------------------------------------------------------------------

    async def create(self, sync: Sync, most_of_tenant: int) -> bool:
        """A new sync. False if its tenant has too many; raises Refused if its user has one."""
        guard = Statement(_CREATE, [{**_row(sync), "most_of_tenant": most_of_tenant}])
        return await self.write(guard, Statement(_COUNT_SYNC, [{"user_id": sync.user}]))

    async def sync(self, sync_id: str) -> Sync | None:
        return await self._one("SELECT body FROM sync_progress WHERE id = :id", {"id": sync_id})

    async def live_sync(self, user: str) -> Sync | None:
        sql = f"SELECT body FROM sync_progress WHERE user_id = :user AND status IN ({_LIVE})"
        return await self._one(sql, {"user": user})

    async def newest_sync(self, user: str) -> Sync | None:
        sql = "SELECT body FROM sync_progress WHERE user_id = :user ORDER BY id DESC LIMIT 1"
        return await self._one(sql, {"user": user})

    async def unfinished(self) -> list[Sync]:
        """Every sync that somebody should be running, oldest first; and the paused ones."""
        sql = f"SELECT body FROM sync_progress WHERE status IN ({_LIVE}) ORDER BY id"
        return [_sync(row) for row in await self._engine.read(sql, {})]

    async def history(
        self,
        user: str,
        filters: Mapping[str, Any],
        limit: int,
        before: str | None = None,
        offset: int = 0,
    ) -> list[Sync]:
        """Newest first; `before` is the id that the last page ended with."""
        where, values = _where(user, filters)
        if before:
            where, values = f"{where} AND id < :before", {**values, "before": before}
        sql = f"SELECT body FROM sync_progress WHERE {where} ORDER BY id DESC LIMIT :n OFFSET :m"
        rows = await self._engine.read(sql, {**values, "n": limit, "m": offset})
        return [_sync(row) for row in rows]

    async def count(self, user: str, filters: Mapping[str, Any]) -> int | None:
        """How many syncs: exact without filters, with them up to COUNTED_AT_MOST, else None."""
        if not filters:
            sql = "SELECT total AS n FROM sync_counts WHERE user_id = :user"
            rows = await self._engine.read(sql, {"user": user})
            return int(rows[0]["n"]) if rows else 0
        where, values = _where(user, filters)
        sql = f"""SELECT COUNT(*) AS n FROM
                  (SELECT 1 FROM sync_progress WHERE {where} LIMIT :most) AS some"""
        rows = await self._engine.read(sql, {**values, "most": COUNTED_AT_MOST + 1})
        return count if (count := int(rows[0]["n"])) <= COUNTED_AT_MOST else None

    async def items(
        self,
        sync_id: str,
        outcome: str | None,
        dataset: str | None,
        limit: int,
        after: tuple[str, str] | None,
    ) -> Sequence[Values]:
        where = "sync_id = :sync_id"
        where += " AND outcome = :outcome" if outcome else ""
        where += " AND dataset = :dataset" if dataset else ""
        where += " AND (dataset, record_id) > (:after_dataset, :after_id)" if after else ""
        sql = f"""SELECT dataset, record_id, name, outcome, error, at FROM sync_history_items
                   WHERE {where} ORDER BY dataset, record_id LIMIT :limit"""
        values = {"sync_id": sync_id, "outcome": outcome, "dataset": dataset, "limit": limit}
        if after:
            values |= {"after_dataset": after[0], "after_id": after[1]}
        return await self._engine.read(sql, {k: v for k, v in values.items() if v is not None})

    async def _one(self, sql: str, values: Values) -> Sync | None:
        rows = await self._engine.read(sql, values)
        return _sync(rows[0]) if rows else None

    # Records ----------------------------------------------------------------------------------

    async def landing(
        self, sync: Sync, dataset: str, records: Sequence[Record], at: datetime
    ) -> Landing:
        """Compare a page with what is known, and say what must be written.

        The look may come before the write and outside of it: only the owner of this sync writes
        these rows, and its guard fails if it is the owner no more."""
        known, failed = await self._known(sync, dataset, records)
        created, updated, again, unchanged, items = [], [], [], [], []
        for record in {each.id: each for each in records}.values():
            if record.error is not None:
                if record.id not in failed:
                    items.append(record)
                continue
            fresh = (record, _hash(record))
            kept_hash, seen_by = known.get(record.id, (None, None))
            same = kept_hash == fresh[1]
            if kept_hash is None:
                created.append(fresh)
            elif seen_by == sync.id:  # met before in this very sync: kept, but not counted twice
                again += [] if same else [fresh]
            elif same:
                unchanged.append(record.id)
            else:
                updated.append(fresh)
        of = {"connection_id": sync.connection_id, "dataset": dataset, "sync_id": sync.id}
        when = {"updated_at": stamp(at)}
        return Landing(
            Tally(len(created), len(updated), len(unchanged), len(items)),
            [
                bulk(_LAND, of | when, _landed([*created, *updated, *again])),
                bulk(_SEE, of, {"id": unchanged}),
                _items(sync, dataset, items, at),
            ],
        )

    async def _known(
        self, sync: Sync, dataset: str, records: Sequence[Record]
    ) -> tuple[dict[str, tuple[str, str]], set[str]]:
        """The hash and last sight of each record that is kept; which failures this sync has."""
        of = {"connection_id": sync.connection_id, "dataset": dataset}
        rows = await self._engine.fetch(
            _KNOWN, ("id", "hash", "seen"), of, {"id": [each.id for each in records]}
        )
        known = {row[0]: (row[1], row[2]) for row in rows}
        bad = [each.id for each in records if each.error is not None]
        if not bad:
            return known, set()
        of = {"sync_id": sync.id, "dataset": dataset}
        items = await self._engine.fetch(_KNOWN_ITEMS, ("record_id",), of, {"id": bad})
        return known, {row[0] for row in items}

    async def records(
        self, connection_id: str, dataset: str, limit: int, after: str = ""
    ) -> Sequence[Values]:
        """In the order of their ids; `after` is the id that the last page ended with."""
        sql = """SELECT connection_id, id, sync_id, updated_at, data FROM records
                  WHERE connection_id = :connection_id AND dataset = :dataset AND id > :after
                  ORDER BY id LIMIT :limit"""
        return await self._engine.read(
            sql,
            {"connection_id": connection_id, "dataset": dataset, "after": after, "limit": limit},
        )

    async def raw_records(
        self, connection_id: str, dataset: str, limit: int, after: str = ""
    ) -> Sequence[tuple[str, str]]:
        """Their ids and data alone: for those who read all of them."""
        sql = """SELECT id, data FROM records
                  WHERE connection_id = :connection_id AND dataset = :dataset AND id > :after
                  ORDER BY id LIMIT :limit"""
        values = {"connection_id": connection_id, "dataset": dataset, "after": after}
        rows = await self._engine.fetch(sql, ("id", "data"), {**values, "limit": limit})
        return [(row[0], row[1]) for row in rows]

    async def some_records(
        self, connection_id: str, dataset: str, ids: Sequence[str]
    ) -> Sequence[Values]:
        sql = """SELECT connection_id, id, sync_id, updated_at, data FROM records
                  WHERE connection_id = :connection_id AND dataset = :dataset
                    AND id IN (SELECT value FROM json_each(:ids)) ORDER BY id"""
        wanted = msgspec.json.encode(ids).decode()
        return await self._engine.read(
            sql, {"connection_id": connection_id, "dataset": dataset, "ids": wanted}
        )

    # Connections ------------------------------------------------------------------------------

    async def connect(self, connection: StoredConnection, learned: Mapping[str, str]) -> None:
        row = {
            "id": connection.id,
            "user_id": connection.user,
            "tenant_id": connection.tenant,
            "connector": connection.connector,
            "region": connection.region,
            "marketplace_ids": msgspec.json.encode(connection.marketplace_ids).decode(),
            "environment": connection.environment,
            "name": connection.name,
            "credentials": connection.credentials,
            "created_at": stamp(connection.created_at),
        }
        await self.write(Statement(_CONNECT, [row]), learn(connection.id, learned))

    async def connections(self, user: str, forgotten: bool = False) -> list[StoredConnection]:
        """A user's connections; with `forgotten` also those whose landed data may still exist."""
        sql = f"""SELECT * FROM connections WHERE user_id = :user
                  {"" if forgotten else "AND forgotten_at IS NULL"} ORDER BY id"""
        return [_connection(row) for row in await self._engine.read(sql, {"user": user})]

    async def connection(self, connection_id: str) -> StoredConnection | None:
        sql = "SELECT * FROM connections WHERE id = :id AND forgotten_at IS NULL"
        rows = await self._engine.read(sql, {"id": connection_id})
        return _connection(rows[0]) if rows else None

    async def begin_consent(self, state: str, user: str, at: datetime, body: str) -> None:
        """And forget those that nobody came back from."""
        row = {"state": state, "user_id": user, "at": stamp(at), "body": body}
        old = [{"before": stamp(at - CONSENT_LASTS)}]
        await self.write(
            Statement(_BEGIN_CONSENT, [row]),
            Statement("DELETE FROM consents WHERE begun_at < :before", old),
        )

    async def end_consent(self, state: str, user: str, at: datetime) -> str | None:
        """What was begun under this state: once, by the same user, and not for long."""
        values = {"state": state, "user": user, "since": stamp(at - CONSENT_LASTS)}
        rows = await self._engine.read(_CONSENT, values)
        ours = await self.write(Statement(_END_CONSENT, [values]))
        return str(rows[0]["body"]) if rows and ours else None

    async def learned(self, connection_id: str) -> dict[str, str]:
        sql = "SELECT name, value FROM learned WHERE connection_id = :id"
        return {r["name"]: r["value"] for r in await self._engine.read(sql, {"id": connection_id})}

    async def checked(
        self, connection_id: str, at: datetime, lost: str | None, learned: Mapping[str, str]
    ) -> None:
        row = {"id": connection_id, "at": None if lost else stamp(at), "lost": lost}
        await self.write(Statement(_CHECKED, [row]), learn(connection_id, learned))

    async def forget(self, connection_id: str, at: datetime, erase: bool) -> bool:
        """Erase the credentials, with `erase` the records too. False if a sync of it is live."""
        gone = [{"id": connection_id}]
        tables = ("learned", "watermarks", *(["records"] if erase else []))
        deletes = [f"DELETE FROM {table} WHERE connection_id = :id" for table in tables]
        return await self.write(
            Statement(_FORGET, [{"id": connection_id, "at": stamp(at)}]),
            *(Statement(sql, gone) for sql in (*deletes, *([_ERASE_ITEMS] if erase else []))),
        )


def save(sync: Sync) -> Statement:
    """The guarded write of a sync: it passes only if the version before is the one that is kept."""
    return Statement(_SAVE, [_row(sync)])


def learn(connection_id: str, learned: Mapping[str, str]) -> Statement:
    rows = [{"connection_id": connection_id, "name": k, "value": v} for k, v in learned.items()]
    return Statement(_LEARN, rows)


def watermarks(sync: Sync) -> Statement:
    """How far the datasets that were read whole have been read."""
    whole = [each for each in sync.sources if each.status is Outcome.COMPLETE]
    return Statement(
        _WATERMARK,
        [
            {
                "connection_id": sync.connection_id,
                "dataset": each.name,
                "until": stamp(each.checkpoint.window.until),
                "sync_id": sync.id,
            }
            for each in whole
        ],
    )


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC, always as long, so that text sorts as time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _row(sync: Sync) -> dict[str, Any]:
    return {
        "id": sync.id,
        "user_id": sync.user,
        "tenant_id": sync.tenant,
        "connection_id": sync.connection_id,
        "connector": sync.connector,
        "status": sync.status.value,
        "stage": sync.stage.value,
        "progress": sync.percent,
        "message": sync.message,
        "version": sync.version,
        "started_at": stamp(sync.started_at),
        "completed_at": stamp(sync.completed_at) if sync.completed_at else None,
        "updated_at": stamp(sync.updated_at),
        "body": msgspec.json.encode(sync).decode(),
    }


def _sync(row: Values) -> Sync:
    return _decoder.decode(row["body"])


def _hash(record: Record) -> str:
    """Of what tells whether a record has changed."""
    return hashlib.blake2b(record.version.encode() or record.data, digest_size=12).hexdigest()


def _landed(fresh: Sequence[tuple[Record, str]]) -> Table:
    return {
        "id": [record.id for record, _ in fresh],
        "hash": [digest for _, digest in fresh],
        "data": [record.data for record, _ in fresh],
    }


def _items(sync: Sync, dataset: str, failed: Sequence[Record], at: datetime) -> Statement:
    of = {"sync_id": sync.id, "dataset": dataset, "at": stamp(at)}
    table: Table = {
        "id": [each.id for each in failed],
        "name": [each.name for each in failed],
        "outcome": ["failed"] * len(failed),
        "error": [each.error for each in failed],
    }
    return bulk(_ITEM, of, table)


def _connection(row: Values) -> StoredConnection:
    return StoredConnection(
        id=row["id"],
        user=row["user_id"],
        tenant=row["tenant_id"],
        connector=row["connector"],
        region=row["region"],
        marketplace_ids=tuple(msgspec.json.decode(row["marketplace_ids"], type=list[str])),
        environment=row["environment"],
        name=row["name"],
        credentials=row["credentials"],
        created_at=datetime.fromisoformat(row["created_at"]),
        checked_at=datetime.fromisoformat(row["checked_at"]) if row["checked_at"] else None,
        lost=row["lost"],
    )


def _where(user: str, filters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    clauses = ["user_id = :user", *(_HISTORY_FILTERS[name] for name in filters)]
    return " AND ".join(clauses), {"user": user, **filters}


_decoder = msgspec.json.Decoder(Sync)
