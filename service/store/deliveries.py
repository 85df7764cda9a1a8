"""Deliveries of events to webhooks. A row is an entry of the log, and while it is pending also an
entry of the queue.

Any number of processes may send: each claims a delivery before it sends it. A claim ends by itself,
so another process sends the delivery of one that died."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from service.store.engine import Engine, Statement, Values, stamp

MAX_ATTEMPTS = 50
"""Maximum attempts of a delivery that the log keeps: the newest."""

_ADD = """
INSERT INTO webhook_deliveries (id, webhook_id, event_id, type, sync_id, connection_id, tx, seq, at,
                                body, status, attempts, tries, next_attempt_at)
VALUES (:id, :webhook_id, :event_id, :type, :sync_id, :connection_id, :tx, :seq, :at,
        :body, 'pending', '[]', 0, :at)
"""
_DUE = """
status = 'pending' AND next_attempt_at <= :now AND (claimed_until IS NULL OR claimed_until <= :now)
"""
# The events of a sync are sent in the order of the feed.
_NEXT = f"""
SELECT * FROM webhook_deliveries AS own
 WHERE webhook_id = :webhook_id AND {_DUE}
   AND (sync_id = '' OR NOT EXISTS (
        SELECT 1 FROM webhook_deliveries AS earlier
         WHERE earlier.webhook_id = own.webhook_id AND earlier.sync_id = own.sync_id
           AND earlier.status = 'pending'
           AND (earlier.tx, earlier.seq, earlier.id) < (own.tx, own.seq, own.id)))
 ORDER BY tx, seq, id LIMIT :limit
"""
_WITH_DUE = f"""
SELECT id FROM webhooks
 WHERE enabled = 1
   AND EXISTS (SELECT 1 FROM webhook_deliveries WHERE webhook_id = webhooks.id AND {_DUE})
"""
_OVERDUE = f"""
SELECT MIN((SELECT MIN(next_attempt_at) FROM webhook_deliveries
             WHERE webhook_id = webhooks.id AND {_DUE})) AS at
  FROM webhooks WHERE enabled = 1
"""
_CLAIM = f"""
UPDATE webhook_deliveries SET claimed_until = :until WHERE id = :id AND {_DUE}
   AND EXISTS (SELECT 1 FROM webhooks WHERE webhooks.id = webhook_id AND enabled = 1)
RETURNING id
"""
_FINISH = """
UPDATE webhook_deliveries
   SET status = :status, attempts = :attempts, tries = :tries, next_attempt_at = :next,
       claimed_until = NULL
 WHERE id = :id AND status = 'pending' AND claimed_until = :claimed_until RETURNING id
"""
# Later deliveries of its sync are not due before it, and are due at once when it has ended.
_BEHIND = """
UPDATE webhook_deliveries SET next_attempt_at = :next
 WHERE webhook_id = :webhook_id AND sync_id = :sync_id AND status = 'pending' AND id <> :id
"""
_DELAY = f"{_BEHIND} AND next_attempt_at < :next"
_RELEASE = f"{_BEHIND} AND next_attempt_at > :next AND tries = 0"
_DISABLE = "UPDATE webhooks SET enabled = 0, disabled_reason = :reason WHERE id = :webhook_id"
_RETRY = """
UPDATE webhook_deliveries SET status = 'pending', tries = 0, next_attempt_at = :now
 WHERE id = :id AND webhook_id = :webhook_id RETURNING id
"""
_FILTERS = {"status": "status = :status", "type": "type = :type", "event": "event_id = :event"}


class DeliveryStatus(StrEnum):
    """The status of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class DeliveryAttempt(msgspec.Struct, frozen=True):
    """One request to a receiver."""

    at: datetime
    #: The status of the response; None without one.
    status: int | None
    #: The reason why it failed; None if it was delivered.
    error: str | None
    ms: int


class StoredDelivery(msgspec.Struct, frozen=True):
    """An event for a webhook."""

    id: str
    webhook_id: str
    event_id: str
    type: str
    #: Empty for an event that belongs to no sync.
    sync_id: str
    #: Empty for an event that belongs to no connection.
    connection_id: str
    #: The place of the event in the feed.
    tx: int
    seq: int
    at: datetime
    #: The body that is sent: the event as JSON.
    body: str
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: tuple[DeliveryAttempt, ...] = ()
    #: Attempts since the first one, or since a retry.
    tries: int = 0
    next_attempt_at: datetime | None = None
    claimed_until: datetime | None = None


def added(deliveries: Sequence[StoredDelivery]) -> Statement:
    """The statement that adds deliveries, due at once."""
    names = ("id", "webhook_id", "event_id", "type", "sync_id", "connection_id", "tx", "seq")
    rows = [
        {name: getattr(one, name) for name in names} | {"body": one.body, "at": stamp(one.at)}
        for one in deliveries
    ]
    return Statement(_ADD, rows)


