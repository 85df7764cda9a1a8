"""The claims that should be found, and the doors that tell and change them."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from connectors.amazon_sandbox import Settings
from connectors.amazon_sandbox.generator import truth
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import Seller, generate
from connectors.amazon_sandbox.operations.transaction import transaction

from .bench import REIMBURSEMENTS, UNLIMITED, US, Bench, refusal

pytestmark = pytest.mark.anyio

DAY = date(2026, 3, 2)
GERMANY, BRITAIN = "A1PA6795UKMFR9", "A1F83G8C2ARO7P"


def seller(orders: int = 1_000, day: date = DAY, seed: int = 1) -> Seller:
    return generate(Identity(seed, orders), day, (US,))


@pytest.fixture(scope="module")
def thousand() -> Seller:
    return seller()


def of(claims: list[truth.Claim], rule: str) -> list[truth.Claim]:
    return [each for each in claims if each.rule == rule]


@pytest.mark.parametrize("day", [DAY, date(2026, 7, 9), date(2026, 11, 22)])
def test_from_a_thousand_orders_on_every_rule_has_a_claim_and_a_decoy(day: date) -> None:
    one = seller(day=day, seed=day.month)
    claims = truth.claims(one, with_costs=True)
    assert {each.rule for each in claims} == {f"R{number}" for number in range(1, 11)}
    assert {each.rule for each in truth.decoys(one)} >= {"R1", "R2", "R3", "R4", "R5", "R7", "R8"}
    for rule in ("R1", "R2", "R3"):
        assert {each.status for each in of(claims, rule)} == {"waiting", "claimable", "expired"}
    for rule in ("R4", "R8"):
        assert {each.status for each in of(claims, rule)} >= {"waiting", "claimable"}


def test_a_small_seller_has_some_and_an_empty_one_none() -> None:
    assert truth.claims(seller(120), with_costs=False)
    assert truth.claims(seller(0), with_costs=True) == []


def test_a_key_is_one_claim(thousand: Seller) -> None:
    claims = truth.claims(thousand, with_costs=True)
    assert len({(each.rule, each.key) for each in claims}) == len(claims)
    assert all(each.units > 0 for each in claims)


def test_claims_are_worth_what_was_paid_for_such_units_or_less_than_their_price(
    thousand: Seller,
) -> None:
    products = {each.sku: each for each in thousand.products}
    found = [each for each in truth.claims(thousand, False) if each.rule in ("R1", "R2", "R3")]
    assert {each.valued_by for each in found} == {"reimbursements", "price"}
    for each in found:
        product = products[each.sku]
        value = product.cost
        if each.valued_by == "price":
            value = product.price - truth.referral(product) - product.fee
        assert each.amount == f"{value * each.units / 100:.2f}"


def test_with_a_table_of_costs_they_are_worth_what_they_cost(thousand: Seller) -> None:
    costs = {each["sku"]: float(each["cost"]) for each in truth.costs(thousand)}
    claims = truth.claims(thousand, with_costs=True)
    for each in [*of(claims, "R1"), *of(claims, "R8")]:
        assert float(each.amount or 0) == pytest.approx(costs[each.sku] * each.units)
    assert of(claims, "R10") and not of(truth.claims(thousand, False), "R10")


def test_a_refund_claims_what_the_transaction_took(thousand: Seller) -> None:
    refunds = {}
    for posting in thousand.postings:
        if posting.kind == "Refund" and posting.sale:
            told: dict[str, Any] = transaction(thousand, posting)
            refunds[posting.sale.id] = -told["totalAmount"]["currencyAmount"]
    claims = of(truth.claims(thousand, False), "R4")
    whole = [each for each in claims if float(each.amount or 0) == refunds[str(each.order_id)]]
    assert len(whole) > len(claims) // 2
    for each in claims:
        assert 0 < float(each.amount or 0) <= refunds[str(each.order_id)]
        assert (each.closes - each.opens).days == 60


def test_a_return_without_a_refund_has_no_amount(thousand: Seller) -> None:
    damaged = of(truth.claims(thousand, False), "R5")
    assert {each.amount is None for each in damaged} == {True, False}


def test_a_claim_grows_older_and_keeps_its_key() -> None:
    seen: dict[tuple[str, str], list[str]] = {}
    for days in range(0, 60, 10):
        for each in truth.claims(seller(day=DAY + timedelta(days=days)), with_costs=False):
            seen.setdefault((each.rule, each.key), []).append(each.status)
    assert ["waiting", "claimable", "claimable"] in [told[:3] for told in seen.values()]
    order = {"waiting": 0, "claimable": 1, "expired": 2}
    for told in seen.values():
        assert told == sorted(told, key=order.__getitem__)


def test_the_european_union_claims_returns_earlier_and_britain_does_not() -> None:
    one = generate(Identity(1, 1_000), DAY, (GERMANY, BRITAIN))
    seen: Counter[str] = Counter()
    for each in truth.claims(one, False):
        if each.rule in ("R4", "R5"):
            days = (each.opens - each.base).days, (each.closes - each.base).days
            assert days == {"EUR": (45, 105), "GBP": (60, 120)}[each.currency]
            seen[each.currency] += 1
    assert seen["EUR"] and seen["GBP"]


def test_low_confidence_is_marked(thousand: Seller) -> None:
    claims = truth.claims(thousand, False)
    assert {each.rule for each in claims if each.confidence == "low"} <= {"R1", "R2", "R6", "R9"}
    assert all(each.confidence == "low" for each in of(claims, "R6"))


def test_nothing_is_worth_less_than_nothing() -> None:
    claims = [each for seed in range(1, 9) for each in truth.claims(seller(seed=seed), False)]
    dear = [each for each in claims if each.valued_by == "price"]
    assert dear and all(float(each.amount or 0) > 0 for each in dear)
    unknown = [each for each in claims if each.amount is None and each.rule != "R5"]
    assert unknown and all(each.valued_by is None for each in unknown)


@pytest.mark.parametrize("days", range(8))
def test_what_is_missing_from_stock_is_claimed_between_fourteen_and_a_hundred_days(
    days: int,
) -> None:
    one = seller(2_500, DAY + timedelta(days=days))
    claims = of(truth.claims(one, False), "R6")
    ages = [(one.day - each.base).days for each in claims]
    assert min(ages) >= 14 and max(ages) <= 100
    returned = {each.key for each in truth.decoys(one) if each.rule == "R6"}
    assert returned and not returned & {each.key for each in claims}
    assert {each.valued_by for each in claims} <= {"sales", "price", None}


def test_a_reversal_waits_the_week_in_which_a_find_may_show() -> None:
    for seed in (1, 4):  # whose ledger has Amazon's own figures, and whose has none
        claims = of(truth.claims(seller(2_500, seed=seed), False), "R9")
        assert claims
        assert {(each.opens - each.base).days for each in claims} == {7}
        sure = {each.confidence for each in claims if (DAY - each.base).days < 70}
        assert sure == ({"high"} if seed == 1 else {"low"})


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_decoy_is_a_claim(seed: int) -> None:
    one = seller(2_500, seed=seed)
    claims = truth.claims(one, True)
    claimed = {(each.rule, each.key) for each in claims}
    claimed |= {("R7", each.sku) for each in of(claims, "R7")}
    decoys = truth.decoys(one)
    assert {each.rule for each in decoys} >= {f"R{number}" for number in range(1, 10)}
    assert not claimed & {(each.rule, each.key) for each in decoys}


def test_a_shipment_that_is_stuck_is_a_claim_on_the_twenty_first_day_without_a_receipt() -> None:
    ages = set()
    for days in range(95):
        one = seller(200, DAY + timedelta(days=days))
        receipts: dict[str, date] = {}
        for each in one.book.movements:
            if each.event == "Receipts":
                last = datetime.fromtimestamp(each.at, UTC).date()
                receipts[each.reference] = max(last, receipts.get(each.reference, last))
        still = {each.id for each in one.book.deliveries if each.status == "RECEIVING"}
        claims = [each for each in one.book.findings if each.shipment_id in still]
        ages |= {(one.day - receipts[each.shipment_id]).days for each in claims}
    assert min(ages) == 21


def test_what_came_back_without_a_refund_is_told_as_long_as_its_sale_is() -> None:
    """Else nobody could tell where it was sold, and so when its claim opens."""
    for days in range(0, 60, 5):
        one = seller(day=DAY + timedelta(days=days))
        posted = {each.sale.id for each in one.postings if each.sale}
        claims = [each for each in of(truth.claims(one, False), "R5") if each.amount is None]
        assert {each.order_id for each in claims} <= posted


def test_a_return_without_a_refund_is_told_until_it_can_no_longer_be_claimed() -> None:
    last: dict[str, str] = {}
    for days in range(0, 140, 4):
        told = of(truth.claims(seller(day=DAY + timedelta(days=days)), False), "R5")
        open = {each.key: each.status for each in told if each.amount is None}
        assert {last[each] for each in last.keys() - {one.key for one in told}} <= {"expired"}
        last = open
    assert last


def test_what_was_paid_for_goods_stays_in_the_report() -> None:
    """But for what was taken back, or was too low: those stories end with their round."""
    early, late = seller(), seller(day=DAY + timedelta(days=90))
    passing = {each.product for each in early.book.findings if each.rule == "R10"}
    for one in (early, late):
        passing |= {each.product for each in one.book.payments if each.units < 0}
    still = {each.id for each in late.book.payments}
    since = early.midnight - timedelta(days=90).total_seconds()
    told = [each for each in early.book.payments if not each.order_id and each.at > since]
    assert {each.product for each in told if each.id not in still} <= passing
    assert len(told) > 20


@pytest.mark.parametrize("seed", range(1, 6))
def test_what_was_paid_late_for_a_shipment_is_not_taken_for_the_next_one(seed: int) -> None:
    early = seller(seed=seed)
    short = [each for each in early.book.findings if each.rule == "R8"]
    settled = {("R8", each.key): early.midnight for each in short}
    late = generate(Identity(seed, 1_000), DAY + timedelta(days=20), (US,), settled)
    for each in late.book.findings:
        if each.rule == "R8" and not each.paid:
            paid = [one for one in late.book.payments if one.product == each.product]
            since = each.base - timedelta(days=7).total_seconds()
            assert not [one for one in paid if one.reason == "Lost_Inbound" and one.at >= since]


async def test_the_door_tells_claims_decoys_and_costs() -> None:
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
    for asked, told in (
        ("all", {"claims", "decoys"}),
        ("decoys", {"decoys"}),
        ("costs", {"costs"}),
    ):
        body = (await bench.client.get(f"/_sandbox/sellers/1?truth={asked}")).json()
        assert body.keys() == told and all(body.values())
    assert refusal(await bench.client.get("/_sandbox/sellers/1?truth=lies"))[0] == 400


async def test_a_reimbursement_closes_its_claim_from_then_on() -> None:
    bench = Bench(Settings(orders=1_000, quotas=UNLIMITED))
    before = await bench.truth()
    chosen = {each["rule"]: each for each in before if each["status"] == "claimable"}
    chosen = {rule: chosen[rule] for rule in ("R1", "R2", "R3", "R4", "R5", "R8")}
    paid = await bench.rows(REIMBURSEMENTS, 300)
    posted = [each async for page in bench.transactions() for each in page]
    for rule, claim in chosen.items():
        body = {"seed": 1, "orders": 1_000, "rule": rule, "key": claim["key"]}
        assert (await bench.door("reimburse", body)).status_code == 200
    after = await bench.truth()
    assert {each["key"] for each in before} == {each["key"] for each in after}
    closed = {each["rule"]: each["key"] for each in after if each["status"] == "reimbursed"}
    assert closed == {rule: claim["key"] for rule, claim in chosen.items()}
    await bench.clock.sleep(4 * 3_600)
    await bench.log_in()
    new = [row for row in await bench.rows(REIMBURSEMENTS, 300) if row not in paid]
    assert sorted((row["fnsku"], row["quantity-reimbursed-total"]) for row in new) == sorted(
        (claim["fnsku"], str(claim["units"])) for claim in chosen.values()
    )
    orders = {claim["orderId"] or "" for claim in chosen.values()}
    assert {row["amazon-order-id"] for row in new} == orders
    more = [each async for page in bench.transactions() for each in page]
    assert len(more) == len(posted) + len(chosen)


async def test_what_cannot_be_reimbursed_is_refused() -> None:
    bench = Bench(Settings(orders=1_000, quotas=UNLIMITED))
    claims = await bench.truth()
    fee = next(each["key"] for each in claims if each["rule"] == "R7")
    old = next(
        each["key"] for each in claims if each["rule"] == "R1" and each["status"] == "expired"
    )
    for rule, key, status in (("R7", fee, 400), ("R1", old, 400), ("R1", "nothing", 404)):
        body = {"seed": 1, "rule": rule, "key": key}
        assert refusal(await bench.door("reimburse", body))[0] == status
    assert refusal(await bench.door("reimburse", {"seed": "x"}))[0] == 400


async def test_reset_takes_reimbursements_back() -> None:
    bench = Bench(Settings(orders=1_000), datetime(2026, 3, 2, 9, 30, tzinfo=UTC))
    before = await bench.truth()
    key = next(
        each["key"] for each in before if each["rule"] == "R3" and each["status"] == "waiting"
    )
    await bench.door("reimburse", {"seed": 1, "rule": "R3", "key": key})
    assert await bench.truth() != before
    await bench.door("reset")
    assert await bench.truth() == before
