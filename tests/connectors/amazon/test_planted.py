"""The claims that the rules find are those that the sandbox's generator planted.

Read through the connector, on dates and in marketplaces where counting may go wrong."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from connectors.amazon.claims import RULES
from connectors.amazon_sandbox import Settings
from connectors.base import Record
from connectors.claims import Dimensions, Money, RemovalArrival
from tests.connectors.clocks import JumpingClock

from .bench import CANADA, DATASETS, MEXICO, UNLIMITED, US, Bench, connect
from .planted import as_found, as_planted

pytestmark = pytest.mark.anyio

GERMANY, FRANCE, BRITAIN = "A1PA6795UKMFR9", "A13V1IB3VIYZZH", "A1F83G8C2ARO7P"
JAPAN = "A1VC38T7YXB528"
RULE_CODES = {rule.code for rule in RULES}

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
    (78, 1_000, "2026-07-12T09:00:00", (US,)),  # the ledger reaches back just to a payment
    (10, 1_000, "2026-11-05T08:00:00", (US,)),  # the peak season has begun
    (11, 1_000, "2027-01-27T08:00:00", (US, CANADA)),  # it has ended, with a new table of fees
    (12, 1_000, "2026-05-09T08:00:00", (US,)),  # there is a new surcharge
    (13, 1_000, "2026-06-17T08:00:00", (JAPAN,)),
    (14, 1_600, "2026-09-30T08:00:00", (GERMANY, FRANCE)),
    (15, 200, "2026-02-20T08:00:00", (JAPAN,)),
]
"""Seed, size, time, marketplaces; the first one is the seller's home."""


