"""Claims with their evidence, and the costs of goods that users enter."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import msgspec

from connectors.claims import Claim, Money, Paid
from service.store.claim_orders import (
    STATUS,
    STATUSES,
    Filters,
    Position,
    of_status,
    position,
    reads,
    where,
)
from service.store.engine import Engine, Values, bulk
from service.store.findings import claim_id

MAX_COSTS = 100_000
"""Costs that one user may store."""
SOON, LATER = 7, 30
"""Days within which closing claims are counted."""
KNOWN_AT_ONCE = 1_000
"""Claims that are looked up in one read."""
MAX_PROVEN = 1_000
"""Maximum claims that are listed for one record."""

_COLUMNS = f"""id, connection_id, sync_id, updated_at, found_at, closed_reason, paid, hundredths,
               body, {STATUS} AS status"""
_SUMS = """COUNT(*) AS claims, CAST(SUM(hundredths) AS BIGINT) AS hundredths,
           SUM(CASE WHEN hundredths IS NULL THEN 1 ELSE 0 END) AS unvalued"""
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

_KNOWN = """
SELECT claims.id AS id FROM {rows} CROSS JOIN claims  -- CROSS: in this order
 WHERE claims.id = rows.id
   AND NOT EXISTS (SELECT 1 FROM unannounced WHERE sync_id = claims.found_by)
