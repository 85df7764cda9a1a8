"""Syncs: live syncs, history, items, idempotency keys, and retention."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from service.model import LIVE, Status, Sync
from service.store.connections import connection_name
from service.store.engine import Engine, Refused, Statement, Values, stamp
from service.store.ids import milliseconds, time_of
from service.warnings import Code, SyncWarning

COUNTED_AT_MOST = 10_000
"""Beyond this number, a filtered history has no total, since counting would take too long."""
_LAST = "sync_~"
"""A text that sorts after every id."""
NO_LIMIT = 2**31 - 1
KEY_LIFETIME = timedelta(hours=24)
"""How long an Idempotency-Key identifies the same start."""

_LIVE = ", ".join(f"'{status}'" for status in sorted(LIVE))
_ENDED = ", ".join(f"'{status}'" for status in sorted(set(Status) - LIVE))

# A live sync of a forgotten connection would wait forever for a removed account.
_CONNECTED = """NOT EXISTS (
    SELECT 1 FROM connections WHERE id = :connection_id AND forgotten_at IS NOT NULL)"""

_CREATE = f"""
INSERT INTO sync_progress (id, user_id, tenant_id, connection_id, connector, status, stage,
                           progress, message, version, started_at, completed_at, updated_at, body,
                           warnings)
SELECT :id, :user_id, :tenant_id, :connection_id, :connector, :status, :stage,
       :progress, :message, :version, :started_at, :completed_at, :updated_at, :body, :warnings
 WHERE (SELECT COUNT(*) FROM sync_progress
         WHERE tenant_id = :tenant_id AND status IN ({_LIVE})) < :tenant_limit
   AND (SELECT COUNT(*) FROM sync_progress
         WHERE user_id = :user_id AND id >= :first_today
           AND started_at >= :today AND started_at < :tomorrow
           AND NOT EXISTS (SELECT 1 FROM notifications WHERE sync_id = sync_progress.id)
       ) < :day_limit
   AND NOT EXISTS (SELECT 1 FROM sync_progress WHERE user_id = :user_id AND id >= :id)
   AND (CAST(:due AS TEXT) IS NULL
        OR EXISTS (SELECT 1 FROM connections WHERE id = :connection_id AND schedule_next = :due))
   AND {_CONNECTED}
RETURNING id
"""
_SAVE = """
UPDATE sync_progress
   SET status = :status, stage = :stage, progress = :progress, message = :message,
       version = :version, completed_at = :completed_at, updated_at = :updated_at, body = :body,
       warnings = :warnings
 WHERE id = :id AND version = :version - 1  -- no row: another process was first
RETURNING id
"""
_REVIVE = _SAVE.replace(
    "RETURNING id",
    f"""  AND (SELECT COUNT(*) FROM sync_progress
         WHERE tenant_id = :tenant_id AND id <> :id AND status IN ({_LIVE})) < :tenant_limit
   AND {_CONNECTED}
RETURNING id""",
)
_INTERRUPT = f"""
UPDATE sync_progress SET version = version + 1 WHERE id = :id AND status IN ({_LIVE}) RETURNING id
"""
# Scalar subqueries: look-ups by the key, also before PostgreSQL has statistics of the table.
_CHANGES = """
SELECT rows.id AS id, (SELECT version FROM sync_progress WHERE id = rows.id) AS version,
       (SELECT body FROM sync_progress
         WHERE id = rows.id AND version <> CAST(rows.version AS BIGINT)) AS body
  FROM {rows}
"""
# Each half looks up an index: for one condition with OR, PostgreSQL reads the whole history.
_OF_USERS = f"""
SELECT (SELECT id FROM sync_progress WHERE user_id = rows.id AND status IN ({_LIVE})) AS id
  FROM {{rows}}
 UNION ALL
SELECT id FROM sync_progress
 WHERE completed_at >= :since AND (SELECT true FROM {{rows}} WHERE rows.id = user_id LIMIT 1)
"""
_COUNT_SYNC = """
INSERT INTO sync_counts (user_id, total, ahead) VALUES (:user_id, 1, :ahead)
    ON CONFLICT (user_id) DO UPDATE
   SET total = sync_counts.total + 1,
       ahead = CASE WHEN excluded.ahead > sync_counts.ahead THEN excluded.ahead
                    ELSE sync_counts.ahead END