class Landed:
    """The stored records."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Record]] = {}
        self.costs: dict[str, Money] = {}
        self.measured: dict[str, Dimensions] = {}
        self.learned: dict[str, str] = {}
        self.received: list[RemovalArrival] = []

    def read(self, dataset: str) -> Iterable[Record]:
        return self.records[dataset].values()

    def complete(self, dataset: str) -> bool:
        return dataset in self.records

    def cost(self, sku: str) -> Money | None:
        return self.costs.get(sku)

    def dimensions(self, sku: str) -> Dimensions | None:
        return self.measured.get(sku)

    def arrivals(self) -> Sequence[RemovalArrival]:
        return self.received


class Market:
    """A seller of the sandbox and their stored records."""

    def __init__(self, seed: int, orders: int, at: str, places: tuple[str, ...]) -> None:
        clock = JumpingClock(datetime.fromisoformat(at).replace(tzinfo=UTC))
        self.clock, self.name = clock, f"{seed}-{orders}"
        self.bench = Bench(Settings(quotas=UNLIMITED, marketplaces=places), clock)
        self.home = places[0]
        self.landed = Landed()
        self.as_of = clock.now()

    async def found(self) -> list[dict[str, Any]]:
        """Read everything, then find the claims."""
        self.as_of = self.clock.now()
        for dataset in DATASETS:
            pages = await self.bench.sync(dataset, connect(self.name, [self.home]))
            stored = self.landed.records.setdefault(dataset.name, {})
            stored.update({record.id: record for page in pages for record in page.records})
        return self.detected()

    def detected(self) -> list[dict[str, Any]]:
        """The claims among the records that were read last."""
        claims = self.bench.connector.detect(self.landed, self.as_of).claims
        return [msgspec.to_builtins(claim) for claim in claims]

    async def asked(self, **what: str) -> Any:
        return (await self.bench.controls.get(f"sellers/{self.name}", params=what)).json()

    async def told(self) -> list[RemovalArrival]:
        rows = (await self.asked(truth="received"))["received"]
        names = ("orderId", "quantityReceived", "sku", "fnsku", "trackingNumber")
        return [RemovalArrival(*(row[name] for name in names)) for row in rows]

    async def planted(self, **given: str) -> list[dict[str, Any]]:
        claims: list[dict[str, Any]] = (await self.asked(truth="claims", **given))["claims"]
        return [
            claim
            for claim in claims
            if claim["status"] != "reimbursed" and claim["rule"] in RULE_CODES
        ]


def statuses(claims: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((claim["rule"], claim["status"]) for claim in claims)


@pytest.mark.parametrize(("seed", "orders", "at", "places"), SELLERS)
async def test_exactly_the_planted_claims_are_found(
    seed: int, orders: int, at: str, places: tuple[str, ...]
) -> None:
    market = Market(seed, orders, at, places)
    claims, planted = await market.found(), await market.planted()
    assert sorted(map(as_found, claims)) == sorted(map(as_planted, planted))
    assert statuses(claims) == statuses(planted)
    table = (await market.asked(truth="costs"))["costs"]
    market.landed.costs = {row["sku"]: Money(row["cost"], row["currency"]) for row in table}
    market.landed.received = await market.told()
    claims, planted = market.detected(), await market.planted(costs="given", received="given")
    assert sorted(map(as_found, claims)) == sorted(map(as_planted, planted))


async def test_with_a_thousand_orders_every_rule_finds_a_claim() -> None:
    market = Market(*SELLERS[0])
    market.landed.costs = {
        row["sku"]: Money(row["cost"], row["currency"])
        for row in (await market.asked(truth="costs"))["costs"]
    }
    planted = {claim["rule"] for claim in await market.planted(costs="given")}
    assert {claim["rule"] for claim in await market.found()} == planted
    assert planted >= {f"R{number}" for number in range(1, 11)}


async def test_the_241st_item_of_a_shipment_counts() -> None:
    market = Market(*SELLERS[0])
    await market.bench.control("faults", {"shipmentFillers": 240})
    claims, planted = await market.found(), await market.planted()
    assert sum(claim["rule"] == "R8" for claim in planted) > 1
    assert sorted(map(as_found, claims)) == sorted(map(as_planted, planted))


async def test_claims_end_when_the_data_says_so() -> None:
    """Found, reconciled without a payment, or paid: twelve days later they are no longer open."""
    market = Market(23, 1_000, "2026-03-02T09:30:00", (US,))
    before = {
        (claim["rule"], claim["key"]): subject(as_planted(claim))
        for claim in await market.planted()
    }
    assert {subject(as_found(claim)) for claim in await market.found()} == set(before.values())
    market.clock.time += timedelta(days=12)
    after = {subject(as_found(claim)) for claim in await market.found()}
    ended = [
        ending
        for ending in (await market.asked(truth="endings"))["endings"]
        if (ending["rule"], ending["key"]) in before
    ]
    assert {ending["reason"] for ending in ended} == {"found", "reconciled", "reimbursed"}
    assert not {before[ending["rule"], ending["key"]] for ending in ended} & after


def subject(line: str) -> str:
    """The rule of a claim and what identifies it."""
    return line.partition(": ")[0]


@pytest.mark.parametrize("seed", [11])
async def test_later_payments_settle_their_claims_and_no_others(seed: int) -> None:
    market = Market(seed, 1_000, "2026-05-05T08:00:00", (US,))
    before = {claim["id"]: claim for claim in await market.found()}
    rules, paid = Counter({rule: 2 for rule in ("R1", "R2", "R3", "R4", "R5", "R8")}), []
    for claim in await market.planted():
        if rules[claim["rule"]] <= 0:
            continue
        body = {"seed": seed, "orders": 1_000, "rule": claim["rule"], "key": claim["key"]}
        if (await market.bench.controls.post("reimburse", json=body)).status_code == 200:
            paid.append(claim)
            rules[claim["rule"]] -= 1
    assert not +rules, "two of each rule that a payment can close"
    market.clock.time += timedelta(hours=5)  # Amazon makes its daily reports again
    after = {claim["id"]: claim for claim in await market.found()}
    planted = await market.planted()
    assert sorted(map(as_found, after.values())) == sorted(map(as_planted, planted))
    assert not after.keys() - before.keys()
    closed = [as_found(before[key]) for key in before.keys() - after.keys()]
    assert sorted(closed) == sorted(map(as_planted, paid))