"""


class StoredClaim(msgspec.Struct, frozen=True):
    """A stored claim, with its status on the requested day."""

    id: str
    connection_id: str
    sync_id: str
    updated_at: str
    status: str
    claim: Claim
    #: When a sync first found it.
    found_at: str
    #: The reason why a closed claim is closed.
    closed_reason: str | None
    #: The payment of a reimbursed claim; None if it is unknown.
    paid: Paid | None
    #: The amount as a whole number.
    hundredths: int | None

    def position(self, order: str) -> Position:
        """Its place in a sort order of the list."""
        closes = self.claim.closes
        return position(order, self.status, closes, self.hundredths, self.found_at, self.id)


class ClaimStore:
    """Reads claims, reads and writes costs. `service.store.findings` writes claims."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def page(
        self,
        user: str,
        filters: Filters,
        today: date,
        limit: int,
        after: Sequence[str] = (),
        order: str = "closes",
    ) -> list[StoredClaim]:
        """A page of the claims that match. `after` is the position of the last claim of the page
        before; raises ValueError if it is not a position in this sort order."""
        claims: list[StoredClaim] = []
        for source, values in reads(user, filters, today, order, after):
            sql = f"SELECT {_COLUMNS} FROM {source} LIMIT :limit"
            page = {**values, "limit": limit - len(claims)}
            claims += [_stored_claim(row) for row in await self._engine.read(sql, page)]
            if len(claims) == limit:
                break
        return claims

    async def one(self, user: str, claim_id: str, today: date) -> StoredClaim | None:
        """A claim by its id, or by an id under which it was shown earlier."""
        sql = f"""SELECT {_COLUMNS} FROM claims WHERE user_id = :user AND id IN (
                    :id, (SELECT claim_id FROM claim_aliases WHERE id = :id))
                   ORDER BY id <> :id LIMIT 1"""
        values = {"id": claim_id, "user": user, "today": today.isoformat()}
        rows = await self._engine.read(sql, values)
        return _stored_claim(rows[0]) if rows else None

    async def evidence(self, claim_id: str) -> Mapping[str, Mapping[str, Values]]:
        """The proving records as they were when they became evidence, by dataset and id."""
        sql = """SELECT dataset, record_id AS id, sync_id, updated_at, data FROM claim_evidence
                  WHERE claim_id = :id ORDER BY dataset, record_id"""
        evidence: dict[str, dict[str, Values]] = {}
        for row in await self._engine.read(sql, {"id": claim_id}):
            evidence.setdefault(row["dataset"], {})[row["id"]] = row
        return evidence

    async def proven_by(
        self, user: str, connection_ids: Sequence[str], dataset: str, record_id: str, today: date
    ) -> Sequence[Values]:
        """The ids, rules and statuses of the claims of these connections that keep a record as
        evidence, at most MAX_PROVEN."""
        columns = ("id", "rule", "status")
        sql = f"""SELECT claims.id AS id, rule, {STATUS} AS status
                    FROM claim_evidence AS evidence CROSS JOIN claims  -- CROSS: in this order
                   WHERE evidence.record_id = :record_id AND evidence.dataset = :dataset
                     AND claims.id = evidence.claim_id AND user_id = :user
                     AND connection_id IN (SELECT rows.id FROM {{rows}})
                   ORDER BY claims.id LIMIT {MAX_PROVEN}"""
        of = {"user": user, "dataset": dataset, "record_id": record_id, "today": today.isoformat()}
        rows = await self._engine.fetch(sql, columns, of, {"id": list(connection_ids)})
        return [dict(zip(columns, row, strict=True)) for row in rows]

    async def open_ids(self, connection_id: str, rule: str, since: date | None) -> list[str]:
        """The open claims of a rule whose event was on the day `since` or later, or all of them. An
        older claim without a day counts by its last day."""
        sql = """SELECT id FROM claims
                  WHERE connection_id = :connection_id AND rule = :rule AND state = 'open'
                    AND coalesce(happened_at, closes) >= :since"""
        since_day = since.isoformat() if since else ""
        values = {"connection_id": connection_id, "rule": rule, "since": since_day}
        return [row[0] for row in await self._engine.fetch(sql, ("id",), values)]

    async def unknown(
        self, connection_id: str, found: Sequence[Claim], twins: Sequence[str] = ()
    ) -> Sequence[Claim]:
        """The found claims that were not known before, neither to this connection nor to a twin
        (see `findings_in_parts`). A claim that an unfinished detection has stored counts as
        unknown: it was not announced."""
        unknown: list[Claim] = []
        for begin in range(0, len(found), KNOWN_AT_ONCE):
            some = found[begin : begin + KNOWN_AT_ONCE]
            ids = {
                claim_id(of, claim.id): claim.id for of in (connection_id, *twins) for claim in some
            }
            rows = await self._engine.fetch(_KNOWN, ("id",), {}, {"id": list(ids)})
            known = {ids[row[0]] for row in rows}
            unknown += [claim for claim in some if claim.id not in known]
        return unknown

    # Sums -------------------------------------------------------------------------------------

    async def totals(self, user: str, filters: Filters, today: date) -> list[Values]:
        """The number and the sum of claims by currency and status. Claims of an unknown amount are
        counted in `unvalued` and add nothing to the sum."""
        condition, values = where(user, filters, today)
        # One range of the index for each status: four times faster than sorting all claims.
        sql = " UNION ALL ".join(
            f"""SELECT currency, '{status}' AS status, {_SUMS} FROM claims
                 WHERE {condition} AND {of_status(status)} GROUP BY 1"""
            for status in STATUSES
        )
        return list(await self._engine.read(f"{sql} ORDER BY 1 NULLS FIRST, 2", values))

    async def closing(self, user: str, filters: Filters, today: date) -> list[Values]:
        """The totals of the claimable claims that close within SOON and within LATER days, by
        currency and `days`."""
        condition, values = where(user, filters, today)
        ends = {f"in_{days}": (today + timedelta(days)).isoformat() for days in (SOON, LATER)}
        sql = " UNION ALL ".join(
            f"""SELECT currency, {days} AS days, {_SUMS} FROM claims
                 WHERE {condition} AND {of_status("claimable")} AND closes <= :in_{days}
                 GROUP BY 1"""
            for days in (SOON, LATER)
        )
        return list(await self._engine.read(f"{sql} ORDER BY 1 NULLS FIRST, 2", {**values, **ends}))

    async def series(self, user: str, filters: Filters, today: date) -> list[Values]:
        """The totals by the month of the event, the rule and the currency. Closed claims count only
        if the filters select them. The month is None for claims of an unknown day."""
        condition, values = where(user, filters, today)
        if "status" not in filters:
            condition += " AND state <> 'closed'"
        sql = f"""SELECT substr(happened_at, 1, 7) AS month, rule, currency, {_SUMS}
                    FROM claims WHERE {condition} GROUP BY 1, 2, 3
                   ORDER BY 1 NULLS FIRST, 2, 3 NULLS FIRST"""
        return list(await self._engine.read(sql, values))

    # Costs ------------------------------------------------------------------------------------

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
        """Store costs. Returns False, and stores nothing, if the user would have more than
        MAX_COSTS."""
        if not costs:
            return True
        table = {
            "sku": list(costs),
            "amount": [cost.amount for cost in costs.values()],
            "currency": [cost.currency for cost in costs.values()],
        }
        guard = bulk(_ROOM_FOR_COSTS, {"user_id": user, "most": MAX_COSTS}, table)
        return await self._engine.write(guard, [bulk(_COST, {"user_id": user}, table)])


def _stored_claim(row: Values) -> StoredClaim:
    return StoredClaim(
        id=row["id"],
        connection_id=row["connection_id"],
        sync_id=row["sync_id"],
        updated_at=row["updated_at"],
        status=row["status"],
        claim=msgspec.json.decode(row["body"], type=Claim),
        found_at=row["found_at"],
        closed_reason=row["closed_reason"],
        paid=msgspec.json.decode(row["paid"], type=Paid) if row["paid"] else None,
        hundredths=row["hundredths"],
    )
