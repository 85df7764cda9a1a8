"""Connections with encrypted credentials and schedules, learned values, and consents."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from service.model import LIVE
from service.store.engine import Engine, Statement, Values, stamp

UNDECRYPTABLE = (
    "The stored credentials cannot be decrypted: SECRETS_KEYS lacks the key that they were "
    "encrypted with. Restore it, or reconnect the account."
)
"""Why a connection is lost although its source has not refused it."""
CONSENT_LIFETIME = timedelta(minutes=15)
_OF_A_CONNECTION = ("learned", "landed", "dataset_days", "closed_gaps")

_LIVE = ", ".join(f"'{status}'" for status in sorted(LIVE))

_CONNECT = """
INSERT INTO connections (id, user_id, tenant_id, connector, settings, realm, name, credentials,
                         created_at, checked_at, account_id, account_confirmed, token_digest)
VALUES (:id, :user_id, :tenant_id, :connector, :settings, :realm, :name, :credentials,
        :created_at, :created_at, :account_id, :account_confirmed, :token_digest)
RETURNING id
"""
_RECONNECT = """
UPDATE connections
   SET credentials = :credentials, name = :name, checked_at = :at, lost = NULL,
       account_id = :account_id, account_confirmed = :account_confirmed,
       token_digest = :token_digest
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
_CHECKED = """
UPDATE connections SET checked_at = :at, lost = :lost
 WHERE id = :id AND forgotten_at IS NULL RETURNING id
"""
_FORGET = f"""
UPDATE connections
   SET credentials = NULL, forgotten_at = :at, erasing = :erasing,
       name = CASE WHEN :erasing IS NULL THEN name ELSE '' END,
       schedule_cron = NULL, schedule_timezone = NULL, schedule_next = NULL, schedule_plan = NULL
 WHERE id = :id AND forgotten_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM sync_progress
                    WHERE user_id = connections.user_id AND connection_id = connections.id
                      AND status IN ({_LIVE}))
RETURNING id
"""
_ERASE_SOME = """
DELETE FROM records WHERE rowid IN (
    SELECT rowid FROM records WHERE connection_id = :id LIMIT :limit)
RETURNING 1
"""
_ERASED = "UPDATE connections SET erasing = NULL WHERE id = :id RETURNING id"
_ERASE_ACCOUNT = "UPDATE connections SET account_id = NULL, token_digest = NULL WHERE id = :id"
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


class Schedule(msgspec.Struct, frozen=True):
    """When syncs of a connection start automatically."""

    #: Five fields of cron, read in `timezone`.
    cron: str
    #: The name of an IANA time zone.
    timezone: str
    #: The next run, in UTC.
    next: datetime
    #: The user's plan when they set the schedule. It applies to scheduled syncs.
    plan: str = ""


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
    name: str
    #: The secret settings, encrypted; None after the connection is forgotten.
    credentials: str | None
    created_at: datetime
    checked_at: datetime | None = None
    #: Why no sync can use the connection; None while it is usable.
    lost: str | None = None
    schedule: Schedule | None = None
    #: The source's own id of the account; None until the source returns it.
    account_id: str | None = None
    #: Whether the source has returned the account for these credentials.
    account_confirmed: bool = False
    #: Identifies the credentials; None for no credentials.
    token_digest: str | None = None

    @property
    def refused(self) -> str | None:
        """Why the source refuses the credentials, or None. A sync could only pause."""
        return None if self.lost == UNDECRYPTABLE else self.lost

    @property
    def unconfirmed(self) -> bool:
        """Whether the credentials may belong to another account than the connection."""
        return self.account_id is not None and not self.account_confirmed


