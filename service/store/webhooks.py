"""Webhooks: the endpoints of users, and how far the feed was turned into deliveries for each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from service.store.changes import SETTLED, Position
from service.store.engine import Engine, Statement, Values, stamp

ALL_TYPES = "*"

_ADD = """
INSERT INTO webhooks (id, user_id, tenant_id, everybody, url, types, description, enabled,
                      created_at, secret, tx, seq)
SELECT :id, :user_id, :tenant_id, :everybody, :url, :types, :description, 1, :created_at, :secret,
       :tx, :seq
 WHERE (SELECT COUNT(*) FROM webhooks WHERE user_id = :user_id) < :most
RETURNING id
"""
_CHANGE = """
UPDATE webhooks SET url = :url, types = :types, description = :description, enabled = :enabled,
                    disabled_reason = :disabled_reason
 WHERE id = :id RETURNING id
"""
_ROTATE = """
UPDATE webhooks SET secret = :new, previous_secret = :old, previous_until = :until
 WHERE id = :id AND secret = :old RETURNING id
"""
_ENCRYPT_AGAIN = """
UPDATE webhooks SET secret = :secret, previous_secret = :previous
 WHERE id = :id AND secret = :old RETURNING id
"""
_BEHIND = """
EXISTS (SELECT 1 FROM outbox WHERE feed = 'events' AND (tx, seq) > (webhooks.tx, webhooks.seq)
           AND tx < {settled}{of_user})
"""
_ADVANCE = """
UPDATE webhooks SET tx = :tx, seq = :seq
 WHERE id = :id AND tx = :old_tx AND seq = :old_seq RETURNING id
