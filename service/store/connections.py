"""Connections with encrypted credentials and schedules, and learned values."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from service.model import LIVE
from service.store.changes import lost_event
from service.store.engine import Engine, Statement, Values, stamp

UNDECRYPTABLE = (
    "The stored credentials cannot be decrypted: SECRETS_KEYS lacks the key that they were "
    "encrypted with. Restore it, or reconnect the account."
)
"""The reason of a lost connection that its source has not refused."""
_OF_A_CONNECTION = (
    *("learned", "landed", "dataset_days", "closed_gaps", "comparisons", "unannounced"),
    "notifications",
)
_ERASED_AT_ONCE = ("claims", "removals_received", "outbox", "webhook_deliveries")

_LIVE = ", ".join(f"'{status}'" for status in sorted(LIVE))

_CONNECT = """
INSERT INTO connections (id, user_id, tenant_id, connector, settings, realm, name, credentials,
                         created_at, checked_at, status_since, authorised_until, account_id,
                         account_confirmed, token_digest)
VALUES (:id, :user_id, :tenant_id, :connector, :settings, :realm, :name, :credentials,
        :created_at, :created_at, :created_at, :authorised_until, :account_id,
        :account_confirmed, :token_digest)
RETURNING id
"""
_RECONNECT = """
UPDATE connections
   SET credentials = :credentials, name = :name, checked_at = :at, lost = NULL,
       status_since = :at, authorised_until = :authorised_until, account_id = :account_id,
       account_confirmed = :account_confirmed, token_digest = :token_digest
 WHERE id = :id AND forgotten_at IS NULL
   AND (account_id IS NULL OR account_id = :account_id)
RETURNING id
"""
_CONFIRM_ACCOUNT = """
UPDATE connections
   SET account_id = :account_id, account_confirmed = 1, token_digest = :token_digest
 WHERE id = :id AND forgotten_at IS NULL
   AND (account_id IS NULL OR account_id = :account_id)
   AND (token_digest IS NULL OR token_digest = :token_digest)
RETURNING id
"""
_IDENTIFY = """
UPDATE connections SET token_digest = :token_digest WHERE id = :id AND token_digest IS NULL
RETURNING id
"""
_HOLDER = """
SELECT id FROM connections
 WHERE user_id = :user_id AND connector = :connector AND realm = :realm
   AND id <> :id AND forgotten_at IS NULL
   AND (account_id = :account_id OR token_digest = :token_digest)
 ORDER BY id LIMIT 1
"""
# Certainly the same account; or probably, if the account of one is unknown.
_TWINS = """
SELECT twin.id FROM connections AS twin JOIN connections AS own
    ON twin.user_id = own.user_id AND twin.connector = own.connector
   AND twin.realm = own.realm AND twin.id <> own.id
 WHERE own.id = :id
   AND (twin.account_id = own.account_id
        OR ((twin.account_id IS NULL OR own.account_id IS NULL)
            AND (twin.token_digest = own.token_digest
                 OR (twin.name = own.name AND twin.settings = own.settings))))
 ORDER BY twin.id
"""
_ROTATE = """
UPDATE connections SET credentials = :new WHERE id = :id AND credentials = :old RETURNING id
"""
# The status changes only between connected and lost: a new reason is not a new status.
_CHECKED = """
UPDATE connections
   SET checked_at = :checked_at, lost = :lost,
       status_since = CASE WHEN (lost IS NULL) = (CAST(:lost AS TEXT) IS NULL) THEN status_since
                           ELSE :at END,
       authorised_until = coalesce(:authorised_until, authorised_until)
 WHERE id = :id AND forgotten_at IS NULL RETURNING id
"""
_FORGET = f"""
UPDATE connections
   SET credentials = NULL, forgotten_at = :at, erasing = :erasing,
       name = CASE WHEN CAST(:erasing AS TEXT) IS NULL THEN name ELSE '' END,
       given_name = CASE WHEN CAST(:erasing AS TEXT) IS NULL THEN given_name END,
       schedule_cron = NULL, schedule_timezone = NULL, schedule_next = NULL, schedule_plan = NULL
 WHERE id = :id AND forgotten_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM sync_progress
                    WHERE user_id = connections.user_id AND connection_id = connections.id
                      AND status IN ({_LIVE}))
RETURNING id
"""
_ERASE_SOME = """
DELETE FROM records WHERE (connection_id, dataset, id) IN (
    SELECT connection_id, dataset, id FROM records WHERE connection_id = :id LIMIT :limit)
