"""Paid is paid: Amazon's unreconciled quantity is an upper bound, and every line counts."""

from collections import Counter, defaultdict
from datetime import date, timedelta

import pytest

from connectors.amazon_sandbox.generator.goods import damages, losses
from connectors.amazon_sandbox.generator.goods.placement import Placement
from connectors.amazon_sandbox.generator.goods.scenarios import Scenario
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.journal import Journal, PlantedClaim
from connectors.amazon_sandbox.generator.randomness import seeded_random
from connectors.amazon_sandbox.generator.seller import generate
from connectors.amazon_sandbox.generator.times import DAY

START = 20_000 * DAY + 9 * 3_600
US = "ATVPDKIKX0DER"


def planted(scenario: Scenario, days: int, *, modern: bool = True) -> Journal:
    """What a scenario has planted, that many days after its beginning."""
    product = generate(Identity(1, 0), date(2026, 3, 2), (US,)).products[0]
    journal = Journal(START + days * DAY, {})
    rng = seeded_random("test")
    scenario(Placement(journal, product, START, "test", 0, modern, rng))
    return journal


def only(journal: Journal) -> PlantedClaim:
    [claim] = journal.claims
    return claim


@pytest.mark.parametrize(
    "scenario", [losses.lost_then_paid_unreconciled, damages.damaged_then_paid_unreconciled]
)
def test_two_unreconciled_units_that_were_paid_for_are_no_claim(scenario: Scenario) -> None:
    before, after = planted(scenario, 1), planted(scenario, 10)
    assert (only(before).units, only(before).low) == (2, False)
    assert [row.unreconciled for row in after.movements if row.quantity < 0] == [2]
    assert [payment.units for payment in after.reimbursements] == [2]
    assert not after.claims and after.decoys
    assert [ending.reason for ending in after.endings] == ["reimbursed"]


@pytest.mark.parametrize(
    "scenario",
    [losses.lost_then_partly_paid_unreconciled, damages.damaged_then_partly_paid_unreconciled],
)
def test_one_of_three_paid_leaves_two_with_low_confidence(scenario: Scenario) -> None:
    before, after = planted(scenario, 1), planted(scenario, 10)
    assert (only(before).units, only(before).low) == (3, False)
    assert (only(after).units, only(after).low) == (2, True)
    old = planted(scenario, 10, modern=False)
    assert (only(old).units, only(old).low) == (2, False), "without the figure, the books decide"


def test_two_lines_of_one_reimbursement_pay_a_loss_of_three() -> None:
    journal = planted(losses.lost_then_paid_in_lines, 10)
    assert [payment.units for payment in journal.reimbursements] == [1, 2]
    assert len({payment.id for payment in journal.reimbursements}) == 1
    assert not journal.claims


@pytest.mark.parametrize("seed", range(1, 4))
def test_an_orders_refund_is_paid_in_two_lines(seed: int) -> None:
    paid: dict[str, list[int]] = defaultdict(list)
    refunded: Counter[str] = Counter()
    claimed = set()
    for days in (0, 45):
        seller = generate(Identity(seed, 2_500), date(2026, 3, 2) + timedelta(days=days), (US,))
        lines = defaultdict(list)
        for payment in seller.journal.reimbursements:
            if payment.order_id:
                lines[payment.order_id, payment.id].append(payment.units)
        for (order, _), units in lines.items():
            if len(units) > 1:
                paid[order] = units
        for posting in seller.postings:
            if posting.refund and posting.sale:
                refunded[posting.sale.id] = posting.refund.quantity
        claimed |= {claim.order_id for claim in seller.journal.claims if claim.rule == "R4"}
        claimed -= paid.keys()
    assert paid and not claimed & paid.keys()
    assert all(sum(units) == refunded[order] >= 3 for order, units in paid.items())
