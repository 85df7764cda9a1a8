"""Stored claims: the same case is the same claim, and its status depends on the day."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from connectors.claims import Claim, Findings, Money, Paid
from service.model import Sync
from service.store.claims import ClaimStore
from service.store.engine import Engine
from service.store.syncs import Conditions, SyncStore, save
from tests.service.store.stores import claim_statements
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
TODAY = NOW.date()


class Detections:
    """A claim store, and one running sync that stores the findings of each detection."""

    def __init__(self, engine: Engine, sync: Sync) -> None:
        self.store = ClaimStore(engine)
        self._syncs = SyncStore(engine)
        self._sync = sync

    async def find(
        self,
        *claims: Claim,
        ran: tuple[str, ...] = ("R1",),
        settled: tuple[str, ...] = (),
        **more: Any,
    ) -> None:
        """Store findings as those of a new sync."""
        changes = {"version": self._sync.version + 1}
        self._sync = msgspec.structs.replace(self._sync, **changes)
        as_sync = msgspec.structs.replace(self._sync, id=f"sync_{self._sync.version}")
        detected = Findings(claims, ran, settled, **more)
        open_claims = [
            claim_id
            for rule in ran
            for claim_id in await self.store.open_ids(as_sync.connection_id, rule, None)
        ]
        statements = claim_statements(as_sync, detected, open_claims)
        assert await self._syncs.write(save(self._sync), *statements)

    async def shown(self, today: date = TODAY, **filters: str) -> dict[str, str]:
        page = await self.store.page("ann", filters, today, 100)
        return {stored.claim.id: stored.status for stored in page}


@pytest.fixture
async def detections(engine: Engine) -> Detections:
    sync = new_sync()
    assert await SyncStore(engine).create(sync, Conditions(live_of_tenant=3))
    return Detections(engine, sync)


def claim(key: str, amount: str | None = "12.34", rule: str = "R1", **changes: object) -> Claim:
    made = Claim(
        id=key,
        rule=rule,
        title="Lost in the warehouse",
        status="claimable",
        units=1,
        amount=amount,
        currency="USD",
        opens=TODAY - timedelta(days=10),
        closes=TODAY + timedelta(days=43),
        confidence="high",
        valuation="your cost",
        evidence={"ledger": ["a"]},
    )
    return msgspec.structs.replace(made, **changes)


async def test_a_case_that_is_found_again_is_the_same_claim(detections: Detections) -> None:
    await detections.find(claim("a"))
    first = (await detections.store.page("ann", {}, TODAY, 10))[0]
    await detections.find(claim("a", amount="20.00"))
    again = await detections.store.page("ann", {}, TODAY, 10)
    assert [stored.id for stored in again] == [first.id]
    assert again[0].claim.amount == "20.00"


async def test_a_claim_that_is_no_longer_found_is_closed(detections: Detections) -> None:
    await detections.find(claim("a"), claim("b"))
    await detections.find(claim("b"))
    assert await detections.shown() == {"b": "claimable", "a": "closed"}


async def test_claims_of_a_rule_that_did_not_run_stay_unchanged(detections: Detections) -> None:
    await detections.find(claim("a"), claim("x", rule="R2"), ran=("R1", "R2"))
    await detections.find(ran=("R1",))
    assert await detections.shown() == {"x": "claimable", "a": "closed"}


async def test_a_claim_that_was_paid_stays_as_reimbursed(detections: Detections) -> None:
    await detections.find(claim("a"))
    await detections.find(settled=("a",))
    await detections.find()
    assert await detections.shown() == {"a": "reimbursed"}


async def test_a_payment_is_stored_once_and_not_forgotten(detections: Detections) -> None:
    paid = Paid("9.99", "USD", TODAY, "pay-1")
    await detections.find(claim("a"))
    await detections.find(settled=("a",), payments={"a": paid})
    first = (await detections.store.page("ann", {}, TODAY, 10))[0]
    await detections.find(settled=("a",), payments={"a": paid})
    await detections.find(settled=("a",))
    assert (await detections.store.page("ann", {}, TODAY, 10)) == [first]
    assert (first.status, first.paid) == ("reimbursed", paid)


async def test_a_paid_claim_is_closed_only_if_no_payment_for_it_stands(
    detections: Detections,
) -> None:
    paid = Paid("9.99", "USD", TODAY, "pay-1")
    await detections.find(claim("a"))
    await detections.find(settled=("a",), payments={"a": paid})
    await detections.find(closed={"a": "found"})
    (stored,) = await detections.store.page("ann", {}, TODAY, 10)
    assert (stored.status, stored.paid) == ("reimbursed", paid)
    await detections.find(closed={"a": "reversed"}, unpaid=["a"])
    (stored,) = await detections.store.page("ann", {}, TODAY, 10)
    assert (stored.status, stored.closed_reason, stored.paid) == ("closed", "reversed", None)
    await detections.find(settled=("a",), payments={"a": paid})
    (stored,) = await detections.store.page("ann", {}, TODAY, 10)
    assert (stored.status, stored.closed_reason, stored.paid) == ("reimbursed", None, paid)


async def test_a_case_that_was_paid_or_closed_before_it_was_found_is_not_a_claim(
    detections: Detections,
) -> None:
    await detections.find(settled=("never seen",), closed={"nor this": "found"})
    assert await detections.shown() == {}


async def test_the_status_of_a_claim_depends_on_the_requested_day(detections: Detections) -> None:
    lost = claim("a")
    await detections.find(lost)
    day = timedelta(days=1)
    statuses = {
        lost.opens - day: "waiting",
        lost.opens: "claimable",
        lost.closes: "claimable",
        lost.closes + day: "expired",
    }
    for today, status in statuses.items():
        assert await detections.shown(today) == {"a": status}
        assert await detections.shown(today, status=status) == {"a": status}


async def test_totals_are_exact_and_count_unknown_amounts_separately(
    detections: Detections,
) -> None:
    cents = [claim(f"c{n}", amount="0.10") for n in range(30)]
    await detections.find(*cents, claim("x", amount=None), claim("eur", currency="EUR"))
    totals = await detections.store.totals("ann", {}, TODAY)
    assert [(t["currency"], t["claims"], t["hundredths"], t["unvalued"]) for t in totals] == [
        ("EUR", 1, 1234, 0),
        ("USD", 31, 300, 1),
    ]


async def test_a_claim_is_visible_to_its_user_only(detections: Detections) -> None:
    await detections.find(claim("a"))
    mine = (await detections.store.page("ann", {}, TODAY, 10))[0]
    assert await detections.store.page("bob", {}, TODAY, 10) == []
    assert await detections.store.one("bob", mine.id, TODAY) is None
    assert await detections.store.one("ann", mine.id, TODAY) == mine


async def test_costs_are_stored_and_replaced(engine: Engine) -> None:
    claims = ClaimStore(engine)
    await claims.store_costs("ann", {"a": Money("1.50", "USD"), "b": Money("2", "USD")})
    await claims.store_costs("ann", {"a": Money("1.75", "USD")})
    assert await claims.costs("ann") == {"a": Money("1.75", "USD"), "b": Money("2", "USD")}
    assert await claims.costs("bob") == {}