RETURNING 1
"""
_ERASED = "UPDATE connections SET erasing = NULL WHERE id = :id RETURNING id"
_ERASE_ACCOUNT = "UPDATE connections SET account_id = NULL, token_digest = NULL WHERE id = :id"
_RENAME = """
UPDATE connections SET given_name = :name WHERE id = :id AND forgotten_at IS NULL RETURNING id
"""
_SCHEDULE = """
UPDATE connections
   SET schedule_cron = :cron, schedule_timezone = :timezone, schedule_next = :next,
       schedule_plan = :plan
 WHERE id = :id AND forgotten_at IS NULL
RETURNING id
"""
_DUE = """
SELECT * FROM connections WHERE schedule_next IS NOT NULL AND schedule_next <= :now
 ORDER BY schedule_next LIMIT :limit
"""
_POSTPONE = """
UPDATE connections SET schedule_next = :next WHERE id = :id AND schedule_next = :due RETURNING id
"""
_LEARN = """
INSERT INTO learned (connection_id, name, value) VALUES (:connection_id, :name, :value)
    ON CONFLICT (connection_id, name) DO UPDATE SET value = excluded.value
"""


def connection_name(connection_id: str) -> str:
    """The name in `Statement.alone` of writes that depend on a connection's existence."""
    return f"connection {connection_id}"


class Schedule(msgspec.Struct, frozen=True):
    """The schedule of a connection's automatic syncs."""

    #: Five fields of cron, read in `timezone`.
    cron: str
    #: The name of an IANA time zone.
    timezone: str
    #: The next run, in UTC; None while the schedule is disabled.
    next: datetime | None
    #: The user's plan when they set the schedule. It applies to scheduled syncs.
    plan: str = ""


class Run(msgspec.Struct, frozen=True):
    """A run of a schedule, and the one after it."""

    due: datetime
    next: datetime


class StoredConnection(msgspec.Struct, frozen=True):
    """A stored connection, with encrypted credentials."""

    id: str
    #: The id of its user (`service.users.user_id`).
    user: str
    tenant: str
    connector: str
    #: The public settings, by their names in JSON.
    settings: Mapping[str, Any]
    #: The settings that distinguish accounts with the same id, as one text.
    realm: str
    #: The source's name of the account.
    name: str
    #: The secret settings, encrypted; None after the connection is forgotten.
    credentials: str | None
    created_at: datetime
    checked_at: datetime | None = None
    #: The reason why no sync can use the connection; None while it is usable.
    lost: str | None = None
    schedule: Schedule | None = None
    #: The source's own id of the account; None until the source returns it.
    account_id: str | None = None
    #: Whether the source has returned the account for these credentials.
    account_confirmed: bool = False
    #: Identifies the credentials; None for no credentials.
    token_digest: str | None = None
    #: The name that the user gave; None if they gave none.
    given_name: str | None = None
    #: When it was lost; else when it was created, reconnected or last recovered. None if unknown.
    status_since: datetime | None = None
    #: When the authorisation ends; None if the source does not report it.
    authorised_until: datetime | None = None

    @property
    def shown_name(self) -> str:
        """The name that the user gave, else that of the source."""
        return self.given_name or self.name

    @property
    def refused(self) -> str | None:
        """The reason why the source refuses the credentials, or None. A sync could only pause."""
        return None if self.lost == UNDECRYPTABLE else self.lost

    @property
    def unconfirmed(self) -> bool:
        """Whether the credentials may belong to a different account than the connection."""
        return self.account_id is not None and not self.account_confirmed