"""
_GO_BACK = """
UPDATE webhooks SET tx = :tx, seq = :seq WHERE id = :id AND (tx, seq) > (:tx, :seq) RETURNING id
"""


class StoredWebhook(msgspec.Struct, frozen=True):
    """An endpoint of a user. Its secrets are encrypted."""

    id: str
    user_id: str
    tenant_id: str
    #: Whether it gets the events of all users.
    everybody: bool
    url: str
    #: Types of events, or ALL_TYPES.
    types: tuple[str, ...]
    description: str | None
    enabled: bool
    disabled_reason: str | None
    created_at: datetime
    secret: str
    #: The secret before the last rotation, which also signs until `previous_until`.
    previous_secret: str | None = None
    previous_until: datetime | None = None
    tx: int = 0
    seq: int = 0

    @property
    def position(self) -> Position:
        """The position in the feed of events up to which it has deliveries."""
        return Position(self.tx, self.seq)

    @property
    def filters(self) -> Mapping[str, str]:
        """The filters of the feed that it reads."""
        return {} if self.everybody else {"user": self.user_id}

    def wants(self, kind: str) -> bool:
        return ALL_TYPES in self.types or kind in self.types


class WebhookStore:
    """The webhooks of one database."""

    def __init__(self, engine: Engine, dialect: str) -> None:
        self._engine = engine
        self._settled = SETTLED[dialect]

    async def add(self, webhook: StoredWebhook, most: int, *notes: Statement) -> bool:
        """Store a new webhook. Returns False if the user has `most` of them."""
        row = _row(webhook) | {"most": most}
        return await self._write(
            Statement(_ADD, [row], alone=(f"webhooks {webhook.user_id}",)), notes
        )

    async def list(self, user: str) -> Sequence[StoredWebhook]:
        """The webhooks of a user, oldest first."""
        return await self._read("WHERE user_id = :user ORDER BY created_at, id", {"user": user})

    async def one(self, webhook_id: str) -> StoredWebhook | None:
        found = await self._read("WHERE id = :id", {"id": webhook_id})
        return found[0] if found else None

    async def change(self, webhook: StoredWebhook, *notes: Statement) -> bool:
        """Store url, types, description and whether it is enabled. Returns False if it no longer
        exists."""
        return await self._write(Statement(_CHANGE, [_row(webhook)]), notes)

    async def delete(self, webhook_id: str, *notes: Statement) -> bool:
        row = {"id": webhook_id}
        rest = Statement("DELETE FROM webhook_deliveries WHERE webhook_id = :id", [row])
        guard = Statement("DELETE FROM webhooks WHERE id = :id RETURNING id", [row])
        return await self._write(guard, [rest, *notes])

    async def rotate(
        self, webhook: StoredWebhook, new: str, until: datetime, *notes: Statement
    ) -> bool:
        """Replace the secret. Returns False if it was replaced meanwhile."""
        row = {"id": webhook.id, "old": webhook.secret, "new": new, "until": stamp(until)}
        return await self._write(Statement(_ROTATE, [row]), notes)

    # Keys -------------------------------------------------------------------------------------

    async def every(self) -> Sequence[StoredWebhook]:
        """The webhooks of all users."""
        return await self._read("ORDER BY id", {})

    async def encrypt_again(
        self, webhook: StoredWebhook, secret: str, previous: str | None
    ) -> bool:
        """Store the same secrets under another key. Returns False if they were replaced
        meanwhile."""
        row = {"id": webhook.id, "old": webhook.secret, "secret": secret, "previous": previous}
        return await self._write(Statement(_ENCRYPT_AGAIN, [row]), ())

    # The feed ---------------------------------------------------------------------------------

    async def behind(self) -> Sequence[StoredWebhook]:
        """The enabled webhooks for which the feed has events without a delivery."""
        everybody = _BEHIND.format(settled=self._settled, of_user="")
        own = _BEHIND.format(
            settled=self._settled, of_user=" AND outbox.user_id = webhooks.user_id"
        )
        return await self._read(
            f"WHERE enabled = 1 AND CASE everybody WHEN 1 THEN {everybody} ELSE {own} END", {}
        )

    async def advance(
        self, webhook: StoredWebhook, position: Position, deliveries: Sequence[Statement]
    ) -> bool:
        """Store the deliveries of the events up to a position, and the position. Returns False, and
        stores nothing, if the position was changed meanwhile."""
        row = {"id": webhook.id, "old_tx": webhook.tx, "old_seq": webhook.seq}
        guard = Statement(_ADVANCE, [row | {"tx": position.tx, "seq": position.seq}])
        return await self._write(guard, deliveries)

    async def go_back(self, webhook: StoredWebhook, position: Position) -> None:
        """Set the position back, so that the events after it are delivered again."""
        row = {"id": webhook.id, "tx": position.tx, "seq": position.seq}
        await self._write(Statement(_GO_BACK, [row]), ())

    async def count(self, webhook: StoredWebhook, after: Position) -> int:
        """The number of stored events after a position that the webhook wants."""
        of_user = "" if webhook.everybody else " AND user_id = :user"
        wanted = [] if ALL_TYPES in webhook.types else list(webhook.types)
        names = {f"type{number}": kind for number, kind in enumerate(wanted)}
        of_types = f" AND type IN ({', '.join(f':{name}' for name in names)})" if names else ""
        sql = f"""SELECT COUNT(*) AS n FROM outbox
                   WHERE feed = 'events'{of_user}{of_types} AND (tx, seq) > (:tx, :seq)
                     AND tx < {self._settled}"""
        values: dict[str, Any] = {"tx": after.tx, "seq": after.seq, **names}
        values |= {} if webhook.everybody else {"user": webhook.user_id}
        return int((await self._engine.read(sql, values))[0]["n"])

    async def _read(self, where: str, values: Values) -> Sequence[StoredWebhook]:
        rows = await self._engine.read(
            f"SELECT {', '.join(_COLUMNS)} FROM webhooks {where}", values
        )
        return [_webhook(row) for row in rows]

    async def _write(self, guard: Statement, rest: Sequence[Statement]) -> bool:
        return await self._engine.write(guard, [one for one in rest if one.rows])


_COLUMNS = StoredWebhook.__struct_fields__


def _row(webhook: StoredWebhook) -> dict[str, Any]:
    """The columns of a webhook that has not been rotated."""
    row = {name: getattr(webhook, name) for name in _COLUMNS if not name.startswith("previous_")}
    return row | {
        "everybody": int(webhook.everybody),
        "enabled": int(webhook.enabled),
        "types": msgspec.json.encode(webhook.types).decode(),
        "created_at": stamp(webhook.created_at),
    }


def _webhook(row: Values) -> StoredWebhook:
    values = {name: row[name] for name in _COLUMNS}
    values["types"] = msgspec.json.decode(values["types"])
    return msgspec.convert(values, StoredWebhook, strict=False)
