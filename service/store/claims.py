"""Claims with their evidence, and the costs of goods that users enter."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from connectors.base import Claim, ClosedReason, Findings, Money, Paid
from service.model import Sync
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
from service.store.engine import Engine, Statement, Values, bulk, stamp

MAX_COSTS = 100_000
"""Costs that one user may store."""
SOON, LATER = 7, 30
"""Days within which closing claims are counted."""
MOST_EVIDENCE = 100
"""Records of one dataset that a claim keeps as its evidence."""
LARGEST_EVIDENCE = 65_536
"""Characters of a record that is kept as evidence; a larger one is only named."""
EVIDENCE_AT_ONCE = 5_000
"""Records copied in one statement."""
UNSUPPORTED: ClosedReason = "no longer supported"
"""Why a claim is closed that its rule no longer finds, if the connector gives no other reason."""


_COLUMNS = f"""id, connection_id, sync_id, updated_at, found_at, closed_reason, paid, hundredths,
               body, {STATUS} AS status"""
_SUMS = """COUNT(*) AS claims, SUM(hundredths) AS hundredths,
           SUM(CASE WHEN hundredths IS NULL THEN 1 ELSE 0 END) AS unvalued"""
_KEEP = """
INSERT INTO claims (id, user_id, connection_id, rule, currency, hundredths, opens, closes, state,
                    sync_id, updated_at, found_at, happened_at, words, body)
VALUES (:id, :user_id, :connection_id, :rule, :currency, :hundredths, :opens, :closes, 'open',
        :sync_id, :at, :at, :happened_at, :words, :body)
    ON CONFLICT (id) DO UPDATE
   SET currency = excluded.currency, hundredths = excluded.hundredths, opens = excluded.opens,
       closes = excluded.closes, state = 'open', closed_reason = NULL, paid = NULL,
       sync_id = excluded.sync_id, updated_at = excluded.updated_at,
       happened_at = excluded.happened_at, words = excluded.words, body = excluded.body
"""
_COPY = """
INSERT INTO claim_evidence (claim_id, dataset, record_id, sync_id, updated_at, data)
SELECT rows.claim_id, rows.dataset, rows.record_id, records.sync_id, records.updated_at,
       records.data
  FROM {rows} CROSS JOIN records  -- CROSS: in this order
 WHERE records.connection_id = :connection_id AND records.dataset = rows.dataset
   AND records.id = rows.record_id AND length(records.data) <= :largest
   AND NOT EXISTS (
       SELECT 1 FROM claim_evidence AS copied
        WHERE copied.claim_id = rows.claim_id AND copied.dataset = rows.dataset
          AND copied.record_id = rows.record_id)
    ON CONFLICT (claim_id, dataset, record_id) DO NOTHING
"""
# A claim of another connection of the account: its evidence and its id lead to the own one.
_REPLACE = (
    """UPDATE claims SET found_at = min(found_at, coalesce(
           (SELECT twin.found_at FROM claims AS twin WHERE twin.id = :twin), found_at))
        WHERE id = :own""",
    "UPDATE OR IGNORE claim_evidence SET claim_id = :own WHERE claim_id = :twin",
    "UPDATE claim_aliases SET claim_id = :own WHERE claim_id = :twin",
    """INSERT INTO claim_aliases (id, claim_id) SELECT id, :own FROM claims WHERE id = :twin
           ON CONFLICT (id) DO UPDATE SET claim_id = excluded.claim_id""",
    "DELETE FROM claims WHERE id = :twin",
)
_SETTLE = """
UPDATE claims SET state = 'reimbursed', closed_reason = NULL, paid = coalesce(:paid, paid),
                  sync_id = :sync_id, updated_at = :at
 WHERE id = :id AND (state <> 'reimbursed' OR coalesce(:paid, paid) IS NOT paid)
"""
_CLOSE = """
UPDATE claims SET state = 'closed', closed_reason = :reason, sync_id = :sync_id, updated_at = :at
 WHERE id = :id AND (state = 'open' OR (state = 'closed' AND closed_reason = :default))
"""
# Of an older claim without a day, only its last day tells whether the rule still looks for it.
_WITHDRAW = """
UPDATE claims SET state = 'closed', closed_reason = :reason, sync_id = :sync_id, updated_at = :at
 WHERE connection_id = :connection_id AND rule = :rule AND state = 'open'
   AND sync_id <> :sync_id AND coalesce(happened_at, closes) >= :since
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
    #: When a sync first found it.
    found_at: str
    #: Why a closed claim is closed.
    closed_reason: str | None
    #: What was paid for a reimbursed one; None if it is not known.
    paid: Paid | None
    #: The amount as a whole number.
    hundredths: int | None

    def position(self, order: str) -> Position:
        """Where it is in an order of the list."""
        closes = self.claim.closes
        return position(order, self.status, closes, self.hundredths, self.found_at, self.id)