class ConnectionStore:
    """The connections. Only `service.connections` writes here."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def connect(
        self, connection: StoredConnection, learned: Mapping[str, str], *rest: Statement
    ) -> None:
        """Add a connection. Raises Refused if another connection of the user has its account."""
        row = {
            **_identity_row(connection),
            "user_id": connection.user,
            "tenant_id": connection.tenant,
            "connector": connection.connector,
            "settings": msgspec.json.encode(connection.settings, order="sorted").decode(),
            "realm": connection.realm,
            "name": connection.name,
            "credentials": connection.credentials,
            "created_at": stamp(connection.created_at),
            "authorised_until": _stamp(connection.authorised_until),
        }
        await self._write(_CONNECT, row, learn(connection.id, learned), *rest)

    async def reconnect(
        self,
        connection: StoredConnection,
        at: datetime,
        learned: Mapping[str, str],
        *rest: Statement,
    ) -> bool:
        """Replace the credentials. Returns False if the connection was forgotten or belongs to a
        different account. Raises Refused if another connection of the user has its account."""
        row = {
            **_identity_row(connection),
            "credentials": connection.credentials,
            "name": connection.name,
            "at": stamp(at),
            "authorised_until": _stamp(connection.authorised_until),
        }
        return await self._write(_RECONNECT, row, learn(connection.id, learned), *rest)

    async def confirm_account(self, connection: StoredConnection) -> bool:
        """Store the account that the source returned for these credentials. Returns False if the
        connection belongs to a different account, has other credentials, or was forgotten. Raises
        Refused if another connection of the user has its account."""
        return await self._write(_CONFIRM_ACCOUNT, _identity_row(connection))

    async def identify(self, connection_id: str, token_digest: str) -> bool:
        """Add the missing digest of credentials. Raises Refused if another connection of the user
        has the same credentials."""
        return await self._write(_IDENTIFY, {"id": connection_id, "token_digest": token_digest})

    async def holder(self, connection: StoredConnection) -> str | None:
        """The other connection of the user with the same account or the same credentials."""
        owner = {
            "user_id": connection.user,
            "connector": connection.connector,
            "realm": connection.realm,
        }
        rows = await self._engine.read(_HOLDER, _identity_row(connection) | owner)
        return str(rows[0]["id"]) if rows else None

    async def twins(self, connection_id: str) -> list[str]:
        """The other connections of the same account, including forgotten ones."""
        return [row["id"] for row in await self._engine.read(_TWINS, {"id": connection_id})]

    async def rotate(self, connection_id: str, old: str, new: str) -> bool:
        """Store the same credentials, encrypted with another key. Returns False if they have
        changed."""
        return await self._write(_ROTATE, {"id": connection_id, "old": old, "new": new})

    async def all_credentials(self) -> list[tuple[str, str]]:
        """The ids and encrypted credentials of all connections with credentials."""
        sql = "SELECT id, credentials FROM connections WHERE credentials IS NOT NULL ORDER BY id"
        return [(row["id"], row["credentials"]) for row in await self._engine.read(sql, {})]

    async def of_user(self, user: str, forgotten: bool = False) -> list[StoredConnection]:
        """A user's connections; with `forgotten`, also those whose records were kept."""
        sql = f"""SELECT * FROM connections WHERE user_id = :user AND erasing IS NULL
                  {"" if forgotten else "AND forgotten_at IS NULL"} ORDER BY id"""
        return [_connection(row) for row in await self._engine.read(sql, {"user": user})]

    async def one(self, connection_id: str) -> StoredConnection | None:
        sql = "SELECT * FROM connections WHERE id = :id AND forgotten_at IS NULL"
        rows = await self._engine.read(sql, {"id": connection_id})
        return _connection(rows[0]) if rows else None

    async def learned(self, connection_id: str) -> dict[str, str]:
        sql = "SELECT name, value FROM learned WHERE connection_id = :id"
        return {r["name"]: r["value"] for r in await self._engine.read(sql, {"id": connection_id})}

    async def checked(
        self,
        connection_id: str,
        at: datetime,
        lost: str | None,
        learned: Mapping[str, str],
        authorised_until: datetime | None = None,
    ) -> None:
        """Store the result of a check. `lost` is the reason why the source refuses the
        credentials."""
        row = {
            "id": connection_id,
            "at": stamp(at),
            "checked_at": None if lost else stamp(at),
            "lost": lost,
            "authorised_until": _stamp(authorised_until),
        }
        before = await self.one(connection_id) if lost else None
        news = [lost_event(connection_id, at, lost)] if lost and before and not before.lost else []
        await self._write(_CHECKED, row, learn(connection_id, learned), *news)

    async def rename(self, connection_id: str, name: str, *rest: Statement) -> bool:
        """Store the name that the user gave. Returns False if the connection was forgotten
        meanwhile."""
        return await self._write(_RENAME, {"id": connection_id, "name": name}, *rest)

    async def forget(self, connection_id: str, at: datetime, erase: bool, *rest: Statement) -> bool:
        """Erase the credentials. With `erase`, also erase the claims and the user's reports on
        removals, and hide the records until `service.erasing` has deleted them. Returns False if a
        sync of the connection is live."""
        gone = [{"id": connection_id}]
        tables = (*_OF_A_CONNECTION, *(_ERASED_AT_ONCE if erase else ()))
        deletes = [f"DELETE FROM {table} WHERE connection_id = :id" for table in tables]
        deletes += [_ERASE_ACCOUNT] if erase else []
        row = {"id": connection_id, "at": stamp(at), "erasing": stamp(at) if erase else None}
        guard = Statement(_FORGET, [row], alone=(connection_name(connection_id),))
        statements = [*(Statement(sql, gone) for sql in deletes), *rest]
        return await self._engine.write(guard, [one for one in statements if one.rows])

    # Erasing ----------------------------------------------------------------------------------

    async def erasing(self) -> list[StoredConnection]:
        """The connections whose data is being erased, the oldest request first."""
        sql = "SELECT * FROM connections WHERE erasing IS NOT NULL ORDER BY erasing"
        return [_connection(row) for row in await self._engine.read(sql, {})]

    async def erase_some(self, connection_id: str, limit: int) -> bool:
        """Delete at most `limit` records of a connection. Returns False if it has none."""
        return await self._write(_ERASE_SOME, {"id": connection_id, "limit": limit})

    async def erased(self, connection_id: str) -> None:
        """Mark the erasure as complete."""
        await self._write(_ERASED, {"id": connection_id})

    # Schedules --------------------------------------------------------------------------------

    async def schedule(
        self, connection_id: str, schedule: Schedule | None, *rest: Statement
    ) -> bool:
        """Set or remove the schedule. Returns False if the connection was forgotten meanwhile."""
        row = {"id": connection_id, "cron": None, "timezone": None, "next": None, "plan": None}
        if schedule:
            row |= {
                "cron": schedule.cron,
                "timezone": schedule.timezone,
                "next": _stamp(schedule.next),
                "plan": schedule.plan,
            }
        return await self._write(_SCHEDULE, row, *rest)

    async def due(self, now: datetime, limit: int = 100) -> list[StoredConnection]:
        """The connections whose run is due, the oldest first."""
        rows = await self._engine.read(_DUE, {"now": stamp(now), "limit": limit})
        return [_connection(row) for row in rows]

    async def scheduled(self, after: str, limit: int = 100) -> list[StoredConnection]:
        """A page of connections with a schedule, ordered by id, after the id `after`."""
        sql = """SELECT * FROM connections WHERE schedule_next IS NOT NULL AND id > :after
                  ORDER BY id LIMIT :limit"""
        rows = await self._engine.read(sql, {"after": after, "limit": limit})
        return [_connection(row) for row in rows]

    async def postpone(self, connection_id: str, run: Run) -> bool:
        """Replace a run with the one after it. Returns False if another process was first."""
        return await self._engine.write(replace_run_statement(connection_id, run), [])

    async def _write(self, sql: str, row: Values, *rest: Statement) -> bool:
        more = [statement for statement in rest if statement.rows]
        return await self._engine.write(Statement(sql, [row]), more)


