"""Claims, and the costs of goods that users enter."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from connectors.base import Claim, Findings, Money
from service.model import Sync
from service.store.engine import Engine, Statement, Values, bulk, stamp

MAX_COSTS = 100_000
"""Costs that one user may store."""
STATUSES = ("waiting", "claimable", "expired", "reimbursed")

_STATUS = """CASE WHEN reimbursed = 1 THEN 'reimbursed'
                  WHEN :today < opens THEN 'waiting'
                  WHEN :today <= closes THEN 'claimable'
                  ELSE 'expired' END"""
_KEEP = """
INSERT INTO claims (id, user_id, connection_id, rule, currency, hundredths, opens, closes,
                    reimbursed, sync_id, updated_at, body)
VALUES (:id, :user_id, :connection_id, :rule, :currency, :hundredths, :opens, :closes,
        0, :sync_id, :at, :body)
    ON CONFLICT (id) DO UPDATE
   SET currency = excluded.currency, hundredths = excluded.hundredths, opens = excluded.opens,
       closes = excluded.closes, reimbursed = 0, sync_id = excluded.sync_id,
       updated_at = excluded.updated_at, body = excluded.body
"""
_SETTLE = "UPDATE claims SET reimbursed = 1, sync_id = :sync_id, updated_at = :at WHERE id = :id"
_SUPERSEDE = "DELETE FROM claims WHERE id = :id"
_WITHDRAW = """
DELETE FROM claims WHERE connection_id = :connection_id AND rule = :rule
   AND reimbursed = 0 AND sync_id <> :sync_id
"""
_COST = """
INSERT INTO costs (user_id, sku, amount, currency)
SELECT :user_id, rows.sku, rows.amount, rows.currency FROM {rows} WHERE true
    ON CONFLICT (user_id, sku) DO UPDATE
   SET amount = excluded.amount, currency = excluded.currency
"""
_ROOM_FOR_COSTS = """
SELECT 1 WHERE (SELECT COUNT(*) FROM costs WHERE user_id = :user_id)
             + (SELECT COUNT(*) FROM {rows} WHERE NOT EXISTS (
                    SELECT 1 FROM costs WHERE user_id = :user_id AND sku = rows.sku)) <= :most
"""


class StoredClaim(msgspec.Struct, frozen=True):
    """A stored claim, with its status on the requested day."""

    id: str
    connection_id: str
    sync_id: str
    updated_at: str
    status: str
    claim: Claim


class ClaimStore:
    """Reads claims and costs. `findings` writes claims at the end of their detection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def page(
        self, user: str, filters: Mapping[str, str], today: date, limit: int, after: str = ""
    ) -> list[StoredClaim]:
        """A page of claims, ordered by id. Filters: status, rule, connection_id."""
        where, values = _where(user, filters, today)
        sql = f"""SELECT id, connection_id, sync_id, updated_at, body, {_STATUS} AS status
                    FROM claims WHERE {where} AND id > :after ORDER BY id LIMIT :limit"""
        rows = await self._engine.read(sql, {**values, "after": after, "limit": limit})
        return [_stored_claim(row) for row in rows]

    async def one(self, user: str, claim_id: str, today: date) -> StoredClaim | None:
        sql = f"""SELECT id, connection_id, sync_id, updated_at, body, {_STATUS} AS status
                    FROM claims WHERE id = :id AND user_id = :user"""
        values = {"id": claim_id, "user": user, "today": today.isoformat()}
        rows = await self._engine.read(sql, values)
        return _stored_claim(rows[0]) if rows else None

    async def totals(self, user: str, filters: Mapping[str, str], today: date) -> list[Values]:
        """The number and the sum of claims by currency and status. Claims of an unknown amount are
        counted in `unvalued` and add nothing to the sum."""
        where, values = _where(user, filters, today)
        sql = f"""SELECT currency, {_STATUS} AS status, COUNT(*) AS claims,
                         SUM(hundredths) AS hundredths,
                         SUM(CASE WHEN hundredths IS NULL THEN 1 ELSE 0 END) AS unvalued
                    FROM claims WHERE {where} GROUP BY 1, 2 ORDER BY 1, 2"""
        return list(await self._engine.read(sql, values))

    async def costs(self, user: str) -> dict[str, Money]:
        sql = "SELECT sku, amount, currency FROM costs WHERE user_id = :user"
        rows = await self._engine.read(sql, {"user": user})
        return {row["sku"]: Money(row["amount"], row["currency"]) for row in rows}

    async def costs_page(self, user: str, limit: int, after: str = "") -> list[tuple[str, Money]]:
        """A page, ordered by SKU. `after` is the last SKU of the page before."""
        sql = """SELECT sku, amount, currency FROM costs WHERE user_id = :user AND sku > :after
                  ORDER BY sku LIMIT :limit"""
        rows = await self._engine.read(sql, {"user": user, "after": after, "limit": limit})
        return [(row["sku"], Money(row["amount"], row["currency"])) for row in rows]

    async def store_costs(self, user: str, costs: Mapping[str, Money]) -> bool:
        """Store costs. False, and nothing is stored, if the user would have more than MAX_COSTS."""
        if not costs:
            return True
        table = {
            "sku": list(costs),
            "amount": [cost.amount for cost in costs.values()],
            "currency": [cost.currency for cost in costs.values()],
        }
        guard = bulk(_ROOM_FOR_COSTS, {"user_id": user, "most": MAX_COSTS}, table)
        return await self._engine.write(guard, [bulk(_COST, {"user_id": user}, table)])


