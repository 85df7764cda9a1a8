"""Claims as they are kept: the same case is the same claim, and its status is that of the day."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from connectors.base import Claim, Findings, Money
from service.model import Sync
from service.store.claims import ClaimStore, findings
from service.store.migrations import migrate
from service.store.sqlite import SqliteEngine
from service.store.syncs import SyncStore, save
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
TODAY = NOW.date()


class Kept:
    """A store with one running sync, whose every step may bring findings."""

    def __init__(self, engine: SqliteEngine, sync: Sync) -> None:
        self.recoveries = ClaimStore(engine)
        self._store = SyncStore(engine)
        self._sync = sync

    async def find(
        self, *claims: Claim, ran: tuple[str, ...] = ("R1",), settled: tuple[str, ...] = ()
    ) -> None:
        """As if by a sync of its own."""
        changes = {"version": self._sync.version + 1}
        self._sync = msgspec.structs.replace(self._sync, **changes)
        as_sync = msgspec.structs.replace(self._sync, id=f"sync_{self._sync.version}")
        found = Findings(claims, ran, settled)
        assert await self._store.write(save(self._sync), *findings(as_sync, found, NOW))

    async def shown(self, today: date = TODAY, **filters: str) -> dict[str, str]:
        page = await self.recoveries.page("ann", filters, today, 100)
        return {each.claim.id: each.status for each in page}


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    migrate(f"sqlite:///{tmp_path / 'sync.db'}")
    engine = await SqliteEngine.open(tmp_path / "sync.db")
    sync = new_sync()
    assert await SyncStore(engine).create(sync, 3)
    yield Kept(engine, sync)
    await engine.close()


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


async def test_a_case_that_is_found_again_is_the_same_claim(kept: Kept) -> None:
    await kept.find(claim("a"))
    first = (await kept.recoveries.page("ann", {}, TODAY, 10))[0]
    await kept.find(claim("a", amount="20.00"))
    again = await kept.recoveries.page("ann", {}, TODAY, 10)
    assert [each.id for each in again] == [first.id]
    assert again[0].claim.amount == "20.00"


async def test_a_case_that_is_found_no_more_is_withdrawn(kept: Kept) -> None:
    await kept.find(claim("a"), claim("b"))
    await kept.find(claim("b"))
    assert set(await kept.shown()) == {"b"}


async def test_claims_of_a_rule_that_did_not_run_stay_as_they_were(kept: Kept) -> None:
    await kept.find(claim("a"), claim("x", rule="R2"), ran=("R1", "R2"))
    await kept.find(ran=("R1",))
    assert set(await kept.shown()) == {"x"}


async def test_a_claim_that_was_paid_says_so_and_stays(kept: Kept) -> None:
    await kept.find(claim("a"))
    await kept.find(settled=("a",))
    await kept.find()
    assert await kept.shown() == {"a": "reimbursed"}


async def test_what_was_paid_before_it_was_ever_found_is_no_claim(kept: Kept) -> None:
    await kept.find(settled=("never seen",))
    assert await kept.shown() == {}


async def test_the_status_is_that_of_the_day_one_looks(kept: Kept) -> None:
    found = claim("a")
    await kept.find(found)
    day = timedelta(days=1)
    looks = {
        found.opens - day: "waiting",
        found.opens: "claimable",
        found.closes: "claimable",
        found.closes + day: "expired",
    }
    for today, status in looks.items():
        assert await kept.shown(today) == {"a": status}
        assert await kept.shown(today, status=status) == {"a": status}


async def test_totals_are_exact_and_tell_unknown_amounts_apart(kept: Kept) -> None:
    cents = [claim(f"c{n}", amount="0.10") for n in range(30)]
    await kept.find(*cents, claim("x", amount=None), claim("eur", currency="EUR"))
    totals = await kept.recoveries.totals("ann", {}, TODAY)
    assert [(t["currency"], t["claims"], t["hundredths"], t["unvalued"]) for t in totals] == [
        ("EUR", 1, 1234, 0),
        ("USD", 31, 300, 1),
    ]


async def test_claims_are_their_users_own(kept: Kept) -> None:
    await kept.find(claim("a"))
    mine = (await kept.recoveries.page("ann", {}, TODAY, 10))[0]
    assert await kept.recoveries.page("bob", {}, TODAY, 10) == []
    assert await kept.recoveries.one("bob", mine.id, TODAY) is None
    assert await kept.recoveries.one("ann", mine.id, TODAY) == mine


async def test_costs_are_kept_and_replaced(kept: Kept) -> None:
    await kept.recoveries.keep_costs("ann", {"a": Money("1.50", "USD"), "b": Money("2", "USD")})
    await kept.recoveries.keep_costs("ann", {"a": Money("1.75", "USD")})
    assert await kept.recoveries.costs("ann") == {"a": Money("1.75", "USD"), "b": Money("2", "USD")}
    assert await kept.recoveries.costs("bob") == {}
