"""Refunds: goodwill, parts that add up, quantities that repeat the shipment, and wrong amounts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from connectors.amazon_sandbox.generator import truth
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.refunds import refunded_so_far, refunds_of
from connectors.amazon_sandbox.generator.sales import Line
from connectors.amazon_sandbox.generator.seller import Seller, generate
from connectors.amazon_sandbox.operations.transaction import transaction

US, CANADA = "ATVPDKIKX0DER", "A2EUQ1WTGCTBG2"
DAYS = [date(2026, 3, 2) + timedelta(days=days) for days in (0, 40, 80)]


def seller(day: date = DAYS[0], orders: int = 2_500) -> Seller:
    return generate(Identity(1, orders), day, (US,))


@pytest.fixture(scope="module")
def sellers() -> Sequence[Seller]:
    return [seller(day) for day in DAYS]


def refunds(generated: Seller, outcome: str) -> Mapping[str, list[dict[str, Any]]]:
    """The refunds of orders with that outcome which Amazon fulfilled, as the API returns them."""
    by_order = defaultdict(list)
    for posting in generated.postings:
        sale = posting.sale
        if posting.refund and sale and sale.by_amazon and sale.outcome == outcome:
            posted: dict[str, Any] = transaction(generated, posting)
            by_order[sale.id].append(posted)
    return by_order


def principal(posted: dict[str, Any]) -> int:
    """In cents."""
    branches = {branch["breakdownType"]: branch for branch in posted["items"][0]["breakdowns"]}
    leaves = branches["ProductCharges"]["breakdowns"]
    amounts = {leaf["breakdownType"]: leaf["breakdownAmount"] for leaf in leaves}
    return -round(float(amounts["Principal"]["currencyAmount"]) * 100)


def price(generated: Seller, order: str) -> int:
    sale = next(s for s in [*generated.sales, *generated.others] if s.id == order)
    return next(line.price for line in generated.lines(sale) if line.fulfilled)


def claims(generated: Seller, rule: str) -> dict[str | None, truth.ExpectedClaim]:
    return {claim.order_id: claim for claim in truth.claims(generated, False) if claim.rule == rule}


def test_goodwill_is_no_refunded_unit(sellers: Sequence[Seller]) -> None:
    """Like 2.00 of 40.00, and the customer keeps the item."""
    count = 0
    for generated in sellers:
        lost = claims(generated, "R4")
        for order, posted in refunds(generated, "goodwill").items():
            assert principal(posted[0]) == price(generated, order) * 5 // 100
            assert order not in {row.order_id for row in generated.journal.returns}
            assert order not in lost
            count += 1
    assert count


def test_parts_of_a_refund_add_up_to_one_unit(sellers: Sequence[Seller]) -> None:
    """Like 5.00 and 15.00 of 20.00: one unit of 20.00, counted from the second refund."""
    count = 0
    for generated in sellers:
        lost = claims(generated, "R4")
        for order, posted in refunds(generated, "kept_in_parts").items():
            if len(posted) < 2:
                assert order not in lost
                continue
            claim = lost[order]
            taken = -sum(part["totalAmount"]["currencyAmount"] for part in posted)
            assert sum(map(principal, posted)) == price(generated, order)
            assert (claim.units, claim.amount) == (1, f"{taken:.2f}")
            assert claim.base.isoformat() == posted[1]["postedDate"][:10]
            count += 1
    assert count


def test_parts_add_up_for_a_return_that_amazon_damaged(sellers: Sequence[Seller]) -> None:
    count = 0
    for generated in sellers:
        damaged = claims(generated, "R5")
        for order, posted in refunds(generated, "damaged_in_parts").items():
            if order in damaged:
                taken = -sum(part["totalAmount"]["currencyAmount"] for part in posted)
                assert len(posted) == 2 and damaged[order].amount == f"{taken:.2f}"
                count += 1
    assert count


def test_more_than_half_of_the_price_is_a_unit_with_low_confidence(
    sellers: Sequence[Seller],
) -> None:
    count = 0
    for generated in sellers:
        lost = claims(generated, "R4")
        for order in refunds(generated, "kept_mostly"):
            claim = lost[order]
            assert (claim.units, claim.confidence) == (1, "low")
            count += 1
    assert count


def test_the_quantity_of_a_refund_may_repeat_the_shipment(sellers: Sequence[Seller]) -> None:
    count = 0
    for generated in sellers:
        lost = claims(generated, "R4")
        for order, [posted] in refunds(generated, "kept_repeated").items():
            context = posted["items"][0]["contexts"][0]
            assert context["quantityShipped"] >= 3
            assert principal(posted) == price(generated, order)
            assert lost[order].units == 1
            count += 1
    assert count


def test_a_refund_beyond_the_price_is_claimed_for_the_rest(sellers: Sequence[Seller]) -> None:
    count = 0
    for generated in sellers:
        beyond = claims(generated, "R18")
        for order, posted in refunds(generated, "refunded_too_much").items():
            excess = sum(map(principal, posted)) - price(generated, order)
            claim = beyond.get(order)
            assert (claim is not None) == (excess > 0)
            if claim:
                assert claim.amount == f"{excess / 100:.2f}"
                count += 1
        exact = refunds(generated, "returned_in_parts").keys()
        assert exact and not exact & beyond.keys()
    assert count


def test_a_fee_kept_beyond_a_fifth_is_claimed_in_the_us(sellers: Sequence[Seller]) -> None:
    count = 0
    for generated in sellers:
        kept = refunds(generated, "returned_fee_kept").keys()
        assert claims(generated, "R17").keys() == kept
        count += len(kept)
    assert count
    for abroad in ("A1PA6795UKMFR9", CANADA):
        assert not claims(generate(Identity(1, 2_500), DAYS[0], (abroad,)), "R17")


def test_a_payment_below_what_the_refund_took_is_claimed(sellers: Sequence[Seller]) -> None:
    count = 0
    for generated in sellers:
        paid = {row.order_id: row for row in generated.journal.reimbursements if row.order_id}
        lost = claims(generated, "R4")
        for order, claim in claims(generated, "R13").items():
            posted = refunds(generated, "kept_underpaid")[str(order)]
            taken = -round(sum(part["totalAmount"]["currencyAmount"] for part in posted) * 100)
            missing = taken - paid[str(order)].unit_cents * claim.units
            assert claim.amount == f"{missing / 100:.2f}" and missing > taken // 2
            assert order not in lost
            count += 1
    assert count


def test_a_payment_in_another_currency_is_not_compared_with_the_refund() -> None:
    generated = generate(Identity(1, 5_000), DAYS[0], (US, CANADA))
    currencies = {claim.currency for claim in claims(generated, "R13").values()}
    reasons = {decoy.reason for decoy in generated.journal.decoys if decoy.rule == "R13"}
    assert currencies <= {"USD"} and "paid in another currency" in reasons


@pytest.mark.parametrize("cents", [799, 949, 4_000, 8_949])
def test_parts_are_exact_at_any_price(cents: int) -> None:
    product = seller().products[0]
    line = Line(id="1", product=product, quantity=1, fulfilled=1, price=cents, tax=0)
    for outcome, units in (("kept_in_parts", 1), ("goodwill", 0), ("kept_mostly", 1)):
        parts = refunds_of(outcome, line, 0, 15, keeps_fee=False)
        assert refunded_so_far(line, parts).units == units
    parts = refunds_of("kept_in_parts", line, 0, 15, keeps_fee=False)
    assert sum(part.principal for part in parts) == cents
    assert refunded_so_far(line, parts[:1]).units == 0