"""
_FORGET_KEY = "DELETE FROM idempotency_keys WHERE user_id = :user_id AND key = :key AND at < :old"
_KEEP_KEY = """
INSERT INTO idempotency_keys (user_id, key, request, sync_id, at)
VALUES (:user_id, :key, :request, :sync_id, :at)
"""
_KEEP_UNUSED_KEY = f"""{_KEEP_KEY}
    ON CONFLICT (user_id, key) DO UPDATE
   SET request = excluded.request, sync_id = excluded.sync_id, at = excluded.at
 WHERE idempotency_keys.at < :old
RETURNING key
"""
_TOTAL = "SELECT total FROM sync_counts WHERE user_id = :user"
_HISTORY_FILTERS = {
    "connector": "connector = :connector",
    "connection_id": "connection_id = :connection_id",
    "since": "started_at >= :since AND id >= :since_id",
    "until": "started_at < :until AND id <= :until_id",
    "warnings": "warnings > 0",
}
# Old: ended long ago, and the connection has a newer sync with later checkpoints.
_OLD = f"""
SELECT id, user_id FROM sync_progress AS old
 WHERE status IN ({_ENDED}) AND completed_at < :before
   AND EXISTS (SELECT 1 FROM sync_progress AS newer
                WHERE newer.user_id = old.user_id AND newer.connection_id = old.connection_id
                  AND newer.id > old.id)
 ORDER BY completed_at LIMIT :limit
"""
_PRUNE_ITEMS = """
DELETE FROM sync_history_items WHERE (sync_id, dataset, record_id) IN (
    SELECT sync_id, dataset, record_id FROM sync_history_items WHERE sync_id = :id LIMIT :limit)
