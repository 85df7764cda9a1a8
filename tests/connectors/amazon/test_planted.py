"""The rules beside what the sandbox's generator planted: every claim, and all that is said of it.

Read by the connector as it reads Amazon, on days and in places where counting may go wrong."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from connectors.amazon_sandbox import Settings
from connectors.base import Money, Record
from tests.connectors.clocks import JumpingClock

from .bench import CANADA, DATASETS, MEXICO, UNLIMITED, US, Bench, connect
from .planted import as_found, as_planted

pytestmark = pytest.mark.anyio

GERMANY, FRANCE, BRITAIN = "A1PA6795UKMFR9", "A13V1IB3VIYZZH", "A1F83G8C2ARO7P"

SELLERS = [
    (1, 1_000, "2026-03-02T09:30:00", (US,)),
    (2, 700, "2026-12-31T23:30:00", (US,)),
    (3, 300, "2027-01-01T00:05:00", (GERMANY,)),
    (4, 1_000, "2028-02-29T12:00:00", (BRITAIN,)),
    (5, 700, "2028-03-01T01:00:00", (US, CANADA, MEXICO)),
    (6, 1_000, "2026-03-29T02:30:00", (GERMANY, FRANCE, BRITAIN)),
    (7, 40, "2026-11-01T05:59:59", (US,)),
    (8, 1, "2026-10-25T00:30:00", (BRITAIN, GERMANY)),
    (9, 0, "2026-08-01T00:05:00", (US,)),
    (78, 1_000, "2026-07-12T09:00:00", (US,)),  # the ledger just reaches back to a payment
]
"""Seed, size, moment, marketplaces: the first one is where the seller is at home."""


class Landed:
    """What the connector read, as the service keeps it."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Record]] = {}
        self.costs: dict[str, Money] = {}

    def read(self, dataset: str) -> Iterable[Record]:
        return self.records[dataset].values()

    def complete(self, dataset: str) -> bool:
        return dataset in self.records

    def cost(self, sku: str) -> Money | None:
        return self.costs.get(sku)


class Market:
    """A seller of the sandbox, and what was landed of it."""

    def __init__(self, seed: int, orders: int, at: str, places: tuple[str, ...]) -> None:
        clock = JumpingClock(datetime.fromisoformat(at).replace(tzinfo=UTC))
        self.clock, self.name = clock, f"{seed}-{orders}"
        self.bench = Bench(Settings(quotas=UNLIMITED, marketplaces=places), clock)
        self.home = places[0]
        self.landed = Landed()

    async def found(self) -> list[dict[str, Any]]:
        as_of = self.clock.now()
        for dataset in DATASETS:
            pages = await self.bench.sync(dataset, connect(self.name, [self.home]))
            kept = self.landed.records.setdefault(dataset.name, {})
            kept.update({each.id: each for page in pages for each in page.records})
        found = self.bench.connector.detect(self.landed, as_of).claims
        return [msgspec.to_builtins(each) for each in found]

    async def asked(self, **what: str) -> Any:
        return (await self.bench.doors.get(f"sellers/{self.name}", params=what)).json()

    async def planted(self, **costs: str) -> list[dict[str, Any]]:
        claims: list[dict[str, Any]] = (await self.asked(truth="claims", **costs))["claims"]
        return [each for each in claims if each["status"] != "reimbursed"]


def statuses(claims: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((each["rule"], each["status"]) for each in claims)


@pytest.mark.parametrize(("seed", "orders", "at", "places"), SELLERS)
async def test_what_was_planted_is_found_as_it_was_planted_and_nothing_else(
    seed: int, orders: int, at: str, places: tuple[str, ...]
) -> None:
    market = Market(seed, orders, at, places)
    found, planted = await market.found(), await market.planted()
    assert sorted(map(as_found, found)) == sorted(map(as_planted, planted))
    assert statuses(found) == statuses(planted)
    table = (await market.asked(truth="costs"))["costs"]
    market.landed.costs = {each["sku"]: Money(each["cost"], each["currency"]) for each in table}
    found, planted = await market.found(), await market.planted(costs="given")
    assert sorted(map(as_found, found)) == sorted(map(as_planted, planted))


async def test_from_a_thousand_orders_on_every_rule_finds_something() -> None:
    market = Market(*SELLERS[0])
    market.landed.costs = {
        each["sku"]: Money(each["cost"], each["currency"])
        for each in (await market.asked(truth="costs"))["costs"]
    }
    assert {each["rule"] for each in await market.found()} == {f"R{each}" for each in range(1, 11)}


async def test_the_241st_item_of_a_shipment_counts() -> None:
    market = Market(*SELLERS[0])
    await market.bench.door("faults", {"shipmentFillers": 240})
    found, planted = await market.found(), await market.planted()
    assert sum(each["rule"] == "R8" for each in planted) > 1
    assert sorted(map(as_found, found)) == sorted(map(as_planted, planted))


@pytest.mark.parametrize("seed", [11, 12])
async def test_payments_that_come_later_close_their_claims_and_no_others(seed: int) -> None:
    market = Market(seed, 1_000, "2026-05-05T08:00:00", (US,))
    before = {each["id"]: each for each in await market.found()}
    rules, paid = Counter({rule: 2 for rule in ("R1", "R2", "R3", "R4", "R5", "R8")}), []
    for claim in await market.planted():
        if rules[claim["rule"]] <= 0:
            continue
        body = {"seed": seed, "orders": 1_000, "rule": claim["rule"], "key": claim["key"]}
        if (await market.bench.doors.post("reimburse", json=body)).status_code == 200:
            paid.append(claim)
            rules[claim["rule"]] -= 1
    assert not +rules, "two of each rule that a payment can close"
    market.clock.time += timedelta(hours=5)  # then Amazon makes its daily reports anew
    after = {each["id"]: each for each in await market.found()}
    planted = await market.planted()
    assert sorted(map(as_found, after.values())) == sorted(map(as_planted, planted))
    assert not after.keys() - before.keys()
    closed = [as_found(before[each]) for each in before.keys() - after.keys()]
    assert sorted(closed) == sorted(map(as_planted, paid))