class ClaimStore:
    """Reads claims and costs. `findings` writes claims at the end of their detection."""

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
        before; raises ValueError if it is not a position in this order."""
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
        return list(await self._engine.read(f"{sql} ORDER BY 1, 2", values))

    async def closing(self, user: str, filters: Filters, today: date) -> list[Values]:
        """The same of the claimable ones that close within SOON and within LATER days, by currency
        and `days`."""
        condition, values = where(user, filters, today)
        ends = {f"in_{days}": (today + timedelta(days)).isoformat() for days in (SOON, LATER)}
        sql = " UNION ALL ".join(
            f"""SELECT currency, {days} AS days, {_SUMS} FROM claims
                 WHERE {condition} AND {of_status("claimable")} AND closes <= :in_{days}
                 GROUP BY 1"""
            for days in (SOON, LATER)
        )
        return list(await self._engine.read(f"{sql} ORDER BY 1, 2", {**values, **ends}))

    async def series(self, user: str, filters: Filters, today: date) -> list[Values]:
        """The same by the month of the event, the rule and the currency. Closed claims count only
        if they are asked for. The month is None for claims of an unknown day."""
        condition, values = where(user, filters, today)
        if "status" not in filters:
            condition += " AND state <> 'closed'"
        sql = f"""SELECT substr(happened_at, 1, 7) AS month, rule, currency, {_SUMS}
                    FROM claims WHERE {condition} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
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


# Writing --------------------------------------------------------------------------------------


def findings(
    sync: Sync, detected: Findings, at: datetime, twins: Sequence[str] = ()
) -> Sequence[Statement]:
    """The statements that store a detection.

    Claims are stored, settled or closed; none is deleted. What its rule no longer finds is closed,
    unless it is older than what the rule looks for. Claims of rules that did not run stay as they
    are. The records that prove a claim are copied when they become evidence.

    `twins` are other connections of the same account. A claim found here replaces theirs, whose
    ids then lead to it, and a claim settled or closed here is so for them, too."""
    when, own = {"sync_id": sync.id, "at": stamp(at)}, sync.connection_id
    ids = [_id(own, claim.id) for claim in detected.claims]
    of = {"connection_id": own, "reason": UNSUPPORTED, **when}

    def since(rule: str) -> str:
        return str(detected.searched_since.get(rule, ""))

    pairs = [
        {"own": claim_id, "twin": _id(twin, claim.id)}
        for twin in twins
        for claim_id, claim in zip(ids, detected.claims, strict=True)
    ]
    return [
        Statement(_KEEP, [_row(sync, claim) | when for claim in detected.claims]),
        *(Statement(sql, pairs) for sql in _REPLACE),
        *_evidence(own, dict(zip(ids, detected.claims, strict=True))),
        Statement(
            _SETTLE,
            [
                {"id": _id(connection_id, key), "paid": _paid(detected.payments.get(key))} | when
                for connection_id in (own, *twins)
                for key in detected.settled
            ],
        ),
        Statement(
            _CLOSE,
            [
                {"id": _id(connection_id, key), "reason": reason, "default": UNSUPPORTED} | when
                for connection_id in (own, *twins)
                for key, reason in detected.closed.items()
            ],
        ),
        Statement(_WITHDRAW, [of | {"rule": rule, "since": since(rule)} for rule in detected.ran]),
    ]


def _row(sync: Sync, claim: Claim) -> dict[str, Any]:
    amount = None if claim.amount is None else int(Decimal(claim.amount) * 100)
    claim_id = _id(sync.connection_id, claim.id)
    words = (claim_id, claim.rule, claim.title, *claim.details.values())
    return {
        "id": claim_id,
        "user_id": sync.user,
        "connection_id": sync.connection_id,
        "rule": claim.rule,
        "currency": claim.currency,
        "hundredths": amount,
        "opens": claim.opens.isoformat(),
        "closes": claim.closes.isoformat(),
        "happened_at": claim.happened_at and claim.happened_at.isoformat(),
        "words": " ".join(words).lower(),
        "body": msgspec.json.encode(claim).decode(),
    }


def _evidence(connection_id: str, claims: Mapping[str, Claim]) -> Iterator[Statement]:
    """The statements that copy the proving records of claims, given by their ids."""
    proofs = [
        (claim_id, dataset, record_id)
        for claim_id, claim in claims.items()
        for dataset, ids in claim.evidence.items()
        for record_id in ids[:MOST_EVIDENCE]
    ]
    of = {"connection_id": connection_id, "largest": LARGEST_EVIDENCE}
    for begin in range(0, len(proofs), EVIDENCE_AT_ONCE):
        columns = zip(*proofs[begin : begin + EVIDENCE_AT_ONCE], strict=True)
        table = dict(zip(("claim_id", "dataset", "record_id"), map(list, columns), strict=True))
        yield bulk(_COPY, of, table)


def _paid(paid: Paid | None) -> str | None:
    return msgspec.json.encode(paid).decode() if paid else None


def _id(connection_id: str, key: str) -> str:
    """The id of a claim, which is always the same for the same case and contains no slash."""
    case = f"{connection_id}\n{key}".encode()
    return f"claim_{hashlib.blake2b(case, digest_size=12).hexdigest()}"


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
