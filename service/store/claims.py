"""Claims and costs of goods: what was found to be owed, and what the user says a unit cost."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from connectors.base import Claim, Findings, Money
from service.model import Sync
from service.store.engine import Engine, Statement, Values, bulk, stamp

MOST_COSTS = 100_000
"""Of one user."""
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


class Recovery(msgspec.Struct, frozen=True):
    """A claim as it is kept, with its status on the day that was asked about."""

    id: str
    connection_id: str
    sync_id: str
    updated_at: str
    status: str
    claim: Claim


class ClaimStore:
    """Reads go straight here; claims are written in the guarded write that ends their detection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def page(
        self, user: str, filters: Mapping[str, str], today: date, limit: int, after: str = ""
    ) -> list[Recovery]:
        """In the order of their ids. Filters: status, rule, connection_id."""
        where, values = _where(user, filters, today)
        sql = f"""SELECT id, connection_id, sync_id, updated_at, body, {_STATUS} AS status
                    FROM claims WHERE {where} AND id > :after ORDER BY id LIMIT :limit"""
        rows = await self._engine.read(sql, {**values, "after": after, "limit": limit})
        return [_recovery(row) for row in rows]

    async def one(self, user: str, claim_id: str, today: date) -> Recovery | None:
        sql = f"""SELECT id, connection_id, sync_id, updated_at, body, {_STATUS} AS status
                    FROM claims WHERE id = :id AND user_id = :user"""
        values = {"id": claim_id, "user": user, "today": today.isoformat()}
        rows = await self._engine.read(sql, values)
        return _recovery(rows[0]) if rows else None

    async def totals(self, user: str, filters: Mapping[str, str], today: date) -> list[Values]:
        """How many, and how much, by currency and status. Amounts that are unknown count as none
        and are told apart."""
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
        """In the order of their SKUs; `after` is the SKU that the last page ended with."""
        sql = """SELECT sku, amount, currency FROM costs WHERE user_id = :user AND sku > :after
                  ORDER BY sku LIMIT :limit"""
        rows = await self._engine.read(sql, {"user": user, "after": after, "limit": limit})
        return [(row["sku"], Money(row["amount"], row["currency"])) for row in rows]

    async def keep_costs(self, user: str, costs: Mapping[str, Money]) -> bool:
        """False, and nothing kept, if the user would have more than MOST_COSTS."""
        if not costs:
            return True
        table = {
            "sku": list(costs),
            "amount": [cost.amount for cost in costs.values()],
            "currency": [cost.currency for cost in costs.values()],
        }
        guard = bulk(_ROOM_FOR_COSTS, {"user_id": user, "most": MOST_COSTS}, table)
        return await self._engine.write(guard, [bulk(_COST, {"user_id": user}, table)])


def findings(
    sync: Sync, found: Findings, at: datetime, twins: Sequence[str] = ()
) -> Sequence[Statement]:
    """What a detection changes: claims are kept, settled or, where a rule does not find them any
    more, withdrawn. Those of a rule that did not run stay as they were.

    `twins` are other connections of the same account: a case that is found here is not kept there
    as well, and one that is settled here is settled there."""
    when, keys = {"sync_id": sync.id, "at": stamp(at)}, [claim.id for claim in found.claims]
    everywhere = (sync.connection_id, *twins)
    return [
        Statement(_KEEP, [_row(sync, claim) | when for claim in found.claims]),
        Statement(_SUPERSEDE, [{"id": _id(twin, key)} for twin in twins for key in keys]),
        Statement(
            _SETTLE,
            [{"id": _id(each, key)} | when for each in everywhere for key in found.settled],
        ),
        Statement(
            _WITHDRAW,
            [
                {"connection_id": sync.connection_id, "rule": rule, "sync_id": sync.id}
                for rule in found.ran
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
    """Of a claim, for the wire: the same whenever the same case is found, and free of slashes."""
    case = f"{connection_id}\n{key}".encode()
    return f"claim_{hashlib.blake2b(case, digest_size=12).hexdigest()}"


def _where(user: str, filters: Mapping[str, str], today: date) -> tuple[str, dict[str, Any]]:
    columns = {"status": _STATUS, "rule": "rule", "connection_id": "connection_id"}
    clauses = ["user_id = :user", *(f"{columns[name]} = :{name}" for name in filters)]
    values = {"user": user, "today": today.isoformat(), **filters}
    return " AND ".join(clauses), values


def _recovery(row: Values) -> Recovery:
    return Recovery(
        id=row["id"],
        connection_id=row["connection_id"],
        sync_id=row["sync_id"],
        updated_at=row["updated_at"],
        status=row["status"],
        claim=msgspec.json.decode(row["body"], type=Claim),
    )
