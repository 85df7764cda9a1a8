"""Findings are stored in parts: each small, and consistent whenever they are interrupted."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from connectors.claims import Claim, Findings, Paid
from service.model import Sync
from service.store import findings as storing
from service.store.claims import ClaimStore
from service.store.engine import Engine
from service.store.findings import FindingsPart, findings_in_parts
from service.store.syncs import SyncStore, save
from tests.service.store.stores import NOW, Stores, begin_sync, records, store_page
from tests.service.store.test_claims import TODAY, claim
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio

PAID = Paid("9.99", "USD", TODAY, "pay-1")
FIRST = Findings([claim(name) for name in ("moved", "paid", "found", "gone", "stays")], ran=["R1"])
SECOND = Findings(
    [claim("stays", amount="20.00"), *(claim(f"new-{number}", rule="R9") for number in range(4))],
    ran=["R1", "R9"],
    settled=["paid"],
    payments={"paid": PAID},
    closed={"found": "found", "moved": "reversed"},
)
ENDED = {
    "moved": ("closed", "reversed", None),
    "paid": ("reimbursed", None, PAID),
    "found": ("closed", "found", None),
    "gone": ("closed", "no longer supported", None),
    "stays": ("claimable", None, None),
    **{f"new-{number}": ("claimable", None, None) for number in range(4)},
}

Shown = dict[str, tuple[str, str | None, Paid | None]]


class Shop:
    """One connection, whose running sync stores its findings in parts."""

    def __init__(self, engine: Engine, sync: Sync) -> None:
        self.claims = ClaimStore(engine)
        self._syncs = SyncStore(engine)
        self._sync = sync

    async def parts(self, found: Findings) -> list[FindingsPart]:
        connection = self._sync.connection_id
        lists = [await self.claims.open_ids(connection, rule, None) for rule in found.ran]
        open_claims = [claim_id for ids in lists for claim_id in ids]
        return list(findings_in_parts(self._sync, found, NOW, open_claims))

    async def store(self, parts: Sequence[FindingsPart]) -> None:
        for part in parts:
            changed = msgspec.structs.replace(self._sync, version=self._sync.version + 1)
            assert await self._syncs.write(save(changed), *part.statements)
            self._sync = changed

    async def detect(self, found: Findings) -> None:
        await self.store(await self.parts(found))

    async def shown(self) -> Shown:
        page = await self.claims.page("ann", {}, TODAY, 100)
        return {row.claim.id: (row.status, row.closed_reason, row.paid) for row in page}

    async def ids(self) -> dict[str, str]:
        return {row.claim.id: row.id for row in await self.claims.page("ann", {}, TODAY, 100)}


@pytest.fixture
async def shop(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(storing, "ROWS_AT_ONCE", 2)
    stores = Stores(engine)
    sync = await begin_sync(stores, new_sync())
    return Shop(engine, await store_page(stores, sync, records(("a", "1"), ("b", "2"))))


def rows(part: FindingsPart) -> int:
    return sum(len(statement.rows) for statement in part.statements)


async def test_a_part_has_few_rows_and_only_the_last_one_ends_the_detection(shop: Shop) -> None:
    parts = await shop.parts(Findings([claim(f"c{n}") for n in range(9)], ran=["R1"]))
    assert [part.claims for part in parts] == [1] * 9, "each has two rows: the claim and its proof"
    assert [part.last for part in parts] == [False] * 8 + [True]
    many = claim("many", evidence={"ledger": [f"row-{number}" for number in range(500)]})
    assert [part.claims for part in await shop.parts(Findings([many, claim("b")], ["R1"]))] == [
        1,
        1,
    ], "a claim is not divided"


async def test_very_many_payments_are_stored_in_parts_too(shop: Shop) -> None:
    settled = [f"paid-{number}" for number in range(100)]
    parts = await shop.parts(Findings([], ran=["R1"], settled=settled))
    assert [rows(part) for part in parts] == [2 + 1] * 50, "one says whether all is stored"


async def test_a_detection_without_findings_is_one_part(shop: Shop) -> None:
    (part,) = await shop.parts(Findings([], ran=["R1"]))
    assert (rows(part), part.claims, part.last) == (1, 0, True), "only the mark of its end"


async def test_all_parts_together_store_the_detection(shop: Shop) -> None:
    await shop.detect(FIRST)
    await shop.detect(SECOND)
    assert await shop.shown() == ENDED


async def test_claims_end_before_others_take_their_place(shop: Shop) -> None:
    """The unit of a case that moved to another rule is claimed once at most, whenever the sync
    ends."""
    await shop.detect(FIRST)
    for part in await shop.parts(SECOND):
        await shop.store([part])
        shown = await shop.shown()
        statuses = {name: status for name, (status, *_) in shown.items()}
        if any(name.startswith("new") for name in statuses):
            assert (statuses["moved"], statuses["gone"]) == ("closed", "closed")


@pytest.mark.parametrize("stored", range(8))
async def test_an_interrupted_detection_is_completed_by_the_next_one(
    shop: Shop, stored: int
) -> None:
    await shop.detect(FIRST)
    ids = await shop.ids()
    parts = await shop.parts(SECOND)
    assert len(parts) == 7
    await shop.store(parts[:stored])
    between = await shop.ids()
    assert ids.items() <= between.items(), "none vanishes"
    await shop.detect(SECOND)
    assert await shop.shown() == ENDED
    assert between.items() <= (await shop.ids()).items(), "none doubles"


async def test_what_an_interrupted_detection_stored_is_closed_if_the_sync_no_longer_finds_it(
    shop: Shop,
) -> None:
    """The sync was resumed and has read more; it is the same sync."""
    parts = await shop.parts(FIRST)
    await shop.store(parts[:1])
    await shop.detect(Findings([], ran=["R1"]))
    assert await shop.shown() == {"moved": ("closed", "no longer supported", None)}


async def test_evidence_is_copied_in_every_part_and_once(shop: Shop) -> None:
    proof: Any = {"orders": ["a", "b"]}
    found = Findings([claim(name, evidence=proof) for name in "xyz"], ran=["R1"])
    await shop.store((await shop.parts(found))[:2])
    await shop.detect(found)
    for claim_id in (await shop.ids()).values():
        kept = await shop.claims.evidence(claim_id)
        assert sorted(kept["orders"]) == ["a", "b"]


async def test_open_claims_are_those_of_the_rule_and_of_the_days(shop: Shop) -> None:
    def on(day: int, key: str, **more: Any) -> Claim:
        return claim(key, happened_at=TODAY - timedelta(days=day), **more)

    ids = ("old", "new", "of another rule")
    found = [on(90, ids[0]), on(10, ids[1]), on(10, ids[2], rule="R2")]
    await shop.detect(Findings(found, ran=["R1", "R2"]))
    named = {claim_id: key for key, claim_id in (await shop.ids()).items()}
    since = TODAY - timedelta(days=60)
    found_ids = await shop.claims.open_ids(new_sync().connection_id, "R1", since)
    assert [named[claim_id] for claim_id in found_ids] == ["new"]
