"""Stores the findings of a detection: claims with their evidence, payments, and reasons of closed
claims.

A detection may find a hundred thousand claims, so its findings are stored in parts, each in a write
of its own, between which other writes have their turn. Parts may be stored again: an interrupted
detection runs again and stores all of them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any

import msgspec

from connectors.claims import Claim, ClosedReason, Findings, Paid
from service.model import Sync
from service.store.changes import found_event
from service.store.engine import Statement, Values, bulk, stamp

ROWS_AT_ONCE = 1_000
"""Rows of a part: claims, their evidence, and claims that end. One claim is never divided."""
MAX_EVIDENCE = 100
"""Records of one dataset that a claim keeps as its evidence."""
LARGEST_EVIDENCE = 65_536
"""Characters of a record that is kept as evidence; a larger one is only named."""
UNSUPPORTED: ClosedReason = "no longer supported"
"""The reason of a closed claim that its rule no longer finds, if the connector gives no other."""

_KEEP = """
INSERT INTO claims (id, user_id, connection_id, rule, currency, hundredths, opens, closes, state,
                    sync_id, updated_at, found_at, found_by, happened_at, words, body)
VALUES (:id, :user_id, :connection_id, :rule, :currency, :hundredths, :opens, :closes, 'open',
        :sync_id, :at, :at, :sync_id, :happened_at, :words, :body)
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
# A claim of another connection of the account: its evidence and its id lead to the new claim.
_REPLACE = (
    """UPDATE claims SET (found_at, found_by, closing_told) =
              (SELECT twin.found_at, twin.found_by, twin.closing_told
                 FROM claims AS twin WHERE twin.id = :twin)
        WHERE id = :own
          AND found_at > (SELECT twin.found_at FROM claims AS twin WHERE twin.id = :twin)""",
    """INSERT INTO claim_evidence (claim_id, dataset, record_id, sync_id, updated_at, data)
       SELECT :own, dataset, record_id, sync_id, updated_at, data FROM claim_evidence
        WHERE claim_id = :twin
           ON CONFLICT (claim_id, dataset, record_id) DO NOTHING""",
    "UPDATE claim_aliases SET claim_id = :own WHERE claim_id = :twin",
    """INSERT INTO claim_aliases (id, claim_id) SELECT id, :own FROM claims WHERE id = :twin
           ON CONFLICT (id) DO UPDATE SET claim_id = excluded.claim_id""",
    "DELETE FROM claims WHERE id = :twin",
)
_SETTLE = """
UPDATE claims SET state = 'reimbursed', closed_reason = NULL, paid = coalesce(:paid, paid),
                  sync_id = :sync_id, updated_at = :at
 WHERE id = :id AND (state <> 'reimbursed' OR coalesce(:paid, paid, '') <> coalesce(paid, ''))
"""
_CLOSE = """
UPDATE claims SET state = 'closed', closed_reason = :reason, paid = NULL, sync_id = :sync_id,
                  updated_at = :at
 WHERE id = :id AND (state = 'open' OR (state = 'closed' AND closed_reason = :default)
                     OR (state = 'reimbursed' AND :unpaid))
"""
_WITHDRAW = """
UPDATE claims SET state = 'closed', closed_reason = :default, sync_id = :sync_id, updated_at = :at
 WHERE id = :id AND state = 'open'
"""
# The claims of an unfinished detection have not been announced: the next detection does this.
_BEGIN = """
INSERT INTO unannounced (sync_id, connection_id) VALUES (:sync_id, :connection_id)
    ON CONFLICT (sync_id) DO NOTHING
"""
_END = "DELETE FROM unannounced WHERE connection_id = :connection_id"

_Ending = tuple[str, Values]
"""A statement that ends a claim, and its values."""


class FindingsPart(msgspec.Struct, frozen=True):
    """A part of the findings of a detection, to be stored in one write."""

    statements: Sequence[Statement]
    #: The number of claims that it stores.
    claims: int
    last: bool = False