class ConnectionStore:
    """The connections. Only `service.connections` and `service.consents` write here."""

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
        }
        await self._write(_CONNECT, row, learn(connection.id, learned), *rest)

    async def reconnect(
        self,
        connection: StoredConnection,
        at: datetime,
        learned: Mapping[str, str],
        *rest: Statement,
    ) -> bool:
        """Replace the credentials. False if the connection was forgotten or has another account;
        raises Refused if another connection of the user has its account."""
        row = {
            **_identity_row(connection),
            "credentials": connection.credentials,
            "name": connection.name,
            "at": stamp(at),
        }
        return await self._write(_RECONNECT, row, learn(connection.id, learned), *rest)

    async def confirm_account(self, connection: StoredConnection) -> bool:
        """Store the account that the source returned for these credentials. False if the connection
        has another account or other credentials, or was forgotten; raises Refused if another
        connection of the user has its account."""
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
        """Store the same credentials, encrypted with another key. False if they have changed."""
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
        self, connection_id: str, at: datetime, lost: str | None, learned: Mapping[str, str]
    ) -> None:
        row = {"id": connection_id, "at": None if lost else stamp(at), "lost": lost}
        await self._write(_CHECKED, row, learn(connection_id, learned))

    async def forget(self, connection_id: str, at: datetime, erase: bool, *rest: Statement) -> bool:
        """Erase the credentials. With `erase`, also erase the claims, and hide the records until
        `service.erasing` has deleted them. False if a sync of the connection is live."""
        gone = [{"id": connection_id}]
        tables = (*_OF_A_CONNECTION, *(["claims"] if erase else []))
        deletes = [f"DELETE FROM {table} WHERE connection_id = :id" for table in tables]
        deletes += [_ERASE_ACCOUNT] if erase else []
        return await self._write(
            _FORGET,
            {"id": connection_id, "at": stamp(at), "erasing": stamp(at) if erase else None},
            *(Statement(sql, gone) for sql in deletes),
            *rest,
        )

    # Erasing ----------------------------------------------------------------------------------

    async def erasing(self) -> list[StoredConnection]:
        """The connections whose data is being erased, the oldest request first."""
        sql = "SELECT * FROM connections WHERE erasing IS NOT NULL ORDER BY erasing"
        return [_connection(row) for row in await self._engine.read(sql, {})]

    async def erase_some(self, connection_id: str, limit: int) -> bool:
        """Delete at most `limit` records of a connection; False if it has none."""
        return await self._write(_ERASE_SOME, {"id": connection_id, "limit": limit})

    async def erased(self, connection_id: str) -> None:
        """Mark the erasure as complete."""
        await self._write(_ERASED, {"id": connection_id})

    # Schedules --------------------------------------------------------------------------------

    async def schedule(
        self, connection_id: str, schedule: Schedule | None, *rest: Statement
    ) -> bool:
        """Set or remove the schedule. False if the connection was forgotten meanwhile."""
        row = {"id": connection_id, "cron": None, "timezone": None, "next": None, "plan": None}
        if schedule:
            row |= {
                "cron": schedule.cron,
                "timezone": schedule.timezone,
                "next": stamp(schedule.next),
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

    async def postpone(self, connection_id: str, due: datetime, next: datetime) -> bool:
        """Replace the next run `due` with `next`. False if another process was first."""
        row = {"id": connection_id, "due": stamp(due), "next": stamp(next)}
        return await self._write(_POSTPONE, row)

    # Consents ---------------------------------------------------------------------------------

    async def begin_consent(self, state: str, user: str, at: datetime, body: str) -> None:
        """Store a consent, and delete those that have expired."""
        row = {"state": state, "user_id": user, "at": stamp(at), "body": body}
        old = [{"before": stamp(at - CONSENT_LIFETIME)}]
        await self._write(
            _BEGIN_CONSENT,
            row,
            Statement("DELETE FROM consents WHERE begun_at < :before", old),
        )

    async def end_consent(self, state: str, user: str, at: datetime) -> str | None:
        """Remove the consent of this state and return its body. None if it has expired, was used
        before, or belongs to another user."""
        values = {"state": state, "user": user, "since": stamp(at - CONSENT_LIFETIME)}
        rows = await self._engine.read(_CONSENT, values)
        ours = await self._write(_END_CONSENT, values)
        return str(rows[0]["body"]) if rows and ours else None

    async def _write(self, sql: str, row: Values, *rest: Statement) -> bool:
        more = [statement for statement in rest if statement.rows]
        return await self._engine.write(Statement(sql, [row]), more)


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
        checked_at=datetime.fromisoformat(row["checked_at"]) if row["checked_at"] else None,
        lost=row["lost"],
        schedule=_schedule(row),
        account_id=row["account_id"],
        account_confirmed=bool(row["account_confirmed"]),
        token_digest=row["token_digest"],
    )


def _identity_row(connection: StoredConnection) -> dict[str, Any]:
    return {
        "id": connection.id,
        "account_id": connection.account_id,
        "account_confirmed": int(connection.account_confirmed),
        "token_digest": connection.token_digest,
    }


def _schedule(row: Values) -> Schedule | None:
    cron: Any = row["schedule_cron"]
    if cron is None:
        return None
    due = datetime.fromisoformat(row["schedule_next"])
    return Schedule(cron, row["schedule_timezone"], due, row["schedule_plan"] or "")
