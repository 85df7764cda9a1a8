"""Claims that close soon."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from connectors.claims import Claim
from service.store.claim_orders import of_status
from service.store.engine import Engine, bulk, stamp
from service.store.ids import new_id

CLOSING_WITHIN = timedelta(days=7)
"""How long before its closing day a claim is announced as closing."""
AT_ONCE = 200
"""Claims whose events are published in one write."""

# Claims of forgotten connections are left out: whether they were paid since is unknown.
_CLOSING = f"""
SELECT claims.id AS id, claims.user_id AS user_id, connection_id, connector, body
  FROM claims INDEXED BY claims_to_tell JOIN connections ON connections.id = connection_id
 WHERE {of_status("claimable")} AND closes <= :soon AND closing_told IS NULL
   AND forgotten_at IS NULL
 ORDER BY closes LIMIT {AT_ONCE}
"""
_MARK_CLOSING = """
UPDATE claims SET closing_told = :batch
 WHERE id IN (SELECT rows.id FROM {rows}) AND closing_told IS NULL AND state = 'open'
RETURNING id
"""
_PUBLISH_CLOSING = """
INSERT INTO outbox (feed, type, tenant_id, user_id, connector, connection_id, sync_id, historical,
                    at, body)
SELECT 'events', 'recovery.closing', tenant_id, claims.user_id, connector, connection_id, '', 0,
       :now, rows.body
  FROM {rows} CROSS JOIN claims CROSS JOIN connections  -- CROSS: in this order
 WHERE claims.id = rows.id AND closing_told = :batch AND connections.id = connection_id
 ORDER BY closes, claims.id
"""


class ClosingClaim(msgspec.Struct, frozen=True):
    """A claim that closes soon and has not been announced."""

    id: str
    user: str
    connection_id: str
    connector: str
    claim: Claim


class ClosingStore:
    """Finds claims that close soon, and publishes their events in the outbox."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def closing(self, today: date) -> Sequence[ClosingClaim]:
        """Claimable claims that close soon and have not been announced, at most AT_ONCE."""
        values = {"today": today.isoformat(), "soon": (today + CLOSING_WITHIN).isoformat()}
        return [
            ClosingClaim(
                row["id"],
                row["user_id"],
                row["connection_id"],
                row["connector"],
                msgspec.json.decode(row["body"], type=Claim),
            )
            for row in await self._engine.read(_CLOSING, values)
        ]

    async def publish_closing(self, claims: Sequence[ClosingClaim], now: datetime) -> bool:
        """Mark claims, and publish an event for each one that was not marked. Returns False if all
        were marked or have ended."""
        batch = new_id(now)
        bodies = {one.id: msgspec.json.encode(_closing_body(one)).decode() for one in claims}
        guard = bulk(_MARK_CLOSING, {"batch": batch}, {"id": sorted(bodies)})
        table = {"id": list(bodies), "body": list(bodies.values())}
        events = bulk(_PUBLISH_CLOSING, {"batch": batch, "now": stamp(now)}, table)
        return await self._engine.write(guard, [events])


def _closing_body(one: ClosingClaim) -> dict[str, Any]:
    claim = one.claim
    return {
        "recoveryId": one.id,
        "connectionId": one.connection_id,
        "connector": one.connector,
        "rule": claim.rule,
        "title": claim.title,
        "units": claim.units,
        "amount": claim.amount,
        "currency": claim.currency,
        "opens": claim.opens,
        "closes": claim.closes,
    }