RETURNING 1
"""
# A sync that was resumed meanwhile is kept.
_PRUNE = f"DELETE FROM sync_progress WHERE id = :id AND status IN ({_ENDED}) RETURNING id"
_KEYS = {
    "audit_logs": ("id",),
    "idempotency_keys": ("user_id", "key"),
    "notifications": ("connection_id", "id"),
    "webhook_deliveries": ("id",),
}
"""The primary keys of the tables with expiring rows."""
_UNCOUNT = "UPDATE sync_counts SET total = total - 1 WHERE user_id = :user_id"


class Key(msgspec.Struct, frozen=True):
    """The idempotency key of a start."""

    #: The key as the client sent it.
    key: str
    #: The digest of the request with this key.
    request: str


class Conditions(msgspec.Struct, frozen=True):
    """The conditions for storing a new sync."""

    #: The tenant has fewer live syncs than this.
    live_of_tenant: int
    #: The user has started fewer syncs than this on the same day in UTC.
    started_today: int = NO_LIMIT
    #: This run of the connection's schedule has not been started yet; None for another start.
    due: datetime | None = None


class SyncStore:
    """The syncs. Only the registry writes them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ping(self) -> None:
        """Raises Unavailable if the database cannot be written now."""
        await self._engine.ping()

    async def write(self, guard: Statement, *rest: Statement) -> bool:
        """Write everything or nothing. Returns False if the guard returned no row."""
        return await self._engine.write(guard, [statement for statement in rest if statement.rows])

    async def wipe(self, thoroughly: bool = False) -> bool:
        """Remove deleted data from the files. Returns False while another program prevents it."""
        return await self._engine.wipe(thoroughly)

    # Syncs ------------------------------------------------------------------------------------

    async def create(
        self, sync: Sync, conditions: Conditions, key: Key | None = None, *rest: Statement
    ) -> bool:
        """Add a sync. Returns False if a condition does not hold or its connection was forgotten.
        Raises Refused if its user has a live or a newer sync, or has used the key."""
        today = midnight(sync.started_at)
        row = {
            **_row(sync),
            "tenant_limit": conditions.live_of_tenant,
            "day_limit": conditions.started_today,
            "first_today": first_id(today),
            "today": stamp(today),
            "tomorrow": stamp(today + timedelta(days=1)),
            "due": stamp(conditions.due) if conditions.due else None,
        }
        guard = Statement(_CREATE, [row], alone=_names(sync))
        keys = [_key_row(sync, key, sync.started_at)] if key else []
        created = await self.write(
            guard,
            Statement(_COUNT_SYNC, [{"user_id": sync.user, "ahead": _ahead(sync)}]),
            Statement(_FORGET_KEY, keys),
            Statement(_KEEP_KEY, keys),
            *rest,
        )
        if not created and await self.newest_id(sync.user) >= sync.id:
            raise Refused("The user has a newer sync.")
        return created

    async def keep_key(self, sync: Sync, key: Key, at: datetime) -> bool:
        """Assign the key to a sync that was started without it. Returns False if the key is in
        use."""
        return await self.write(Statement(_KEEP_UNUSED_KEY, [_key_row(sync, key, at)]))

    async def used_key(self, user: str, key: str, at: datetime) -> tuple[str, str] | None:
        """The digest of the request and the sync's id for a key of the last day, or None."""
        sql = """SELECT request, sync_id FROM idempotency_keys
                  WHERE user_id = :user AND key = :key AND at >= :old"""
        values = {"user": user, "key": key, "old": stamp(at - KEY_LIFETIME)}
        rows = await self._engine.read(sql, values)
        return (rows[0]["request"], rows[0]["sync_id"]) if rows else None

    async def sync(self, sync_id: str) -> Sync | None:
        return await self._one(
            "SELECT body, version FROM sync_progress WHERE id = :id", {"id": sync_id}
        )

    async def changes(self, known: Mapping[str, int]) -> Mapping[str, Sync | None]:
        """Those of the syncs whose stored version differs from the known one; None for a sync that
        does not exist."""
        table = {"id": list(known), "version": [str(version) for version in known.values()]}
        rows = await self._engine.fetch(_CHANGES, ("id", "version", "body"), {}, table)
        return {
            sync_id: _decode(body, version) if version else None
            for sync_id, version, body in rows
            if body or not version
        }

    async def of_users(self, users: Sequence[str], since: datetime) -> Sequence[str]:
        """The ids of the syncs of these users that are live or have ended since then."""
        values, table = {"since": stamp(since)}, {"id": users}
        rows = await self._engine.fetch(_OF_USERS, ("id",), values, table)
        return [row[0] for row in rows if row[0] is not None]

    async def interrupt(self, sync_id: str) -> bool:
        """Make the next version of a live sync, unchanged, so that the process that runs it is
        overtaken at its next write. Returns False if it is not live."""
        return await self.write(Statement(_INTERRUPT, [{"id": sync_id}]))

    async def live_sync(self, user: str) -> Sync | None:
        sql = f"""SELECT body, version FROM sync_progress
                   WHERE user_id = :user AND status IN ({_LIVE})"""
        return await self._one(sql, {"user": user})

    async def newest_sync(self, user: str) -> Sync | None:
        sql = """SELECT body, version FROM sync_progress
                  WHERE user_id = :user ORDER BY id DESC LIMIT 1"""
        return await self._one(sql, {"user": user})

    async def newest_id(self, user: str) -> str:
        """The greatest id of a user's syncs, that of the newest; empty for a user without syncs."""
        sql = "SELECT COALESCE(MAX(id), '') AS id FROM sync_progress WHERE user_id = :user"
        return str((await self._engine.read(sql, {"user": user}))[0]["id"])

    async def newest_of(
        self, user: str, connection_id: str, status: Status | None = None
    ) -> Sync | None:
        """The newest sync of a connection, or its newest one with this status."""
        filters = {"connection_id": connection_id} | ({"statuses": [status]} if status else {})
        syncs, _ = await self.history(user, filters, 1, before=_LAST)
        return syncs[0] if syncs else None

    async def unfinished(self) -> list[Sync]:
        """Every sync that is waiting or running, oldest first."""
        sql = """SELECT body, version FROM sync_progress WHERE status IN ('pending', 'in_progress')
                  ORDER BY id"""
        return [sync_of(row) for row in await self._engine.read(sql, {})]

    async def paused_before(self, moment: datetime) -> list[Sync]:
        """The syncs that have been paused since before this time."""
        sql = """SELECT body, version FROM sync_progress
                  WHERE status = 'paused' AND updated_at < :moment"""
        return [sync_of(row) for row in await self._engine.read(sql, {"moment": stamp(moment)})]

    async def recent(self, user: str, since: datetime, limit: int = 20) -> list[Sync]:
        """The user's live sync and, of their newest syncs, those that ended since then."""
        sql = f"""SELECT body, version
                    FROM (SELECT body, version, status, completed_at FROM sync_progress
                           WHERE user_id = :user ORDER BY id DESC LIMIT :limit) AS newest
                   WHERE status IN ({_ENDED}) AND completed_at >= :since"""
        values = {"user": user, "since": stamp(since), "limit": limit}
        ended = [sync_of(row) for row in await self._engine.read(sql, values)]
        live = await self.live_sync(user)
        return [*reversed(ended), *([live] if live else [])]

    async def live_of_tenant(self, tenant: str) -> int:
        sql = f"""SELECT COUNT(*) AS n FROM sync_progress
                   WHERE tenant_id = :tenant AND status IN ({_LIVE})"""
        return int((await self._engine.read(sql, {"tenant": tenant}))[0]["n"])

    async def started_between(self, user: str, since: datetime, until: datetime) -> int:
        """The number of syncs that a user started from `since` on and before `until`, without those
        that notifications started."""
        sql = """SELECT COUNT(*) AS n FROM sync_progress WHERE user_id = :user
                    AND id >= :first AND started_at >= :since AND started_at < :until
                    AND NOT EXISTS (SELECT 1 FROM notifications
                                     WHERE sync_id = sync_progress.id)"""
        values = {"first": first_id(since), "since": stamp(since), "until": stamp(until)}
        return int((await self._engine.read(sql, {"user": user, **values}))[0]["n"])

    # History ----------------------------------------------------------------------------------

    async def history(
        self,
        user: str,
        filters: Mapping[str, Any],
        limit: int,
        before: str | None = None,
        offset: int = 0,
    ) -> tuple[list[Sync], int | None]:
        """A page of syncs, newest first, and the total (see `count`). `before` is the last id of
        the page before; with it, the total is None."""
        where, values = await self._where(user, filters)
        if before:
            where, values = f"{where} AND id < :before", {**values, "before": before}
        counted = not filters and not before
        total = f", ({_TOTAL}) AS total" if counted else ""
        sql = f"""SELECT body, version{total} FROM sync_progress WHERE {where}
                  ORDER BY id DESC LIMIT :n OFFSET :m"""
        rows = await self._engine.read(sql, {**values, "n": limit, "m": offset})
        syncs = [sync_of(row) for row in rows]
        if before:
            return syncs, None
        if counted and rows:
            return syncs, rows[0]["total"]
        return syncs, await self.count(user, filters)

    async def count(self, user: str, filters: Mapping[str, Any]) -> int | None:
        """The number of syncs: exact without filters; with filters up to COUNTED_AT_MOST, else
        None."""
        if not filters:
            rows = await self._engine.read(_TOTAL, {"user": user})
            return int(rows[0]["total"]) if rows else 0
        where, values = await self._where(user, filters)
        sql = f"""SELECT COUNT(*) AS n FROM
                  (SELECT 1 FROM sync_progress WHERE {where} LIMIT :most) AS matching"""
        rows = await self._engine.read(sql, {**values, "most": COUNTED_AT_MOST + 1})
        return count if (count := int(rows[0]["n"])) <= COUNTED_AT_MOST else None

    async def _where(self, user: str, filters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        rows: Sequence[Values] = ()
        if "until" in filters:
            sql = "SELECT ahead FROM sync_counts WHERE user_id = :user"
            rows = await self._engine.read(sql, {"user": user})
        return _where(user, filters, timedelta(milliseconds=rows[0]["ahead"] if rows else 0))

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

    # Retention --------------------------------------------------------------------------------

    async def old_syncs(self, before: datetime, limit: int) -> list[tuple[str, str]]:
        """The ids and users of syncs that ended before this time and are no longer needed."""
        rows = await self._engine.read(_OLD, {"before": stamp(before), "limit": limit})
        return [(row["id"], row["user_id"]) for row in rows]

    async def prune_items(self, sync_id: str, limit: int) -> bool:
        """Delete at most `limit` items of a sync. Returns False if it has none."""
        return await self.write(Statement(_PRUNE_ITEMS, [{"id": sync_id, "limit": limit}]))

    async def prune(self, sync_id: str, user: str) -> None:
        """Delete a sync without items."""
        row = {"id": sync_id, "user_id": user}
        await self.write(Statement(_PRUNE, [row]), Statement(_UNCOUNT, [row]))

    async def prune_table(self, table: str, before: datetime, limit: int) -> bool:
        """Delete at most `limit` older rows of a table. Returns False if it has none."""
        key = ", ".join(_KEYS[table])
        # The age is named twice, so that PostgreSQL reads no whole table to find the keys in it.
        sql = f"""DELETE FROM {table} WHERE at < :before AND ({key}) IN (
                      SELECT {key} FROM {table} WHERE at < :before LIMIT :limit) RETURNING 1"""
        return await self.write(Statement(sql, [{"before": stamp(before), "limit": limit}]))

    async def cap_future_times(self, table: str, column: str, now: datetime) -> None:
        """Set times in the future to now. A clock that was set back leaves such times, with which
        rows would expire too late."""
        sql = f"UPDATE {table} SET {column} = :now WHERE {column} > :now RETURNING 1"
        await self.write(Statement(sql, [{"now": stamp(now)}]))

    async def _one(self, sql: str, values: Values) -> Sync | None:
        rows = await self._engine.read(sql, values)
        return sync_of(rows[0]) if rows else None


def save(sync: Sync) -> Statement:
    """The guarded write of a sync. It succeeds only if the version before is the stored one."""
    return Statement(_SAVE, [_row(sync)])


def revive(sync: Sync, tenant_limit: int) -> Statement:
    """The guarded write that makes a sync live again. It succeeds only if the tenant may have one
    more live sync and the connection was not forgotten."""
    row = {**_row(sync), "tenant_limit": tenant_limit}
    return Statement(_REVIVE, [row], alone=_names(sync))


def first_id(moment: datetime) -> str:
    """The least id of a sync that starts at this time or later (uuid7, RFC 9562)."""
    return f"sync_{milliseconds(moment):012x}"


def midnight(moment: datetime) -> datetime:
    """The beginning of the day in UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _names(sync: Sync) -> tuple[str, ...]:
    """Names of what a start checks beyond its own row: the syncs of the tenant, and the
    connection."""
    return (f"tenant {sync.tenant}", connection_name(sync.connection_id))


def _ahead(sync: Sync) -> int:
    """Milliseconds by which the time in the sync's id is after its start."""
    try:
        return max(0, time_of(sync.id.removeprefix("sync_")) - milliseconds(sync.started_at))
    except ValueError:  # an id that this service did not create
        return 0


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
        "warnings": len(sync.warnings),
        "version": sync.version,
        "started_at": stamp(sync.started_at),
        "completed_at": stamp(sync.completed_at) if sync.completed_at else None,
        "updated_at": stamp(sync.updated_at),
        "body": msgspec.json.encode(sync).decode(),
    }