def findings_in_parts(
    sync: Sync,
    detected: Findings,
    at: datetime,
    open_claims: Iterable[str] = (),
    twins: Sequence[str] = (),
    unknown: Sequence[Claim] = (),
) -> Iterator[FindingsPart]:
    """The parts in which a detection is stored; at least one.

    Claims are stored, settled or closed; none is deleted. Ended claims come first: if the parts are
    interrupted, no unit is claimed both by an ended claim and by the one that replaces it.
    `open_claims` are the ids of the claims that the rules looked for; those that they no longer
    find are closed. Claims of rules that did not run stay as they are. The records that prove a
    claim are copied when they become evidence.

    `twins` are other connections of the same account. A claim found here replaces theirs, whose ids
    then lead to it, and a claim that is settled or closed here is also settled or closed for them.
    `unknown` are the claims that were not known before (`ClaimStore.unknown`): the last part
    announces them."""
    endings = _endings(sync.connection_id, detected, open_claims, twins)
    items: Iterator[_Ending | Claim] = chain(endings, detected.claims)
    chunk: list[_Ending | Claim] = []
    rows = 0
    for item in items:
        if rows >= ROWS_AT_ONCE:
            part = _part(sync, chunk, at, twins)
            begin = Statement(_BEGIN, [_unfinished(sync)])
            yield msgspec.structs.replace(part, statements=[*part.statements, begin])
            chunk, rows = [], 0
        chunk.append(item)
        rows += (1 + len(_proofs(item))) * (1 + len(twins)) if isinstance(item, Claim) else 1
    part = _part(sync, chunk, at, twins)
    news = [found_event(sync, unknown, at)] if unknown else []
    statements = [*part.statements, Statement(_END, [_unfinished(sync)]), *news]
    yield msgspec.structs.replace(part, statements=statements, last=True)


def _unfinished(sync: Sync) -> Values:
    return {"sync_id": sync.id, "connection_id": sync.connection_id}


def _endings(
    own: str, detected: Findings, open_claims: Iterable[str], twins: Sequence[str]
) -> Iterator[_Ending]:
    """Claims that were paid, that the connector says are closed, and that are no longer found."""
    for key in detected.settled:
        paid = _paid(detected.payments.get(key))
        for connection_id in (own, *twins):
            yield _SETTLE, {"id": claim_id(connection_id, key), "paid": paid}
    unpaid = set(detected.unpaid)
    for key, reason in detected.closed.items():
        closing = {"reason": reason, "unpaid": key in unpaid}
        for connection_id in (own, *twins):
            yield _CLOSE, {"id": claim_id(connection_id, key), **closing}
    found = (claim.id for claim in detected.claims)
    known = {claim_id(own, key) for key in chain(found, detected.settled, detected.closed)}
    for id in open_claims:
        if id not in known:
            yield _WITHDRAW, {"id": id}


def _part(
    sync: Sync, chunk: Sequence[_Ending | Claim], at: datetime, twins: Sequence[str]
) -> FindingsPart:
    when = {"sync_id": sync.id, "at": stamp(at)}
    claims = {
        claim_id(sync.connection_id, item.id): item for item in chunk if isinstance(item, Claim)
    }
    endings: dict[str, list[Values]] = {_SETTLE: [], _CLOSE: [], _WITHDRAW: []}
    for item in chunk:
        if not isinstance(item, Claim):
            sql, values = item
            endings[sql].append({**values, **when, "default": UNSUPPORTED})
    pairs = [
        {"own": own, "twin": claim_id(twin, claim.id)}
        for twin in twins
        for own, claim in claims.items()
    ]
    statements = [
        *(Statement(sql, rows) for sql, rows in endings.items()),
        Statement(_KEEP, [_row(sync, id, claim) | when for id, claim in claims.items()]),
        *(Statement(sql, pairs) for sql in _REPLACE),
        _evidence(sync.connection_id, claims),
    ]
    return FindingsPart([statement for statement in statements if statement.rows], len(claims))


def _row(sync: Sync, id: str, claim: Claim) -> dict[str, Any]:
    amount = None if claim.amount is None else int(Decimal(claim.amount) * 100)
    words = (id, claim.rule, claim.title, *claim.details.values())
    return {
        "id": id,
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


def _evidence(connection_id: str, claims: Mapping[str, Claim]) -> Statement:
    """Copies the proving records of claims, given by their ids."""
    proofs = [(id, *proof) for id, claim in claims.items() for proof in _proofs(claim)]
    columns = [list(column) for column in zip(*proofs, strict=True)] or [[], [], []]
    table = dict(zip(("claim_id", "dataset", "record_id"), columns, strict=True))
    return bulk(_COPY, {"connection_id": connection_id, "largest": LARGEST_EVIDENCE}, table)


def _proofs(claim: Claim) -> Sequence[tuple[str, str]]:
    """The dataset and id of each record that the claim keeps as its evidence."""
    return [
        (dataset, record_id)
        for dataset, ids in claim.evidence.items()
        for record_id in ids[:MAX_EVIDENCE]
    ]


def _paid(paid: Paid | None) -> str | None:
    return msgspec.json.encode(paid).decode() if paid else None


def claim_id(connection_id: str, key: str) -> str:
    """The id of a claim, which is always the same for the same case and contains no slash."""
    case = f"{connection_id}\n{key}".encode()
    return f"claim_{hashlib.blake2b(case, digest_size=12).hexdigest()}"