def replace_run_statement(connection_id: str, run: Run) -> Statement:
    """The statement that replaces a run of a schedule with the one after it."""
    return Statement(
        _POSTPONE, [{"id": connection_id, "due": stamp(run.due), "next": stamp(run.next)}]
    )


def learn(connection_id: str, learned: Mapping[str, str]) -> Statement:
    """The statement that stores what a connector learned about a connection."""
    rows = [{"connection_id": connection_id, "name": k, "value": v} for k, v in learned.items()]
    return Statement(_LEARN, rows)


def _connection(row: Values) -> StoredConnection:
    return StoredConnection(
        id=row["id"],
        user=row["user_id"],
        tenant=row["tenant_id"],
        connector=row["connector"],
        settings=msgspec.json.decode(row["settings"], type=dict[str, Any]),
        realm=row["realm"],
        name=row["name"],
        credentials=row["credentials"],
        created_at=datetime.fromisoformat(row["created_at"]),
        checked_at=_moment(row["checked_at"]),
        lost=row["lost"],
        schedule=schedule_of(row),
        account_id=row["account_id"],
        account_confirmed=bool(row["account_confirmed"]),
        token_digest=row["token_digest"],
        given_name=row["given_name"],
        status_since=_moment(row["status_since"]),
        authorised_until=_moment(row["authorised_until"]),
    )


def _identity_row(connection: StoredConnection) -> dict[str, Any]:
    return {
        "id": connection.id,
        "account_id": connection.account_id,
        "account_confirmed": int(connection.account_confirmed),
        "token_digest": connection.token_digest,
    }


def schedule_of(row: Values) -> Schedule | None:
    """The schedule in the columns of a connection."""
    cron: Any = row["schedule_cron"]
    if cron is None:
        return None
    due = _moment(row["schedule_next"])
    return Schedule(cron, row["schedule_timezone"], due, row["schedule_plan"] or "")


def _stamp(moment: datetime | None) -> str | None:
    return stamp(moment) if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