def _key_row(sync: Sync, key: Key, at: datetime) -> dict[str, Any]:
    return {
        "user_id": sync.user,
        "key": key.key,
        "request": key.request,
        "sync_id": sync.id,
        "at": stamp(at),
        "old": stamp(at - KEY_LIFETIME),
    }


def sync_of(row: Values) -> Sync:
    """The sync of a row with `body` and `version`."""
    return _decode(row["body"], row["version"])


def _decode(body: str, version: int) -> Sync:
    """The sync, with the version of its row, which `interrupt` may have raised."""
    try:
        sync = _decoder.decode(body)
    except msgspec.ValidationError:
        sync = msgspec.convert(_with_warnings(msgspec.json.decode(body)), Sync)
    return sync if sync.version == version else msgspec.structs.replace(sync, version=version)


def _with_warnings(body: dict[str, Any]) -> dict[str, Any]:
    """A sync that was stored when warnings were texts."""
    texts = body.get("warnings", ())
    return body | {"warnings": [SyncWarning(Code.SOURCE, str(text)) for text in texts]}


def _where(user: str, filters: Mapping[str, Any], ahead: timedelta) -> tuple[str, dict[str, Any]]:
    """`ahead` is how far the time in an id of this user may be after the start of its sync."""
    values = {"user": user, **filters}
    # One parameter for each status: otherwise SQLite does not use the index of a rare status.
    statuses = {f"status{n}": status for n, status in enumerate(values.pop("statuses", ()))}
    clauses = ["user_id = :user", *(_HISTORY_FILTERS[name] for name in values if name != "user")]
    if statuses:
        clauses.append(f"status IN ({', '.join(f':{name}' for name in statuses)})")
    values |= statuses
    # Ids grow with time, so a span of time is a range of ids, extended by `ahead`.
    if "since" in filters:
        values["since_id"] = first_id(datetime.fromisoformat(filters["since"]))
    if "until" in filters:
        until = datetime.fromisoformat(filters["until"])
        values["until_id"] = first_id(until + ahead + timedelta(milliseconds=1))
    return " AND ".join(clauses), values


_decoder = msgspec.json.Decoder(Sync)