def findings(
    sync: Sync, detected: Findings, at: datetime, twins: Sequence[str] = ()
) -> Sequence[Statement]:
    """The statements that store a detection. Claims are stored or settled; claims that their rule
    no longer finds are deleted. Claims of rules that did not run stay as they are.

    `twins` are other connections of the same account. A claim found here replaces theirs, and a
    claim settled here is settled for them, too."""
    when, keys = {"sync_id": sync.id, "at": stamp(at)}, [claim.id for claim in detected.claims]
    everywhere = (sync.connection_id, *twins)
    return [
        Statement(_KEEP, [_row(sync, claim) | when for claim in detected.claims]),
        Statement(_SUPERSEDE, [{"id": _id(twin, key)} for twin in twins for key in keys]),
        Statement(
            _SETTLE,
            [
                {"id": _id(connection_id, key)} | when
                for connection_id in everywhere
                for key in detected.settled
            ],
        ),
        Statement(
            _WITHDRAW,
            [
                {"connection_id": sync.connection_id, "rule": rule, "sync_id": sync.id}
                for rule in detected.ran
            ],
        ),
    ]


def _row(sync: Sync, claim: Claim) -> dict[str, Any]:
    amount = None if claim.amount is None else int(Decimal(claim.amount) * 100)
    return {
        "id": _id(sync.connection_id, claim.id),
        "user_id": sync.user,
        "connection_id": sync.connection_id,
        "rule": claim.rule,
        "currency": claim.currency,
        "hundredths": amount,
        "opens": claim.opens.isoformat(),
        "closes": claim.closes.isoformat(),
        "body": msgspec.json.encode(claim).decode(),
    }


def _id(connection_id: str, key: str) -> str:
    """The id of a claim, which is always the same for the same case and contains no slash."""
    case = f"{connection_id}\n{key}".encode()
    return f"claim_{hashlib.blake2b(case, digest_size=12).hexdigest()}"


def _where(user: str, filters: Mapping[str, str], today: date) -> tuple[str, dict[str, Any]]:
    columns = {"status": _STATUS, "rule": "rule", "connection_id": "connection_id"}
    clauses = ["user_id = :user", *(f"{columns[name]} = :{name}" for name in filters)]
    values = {"user": user, "today": today.isoformat(), **filters}
    return " AND ".join(clauses), values


def _stored_claim(row: Values) -> StoredClaim:
    return StoredClaim(
        id=row["id"],
        connection_id=row["connection_id"],
        sync_id=row["sync_id"],
        updated_at=row["updated_at"],
        status=row["status"],
        claim=msgspec.json.decode(row["body"], type=Claim),
    )