class DeliveryStore:
    """The deliveries of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, delivery: StoredDelivery) -> None:
        await self._engine.write(Statement("SELECT 1 AS n", [{}]), [added([delivery])])

    async def page(
        self, webhook_id: str, filters: Mapping[str, str], limit: int, before: str | None
    ) -> Sequence[StoredDelivery]:
        """Deliveries of a webhook, newest first. `filters` are status, type and event; `before` is
        the last id of the page before."""
        clauses = ["webhook_id = :webhook_id", *(_FILTERS[name] for name in filters)]
        clauses += ["id < :before"] if before else []
        sql = f"""SELECT * FROM webhook_deliveries WHERE {" AND ".join(clauses)}
                  ORDER BY id DESC LIMIT :limit"""
        values: dict[str, Any] = {"webhook_id": webhook_id, "limit": limit, **filters}
        rows = await self._engine.read(sql, values | ({"before": before} if before else {}))
        return [_delivery(row) for row in rows]

    async def one(self, webhook_id: str, delivery_id: str) -> StoredDelivery | None:
        sql = "SELECT * FROM webhook_deliveries WHERE id = :id AND webhook_id = :webhook_id"
        rows = await self._engine.read(sql, {"id": delivery_id, "webhook_id": webhook_id})
        return _delivery(rows[0]) if rows else None

    async def retry(
        self, webhook_id: str, delivery_id: str, now: datetime, note: Statement
    ) -> bool:
        """Make a delivery due now, whatever its status is. Returns False if it does not exist."""
        row = {"id": delivery_id, "webhook_id": webhook_id, "now": stamp(now)}
        return await self._engine.write(Statement(_RETRY, [row]), [note])

    # Sending ----------------------------------------------------------------------------------

    async def webhooks_with_due(self, now: datetime) -> Sequence[str]:
        """The ids of enabled webhooks that may have a delivery to send now."""
        rows = await self._engine.read(_WITH_DUE, {"now": stamp(now)})
        return [row["id"] for row in rows]

    async def lag(self, now: datetime) -> float | None:
        """Seconds for which the oldest due delivery has been due; None if none is due."""
        at = (await self._engine.read(_OVERDUE, {"now": stamp(now)}))[0]["at"]
        return max(0.0, (now - datetime.fromisoformat(at)).total_seconds()) if at else None

    async def due(self, webhook_id: str, now: datetime, limit: int) -> Sequence[StoredDelivery]:
        """The next deliveries to send: for each sync, only the earliest one that has not ended."""
        values = {"webhook_id": webhook_id, "now": stamp(now), "limit": limit}
        return [_delivery(row) for row in await self._engine.read(_NEXT, values)]

    async def claim(self, delivery_id: str, now: datetime, until: datetime) -> bool:
        """Take a delivery in order to send it. Returns False if it must no longer be sent, or if
        another process has it."""
        row = {"id": delivery_id, "now": stamp(now), "until": stamp(until)}
        return await self._engine.write(Statement(_CLAIM, [row]), [])

    async def finish(self, sent: StoredDelivery, now: datetime, disabled: str | None) -> bool:
        """Store the outcome of an attempt. Returns False if the claim of `sent` has passed to
        another process. `disabled` is the reason if the webhook is disabled."""
        ended = sent.status is not DeliveryStatus.PENDING
        of = {"webhook_id": sent.webhook_id, "sync_id": sent.sync_id, "id": sent.id}
        next_at = None if sent.next_attempt_at is None else stamp(sent.next_attempt_at)
        row = {
            "id": sent.id,
            "claimed_until": sent.claimed_until and stamp(sent.claimed_until),
            "status": sent.status.value,
            "attempts": msgspec.json.encode(sent.attempts[-MAX_ATTEMPTS:]).decode(),
            "tries": sent.tries,
            "next": next_at,
        }
        rest = []
        if sent.sync_id and ended:
            rest += [Statement(_RELEASE, [of | {"next": stamp(now)}])]
        elif sent.sync_id:
            rest += [Statement(_DELAY, [of | {"next": next_at}])]
        if disabled:
            rest += [Statement(_DISABLE, [{"webhook_id": sent.webhook_id, "reason": disabled}])]
        return await self._engine.write(Statement(_FINISH, [row]), rest)

    async def correct_future(self, now: datetime, ahead: timedelta) -> None:
        """Make deliveries due that are further than `ahead` in the future because a clock was set
        back."""
        sql = """UPDATE webhook_deliveries SET next_attempt_at = :now, claimed_until = NULL
                  WHERE status = 'pending' AND (next_attempt_at > :ahead OR claimed_until > :ahead)
                 RETURNING id"""
        row = {"now": stamp(now), "ahead": stamp(now + ahead)}
        await self._engine.write(Statement(sql, [row]), [])

    async def release_all(self) -> None:
        """End every claim. Call this before sending, where no other process sends."""
        sql = """UPDATE webhook_deliveries SET claimed_until = NULL WHERE claimed_until IS NOT NULL
                 RETURNING id"""
        await self._engine.write(Statement(sql, [{}]), [])


_COLUMNS = StoredDelivery.__struct_fields__


def _delivery(row: Values) -> StoredDelivery:
    values = {name: row[name] for name in _COLUMNS}
    values["attempts"] = msgspec.json.decode(values["attempts"])
    return msgspec.convert(values, StoredDelivery, strict=False)
