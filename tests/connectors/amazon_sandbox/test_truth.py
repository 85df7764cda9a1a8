"""The expected claims, and the control endpoints that show and reimburse them."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

import pytest

from connectors.amazon_sandbox import Settings
from connectors.amazon_sandbox.generator import truth
from connectors.amazon_sandbox.generator.goods.scenarios import plan_scenarios
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import Seller, generate
from connectors.amazon_sandbox.operations.transaction import transaction

from .bench import REIMBURSEMENTS, UNLIMITED, US, Bench, error_of

pytestmark = pytest.mark.anyio

DAY = date(2026, 3, 2)


@lru_cache(maxsize=32)
def seller(orders: int = 1_000, day: date = DAY, seed: int = 1) -> Seller:
    return generate(Identity(seed, orders), day, (US,))


def later(days: int) -> Seller:
    """The same seller after some days."""
    return seller(day=DAY + timedelta(days=days))


@pytest.fixture(scope="module")
def thousand() -> Seller:
    return seller()


def by_rule(claims: list[truth.ExpectedClaim], rule: str) -> list[truth.ExpectedClaim]:
    return [claim for claim in claims if claim.rule == rule]


@pytest.mark.parametrize("day", [DAY, date(2026, 7, 9), date(2026, 11, 22)])
def test_a_seller_of_1000_orders_has_a_claim_and_a_decoy_for_every_rule(day: date) -> None:
    generated = seller(day=day, seed=day.month)
    claims = truth.claims(generated, with_costs=True)
    assert {claim.rule for claim in claims} >= {f"R{number}" for number in range(1, 11)}
    assert {decoy.rule for decoy in truth.decoys(generated)} >= {
        "R1",
        "R2",
        "R3",
        "R4",
        "R5",
        "R7",
        "R8",
    }
    for rule in ("R1", "R2", "R3"):
        assert {claim.status for claim in by_rule(claims, rule)} == {
            "waiting",
            "claimable",
            "expired",
        }
    for rule in ("R4", "R8"):
        assert {claim.status for claim in by_rule(claims, rule)} >= {"waiting", "claimable"}


def test_a_small_seller_has_claims_and_an_empty_one_has_none() -> None:
    assert {claim.rule for claim in truth.claims(seller(120), with_costs=False)} > {"R12"}
    assert truth.claims(seller(0), with_costs=True, with_receipts=True) == []


def test_claims_have_unique_keys(thousand: Seller) -> None:
    claims = truth.claims(thousand, with_costs=True)
    assert len({(claim.rule, claim.key) for claim in claims}) == len(claims)
    assert all(claim.units > 0 for claim in claims)


def test_claims_are_valued_by_reimbursements_or_by_the_price_less_fees(
    thousand: Seller,
) -> None:
    products = {product.sku: product for product in thousand.products}
    valued = [claim for claim in truth.claims(thousand, False) if claim.rule in ("R1", "R2", "R3")]
    assert {claim.valued_by for claim in valued} >= {"reimbursements", "price"}
    low = {
        payment.product.sku
        for payment in thousand.journal.reimbursements
        if payment.unit_cents < payment.product.cost and not payment.order_id
    }
    for claim in valued:
        # A product costs more than it earns, or Amazon paid too little for it before.
        if claim.valued_by is None or claim.sku in low:
            continue
        product = products[claim.sku]
        value = product.cost
        if claim.valued_by == "price":
            at, fees = thousand.midnight, thousand.fees
            value = product.price - fees.referral(product, at) - fees.expected(product, at)
        assert claim.amount == f"{value * claim.units / 100:.2f}"


def test_with_the_cost_table_claims_are_valued_by_cost(thousand: Seller) -> None:
    costs = {row["sku"]: float(row["cost"]) for row in truth.costs(thousand)}
    claims = truth.claims(thousand, with_costs=True)
    for claim in [*by_rule(claims, "R1"), *by_rule(claims, "R8")]:
        assert float(claim.amount or 0) == pytest.approx(costs[claim.sku] * claim.units)
    assert by_rule(claims, "R10") and not by_rule(truth.claims(thousand, False), "R10")


def test_a_refund_claim_has_the_amount_of_the_transaction(thousand: Seller) -> None:
    refunds: Counter[str] = Counter()
    for posting in thousand.postings:
        if posting.kind == "Refund" and posting.sale:
            posted: dict[str, Any] = transaction(thousand, posting)
            refunds[posting.sale.id] -= round(posted["totalAmount"]["currencyAmount"] * 100)
    claims = by_rule(truth.claims(thousand, False), "R4")
    amounts = [round(float(claim.amount or 0) * 100) for claim in claims]
    taken = [refunds[str(claim.order_id)] for claim in claims]
    assert sum(map(int.__eq__, amounts, taken)) > len(claims) // 2
    assert all(0 < amount <= cents for amount, cents in zip(amounts, taken, strict=True))
    for claim in claims:
        assert (claim.closes - claim.opens).days == 60


def test_a_return_without_a_refund_has_no_amount(thousand: Seller) -> None:
    damaged = by_rule(truth.claims(thousand, False), "R5")
    assert {claim.amount is None for claim in damaged} == {True, False}


def test_a_claim_keeps_its_key_while_its_status_advances() -> None:
    seen: dict[tuple[str, str], list[str]] = {}
    for days in range(0, 60, 10):
        for claim in truth.claims(later(days), with_costs=False):
            seen.setdefault((claim.rule, claim.key), []).append(claim.status)
    assert ["waiting", "claimable", "claimable"] in [statuses[:3] for statuses in seen.values()]
    order = {"waiting": 0, "claimable": 1, "expired": 2}
    for statuses in seen.values():
        assert statuses == sorted(statuses, key=order.__getitem__)


def test_low_confidence_is_marked(thousand: Seller) -> None:
    claims = truth.claims(thousand, False)
    low = {claim.rule for claim in claims if claim.confidence == "low"}
    assert low <= {"R1", "R2", "R4", "R6", "R9", "R12", "R14", "R19", "R20", "R21"}
    assert all(claim.confidence == "low" for claim in by_rule(claims, "R6"))


def test_no_amount_is_negative() -> None:
    claims = [claim for seed in range(1, 6) for claim in truth.claims(seller(seed=seed), False)]
    by_price = [claim for claim in claims if claim.valued_by == "price"]
    assert by_price and all(float(claim.amount or 0) > 0 for claim in by_price)
    unknown = [claim for claim in claims if claim.amount is None and claim.rule != "R5"]
    assert unknown and all(claim.valued_by is None for claim in unknown)


@pytest.mark.parametrize("days", range(0, 8, 2))
def test_an_unrestocked_return_is_claimed_from_day_14_to_day_100(
    days: int,
) -> None:
    generated = seller(2_500, DAY + timedelta(days=days))
    claims = by_rule(truth.claims(generated, False), "R6")
    ages = [(generated.day - claim.base).days for claim in claims]
    assert min(ages) >= 14 and max(ages) <= 100
    returned = {decoy.key for decoy in truth.decoys(generated) if decoy.rule == "R6"}
    assert returned and not returned & {claim.key for claim in claims}
    assert {claim.valued_by for claim in claims} <= {"sales", "price", None}


def test_a_reversal_opens_after_the_week_in_which_the_unit_may_be_found() -> None:
    for seed in (1, 4):  # with and without Amazon's unreconciled quantities in the ledger
        claims = by_rule(truth.claims(seller(2_500, seed=seed), False), "R9")
        assert claims
        assert {(claim.opens - claim.base).days for claim in claims} == {7}
        confidences = {claim.confidence for claim in claims if (DAY - claim.base).days < 70}
        assert confidences == ({"high"} if seed == 1 else {"low"})


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_decoy_is_a_claim(seed: int) -> None:
    generated = seller(2_500, seed=seed)
    claims = truth.claims(generated, True)
    claimed = {(claim.rule, claim.key) for claim in claims}
    claimed |= {("R7", claim.sku) for claim in by_rule(claims, "R7")}
    decoys = truth.decoys(generated)
    assert {decoy.rule for decoy in decoys} >= {f"R{number}" for number in range(1, 10)}
    assert not claimed & {(decoy.rule, decoy.key) for decoy in decoys}


def test_a_stalled_shipment_is_claimed_on_the_21st_day_without_a_receipt() -> None:
    ages = set()
    for days in range(95):
        generated = seller(200, DAY + timedelta(days=days))
        receipts: dict[str, date] = {}
        for row in generated.journal.movements:
            if row.event == "Receipts":
                last = datetime.fromtimestamp(row.at, UTC).date()
                receipts[row.reference] = max(last, receipts.get(row.reference, last))
        still = {
            shipment.id
            for shipment in generated.journal.inbound_shipments
            if shipment.status == "RECEIVING"
        }
        claims = [claim for claim in generated.journal.claims if claim.shipment_id in still]
        ages |= {(generated.day - receipts[claim.shipment_id]).days for claim in claims}
    assert min(ages) == 21


def test_an_unrefunded_return_is_listed_as_long_as_its_sale() -> None:
    """Without its sale, the marketplace and so the claim window are unknown."""
    for days in range(0, 60, 5):
        generated = later(days)
        posted = {posting.sale.id for posting in generated.postings if posting.sale}
        claims = [
            claim for claim in by_rule(truth.claims(generated, False), "R5") if claim.amount is None
        ]
        assert {claim.order_id for claim in claims} <= posted


def test_an_unrefunded_return_is_listed_until_its_claim_expires() -> None:
    last: dict[str, str] = {}
    seen: set[str] = set()
    for days in range(0, 140, 5):
        claims = by_rule(truth.claims(later(days), False), "R5")
        statuses = {claim.key: claim.status for claim in claims if claim.amount is None}
        assert {last[key] for key in last.keys() - {claim.key for claim in claims}} <= {"expired"}
        last = statuses
        seen |= statuses.keys()
    assert len(seen) > 3


def test_reimbursements_of_goods_stay_in_the_report() -> None:
    """Except those that were reversed or too low: their scenarios end with the round."""
    early, late = later(0), later(90)
    passing = {claim.product for claim in early.journal.claims if claim.rule == "R10"}
    passing |= plan_scenarios(early.root, 1_000, early.products).undisturbed
    for generated in (early, late):
        passing |= {
            reimbursement.product
            for reimbursement in generated.journal.reimbursements
            if reimbursement.units < 0
        }
    still = {reimbursement.id for reimbursement in late.journal.reimbursements}
    since = early.midnight - timedelta(days=90).total_seconds()
    lasting = [
        reimbursement
        for reimbursement in early.journal.reimbursements
        if not reimbursement.order_id and reimbursement.at > since
    ]
    assert {
        reimbursement.product for reimbursement in lasting if reimbursement.id not in still
    } <= passing
    assert len(lasting) > 20


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_late_reimbursement_of_a_shipment_does_not_match_the_next_one(seed: int) -> None:
    early = seller(seed=seed)
    short = [claim for claim in early.journal.claims if claim.rule == "R8"]
    reimbursed_claims = {("R8", claim.key): early.midnight for claim in short}
    late = generate(Identity(seed, 1_000), DAY + timedelta(days=20), (US,), reimbursed_claims)
    for claim in late.journal.claims:
        if claim.rule == "R8" and not claim.paid:
            paid = [
                reimbursement
                for reimbursement in late.journal.reimbursements
                if reimbursement.product == claim.product
            ]
            since = claim.base - timedelta(days=7).total_seconds()
            assert not [
                reimbursement
                for reimbursement in paid
                if reimbursement.reason == "Lost_Inbound" and reimbursement.at >= since
            ]


async def test_the_endpoint_shows_claims_decoys_and_costs() -> None:
    bench = Bench(Settings(orders=1_000, quotas=UNLIMITED))
    claim = (await bench.truth())[0]
    assert claim["rule"] == "R1" and claim["name"] == "LOST_WAREHOUSE"
    assert claim["key"] == f"{claim['fnsku']}|{claim['base']}|{claim['referenceId']}"
    assert list(claim) == [
        "rule",
        "name",
        "key",
        "fnsku",
        "sku",
        "orderId",
        "shipmentId",
        "referenceId",
        "units",
        "amount",
        "currency",
        "valuedBy",
        "status",
        "base",
        "opens",
        "closes",
        "confidence",
    ]
    for selection, keys in (
        ("all", {"claims", "decoys"}),
        ("decoys", {"decoys"}),
        ("costs", {"costs"}),
        ("dimensions", {"dimensions"}),
    ):
        body = (await bench.client.get(f"/_sandbox/sellers/1?truth={selection}")).json()
        assert body.keys() == keys and all(body.values())
    assert error_of(await bench.client.get("/_sandbox/sellers/1?truth=unknown"))[0] == 400


async def test_a_reimbursement_closes_its_claim() -> None:
    bench = Bench(Settings(orders=1_000, quotas=UNLIMITED))
    before = await bench.truth()
    chosen = {claim["rule"]: claim for claim in before if claim["status"] == "claimable"}
    chosen = {rule: chosen[rule] for rule in ("R1", "R2", "R3", "R4", "R5", "R8")}
    paid = await bench.rows(REIMBURSEMENTS, 300)
    posted = [transaction async for page in bench.transactions() for transaction in page]
    for rule, claim in chosen.items():
        body = {"seed": 1, "orders": 1_000, "rule": rule, "key": claim["key"]}
        assert (await bench.control("reimburse", body)).status_code == 200
    after = await bench.truth()
    assert {claim["key"] for claim in before} == {claim["key"] for claim in after}
    closed = {claim["rule"]: claim["key"] for claim in after if claim["status"] == "reimbursed"}
    assert closed == {rule: claim["key"] for rule, claim in chosen.items()}
    await bench.clock.sleep(4 * 3_600)
    await bench.log_in()
    new = [row for row in await bench.rows(REIMBURSEMENTS, 300) if row not in paid]
    assert sorted((row["fnsku"], row["quantity-reimbursed-total"]) for row in new) == sorted(
        (claim["fnsku"], str(claim["units"])) for claim in chosen.values()
    )
    orders = {claim["orderId"] or "" for claim in chosen.values()}
    assert {row["amazon-order-id"] for row in new} == orders
    more = [transaction async for page in bench.transactions() for transaction in page]
    assert len(more) == len(posted) + len(chosen)


async def test_an_unknown_or_closed_claim_cannot_be_reimbursed() -> None:
    bench = Bench(Settings(orders=1_000, quotas=UNLIMITED))
    claims = await bench.truth()
    fee = next(claim["key"] for claim in claims if claim["rule"] == "R7")
    old = next(
        claim["key"] for claim in claims if claim["rule"] == "R1" and claim["status"] == "expired"
    )
    for rule, key, status in (("R7", fee, 400), ("R1", old, 400), ("R1", "nothing", 404)):
        body = {"seed": 1, "rule": rule, "key": key}
        assert error_of(await bench.control("reimburse", body))[0] == status
    assert error_of(await bench.control("reimburse", {"seed": "x"}))[0] == 400


async def test_reset_removes_reimbursements() -> None:
    bench = Bench(Settings(orders=1_000), datetime(2026, 3, 2, 9, 30, tzinfo=UTC))
    before = await bench.truth()
    key = next(
        claim["key"] for claim in before if claim["rule"] == "R3" and claim["status"] == "waiting"
    )
    await bench.control("reimburse", {"seed": 1, "rule": "R3", "key": key})
    assert await bench.truth() != before
    await bench.control("reset")
    assert await bench.truth() == before
