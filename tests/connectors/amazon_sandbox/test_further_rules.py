"""The planted cases of R11 to R21, each with a near miss."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta

import pytest

from connectors.amazon_sandbox.generator import truth
from connectors.amazon_sandbox.generator.goods import parcels, receipts, removals, transfers
from connectors.amazon_sandbox.generator.goods.scenarios import Scenario
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import Seller, generate

from .bench import LEDGER, REMOVAL_SHIPMENTS, REMOVALS, Bench
from .test_paid import planted

US = "ATVPDKIKX0DER"
FURTHER = {f"R{number}" for number in range(11, 22)}
NAMES = {
    "R11": {"REMOVAL_SHORT"},
    "R12": {"REMOVAL_LOST"},
    "R13": {"RETURN_UNDERPAID"},
    "R14": {"INBOUND_DAMAGED", "RECEIPT_TAKEN_BACK"},
    "R15": {"REPLACEMENT_NOT_RETURNED"},
    "R16": {"REFERRAL_OVERCHARGE"},
    "R17": {"REFUND_COMMISSION"},
    "R18": {"REFUNDED_TOO_MUCH"},
    "R19": {"FEE_DIMENSIONS"},
    "R20": {"TRANSFER_LOST"},
    "R21": {"STORAGE_OVERCHARGE"},
}


@pytest.fixture(scope="module")
def seller() -> Seller:
    return generate(Identity(1, 2_500), date(2026, 3, 2), (US,))


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_seller_has_a_claim_and_a_near_miss_for_every_rule(seed: int) -> None:
    generated = generate(Identity(seed, 2_500), date(2026, 3, 2), (US,))
    names = defaultdict(set)
    for claim in truth.claims(generated, False):
        names[claim.rule].add(claim.name)
    assert {rule: names[rule] for rule in FURTHER} == NAMES
    assert {decoy.rule for decoy in truth.decoys(generated)} >= FURTHER


@pytest.mark.parametrize(
    ("scenario", "days", "units"),
    [
        (removals.fetched_short, 4, None),
        (removals.fetched_short_beside_cancelled, 6, 1),
        (removals.fetched_after_cancellation, 6, None),
        (removals.fetched_short_then_paid, 6, 2),
        (removals.fetched_short_then_paid, 14, None),
        (receipts.received_damaged_then_paid, 5, 2),
        (receipts.received_damaged_then_paid, 17, None),
        (receipts.received_defective, 5, None),
        (receipts.receipt_taken_back_then_paid, 8, None),
        (receipts.receipt_taken_back_then_paid, 10, 2),
        (receipts.receipt_taken_back_then_paid, 21, None),
        (receipts.receipt_counted_twice, 10, None),
        (transfers.transfer_partly_lost, 44, None),
        (transfers.transfer_partly_lost, 46, 2),
        (transfers.transfer_late, 46, None),
        (transfers.transfer_in_parts, 46, None),
        (transfers.transfer_found, 50, 2),
        (transfers.transfer_found, 53, None),
    ],
)
def test_a_scenario_is_a_claim_or_a_near_miss(
    scenario: Scenario, days: int, units: int | None
) -> None:
    journal = planted(scenario, days)
    assert [claim.units for claim in journal.claims] == ([units] if units else [])
    if units is None:
        assert [decoy.reason != "" for decoy in journal.decoys] == [True]


Case = tuple[int, bool]
"""The units of a claim, and whether it has low confidence."""


@pytest.mark.parametrize(
    ("scenario", "days", "told", "untold"),
    [
        (removals.fetched_back, 13, None, None),
        (removals.fetched_back, 20, None, (1, True)),
        (parcels.parcel_partly_lost, 16, None, None),
        (parcels.parcel_partly_lost, 17, (2, False), (5, True)),
        (parcels.parcel_without_answer, 18, (3, True), (3, True)),
        (parcels.second_parcel_lost, 20, (3, False), (4, True)),
        (parcels.parcel_lost_then_paid, 27, (2, False), (2, True)),
        (parcels.parcel_lost_then_paid, 29, None, None),
        (parcels.parcel_lost_then_partly_paid, 29, (2, False), (2, True)),
        (parcels.order_short_and_parcel_lost, 20, (3, False), (3, True)),
    ],
)
def test_a_parcel_is_claimed_by_what_the_seller_tells(
    scenario: Scenario, days: int, told: Case | None, untold: Case | None
) -> None:
    journal = planted(scenario, days)
    for with_answers, expected in ((True, told), (False, untold)):
        found = parcels.parcel_claims(journal, with_answers)
        last = found.claims[-1:]
        assert [(claim.units, claim.low) for claim in last] == ([expected] if expected else [])
        assert found.claims or found.decoys
    rows = parcels.receipts(journal)
    assert {row.order_id for row in rows} <= {order.id for order in journal.removals}


@pytest.mark.anyio
async def test_the_report_on_removal_shipments_shows_what_is_claimed() -> None:
    bench = Bench()
    claims = [claim for claim in await bench.truth("1-1000") if claim["rule"] == "R12"]
    await bench.log_in("Atzr|sandbox-1-1000")
    sent: Counter[str] = Counter()
    tracking = set()
    for row in await bench.rows(REMOVAL_SHIPMENTS, 160):
        assert row["removal-order-type"] == "Return"
        key = f"{row['order-id']}|{row['fnsku']}|{row['shipment-date'][:10]}"
        sent[key] += int(row["shipped-quantity"])
        tracking.add(row["tracking-number"])
    assert claims and all(0 < claim["units"] <= sent[claim["key"]] for claim in claims)
    answer = await bench.client.get("/_sandbox/sellers/1-1000?truth=received")
    told = answer.json()["received"]
    assert told and {row["trackingNumber"] for row in told} < tracking


@pytest.mark.anyio
async def test_a_removal_order_lacks_what_is_claimed(bench: Bench) -> None:
    claims = {
        claim["referenceId"]: claim for claim in await bench.truth() if claim["rule"] == "R11"
    }
    assert claims
    for row in await bench.rows(REMOVALS, 160):
        figures = ("cancelled", "disposed", "shipped", "in-process")
        accounted = sum(int(row[f"{figure}-quantity"]) for figure in figures)
        missing = int(row["requested-quantity"]) - accounted
        assert missing >= 0
        if claim := claims.pop(row["order-id"], None):
            assert (row["order-status"], missing) == ("Completed", claim["units"])
            assert claim["base"] == row["last-updated-date"][:10]
    assert not claims


@pytest.mark.anyio
async def test_the_ledger_shows_damaged_and_reversed_receipts_and_lost_transfers() -> None:
    bench = Bench()
    claims = await bench.truth("1-1000")
    await bench.log_in("Atzr|sandbox-1-1000")
    transfers_by_id: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for row in await bench.rows(LEDGER, 101):
        values = {name.strip('"'): value.strip('"') for name, value in row.items()}
        units = int(values["Quantity"])
        if values["Event Type"] == "WhseTransfers":
            transfers_by_id[values["Reference ID"]] -= units
        if values["Event Type"] == "Receipts":
            damaged = values["Disposition"] in ("WAREHOUSE_DAMAGED", "DISTRIBUTOR_DAMAGED")
            taken[values["Reference ID"]] += units if damaged else max(0, -units)
    rules = Counter(claim["rule"] for claim in claims)
    assert rules["R14"] and rules["R20"]
    for claim in claims:
        age = datetime(2026, 3, 2, tzinfo=UTC) - datetime.fromisoformat(f"{claim['base']}T00+00:00")
        if claim["rule"] == "R20":
            assert transfers_by_id[claim["referenceId"]] == claim["units"]
            assert claim["confidence"] == "low"
        if claim["rule"] == "R14" and age < timedelta(days=90):
            assert taken[claim["shipmentId"]] == claim["units"]
