"""A seller's orders, postings, returns, reimbursements and ledger are consistent."""

from collections import Counter, defaultdict
from datetime import date
from itertools import chain

import pytest

from connectors.amazon_sandbox.generator import journal
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.postings import POSTING_HISTORY
from connectors.amazon_sandbox.generator.sales import Sale
from connectors.amazon_sandbox.generator.seller import Seller, generate
from connectors.amazon_sandbox.generator.times import DAY

US, GERMANY = "ATVPDKIKX0DER", "A1PA6795UKMFR9"
SELLERS = [
    (1, 0, date(2026, 3, 2), US),
    (2, 50, date(2026, 12, 31), US),
    (3, 300, date(2027, 1, 1), GERMANY),
    (4, 2_500, date(2028, 2, 29), US),
    (5, 1_000, date(2026, 3, 29), GERMANY),
    (6, 6_000, date(2026, 11, 27), US),
]
REASONS = {
    journal.LOST: {"M", "5"},
    journal.DAMAGED: {"E", "6", "7", "H", "K", "U", "D"},
}


@pytest.fixture(scope="module", params=SELLERS, ids=lambda values: f"{values[0]}-{values[1]}")
def seller(request: pytest.FixtureRequest) -> Seller:
    seed, orders, day, place = request.param
    return generate(Identity(seed, orders), day, (place,))


def orders(seller: Seller) -> dict[str, Sale]:
    return {sale.id: sale for sale in chain(seller.others, seller.sales)}


def day(moment: int) -> int:
    return moment // DAY


def test_a_return_was_shipped_by_amazon_and_refunded_or_replaced(
    seller: Seller,
) -> None:
    sold = orders(seller)
    refunded = {
        posting.sale.id for posting in seller.postings if posting.kind == "Refund" and posting.sale
    }
    for customer_return in seller.journal.returns:
        sale = sold[customer_return.order_id]
        assert sale.by_amazon and sale.shipped is not None and sale.shipped < customer_return.at
        shipped = {line.product: line.fulfilled for line in seller.lines(sale)}
        assert 0 < customer_return.quantity <= shipped[customer_return.product]
        # The refund of a late return may not be known yet.
        late = customer_return.at > seller.journal.horizon - 3 * DAY
        old = customer_return.at < seller.journal.horizon - POSTING_HISTORY + 3 * DAY
        assert customer_return.order_id in refunded or "replaced" in sale.outcome or late or old


def test_a_return_is_in_the_ledger_unless_its_absence_is_claimed(seller: Seller) -> None:
    shown = Counter(
        (day(row.at), row.product.fn_sku, row.quantity)
        for row in seller.ledger
        if row.event == "CustomerReturns"
    )
    returned = Counter(
        (day(customer_return.at), customer_return.product.fn_sku, customer_return.quantity)
        for customer_return in seller.journal.returns
    )
    assert shown <= returned
    missing = Counter(fn_sku for _, fn_sku, _ in (returned - shown).elements())
    claimed = {claim.product.fn_sku for claim in seller.journal.claims if claim.rule == "R6"}
    young = {decoy.key.partition("|")[0] for decoy in seller.journal.decoys if decoy.rule == "R6"}
    assert missing.keys() <= claimed | young


def test_exactly_the_reimbursements_in_cash_are_posted(seller: Seller) -> None:
    since = seller.journal.horizon - POSTING_HISTORY
    paid: Counter[str] = Counter()
    for reimbursement in seller.journal.reimbursements:
        if reimbursement.units and reimbursement.at > since:
            paid[reimbursement.id] += reimbursement.units * reimbursement.unit_cents
    posted = [
        (posting.reimbursement_id, posting.amount)
        for posting in seller.postings
        if posting.kind == "Reimbursement"
    ]
    assert sorted(posted) == sorted(paid.items())


def test_lines_of_one_reimbursement_are_of_one_product_and_day(seller: Seller) -> None:
    lines = defaultdict(set)
    for line in seller.journal.reimbursements:
        lines[line.id].add((line.product.sku, line.at, line.reason, line.order_id))
    assert all(len(subjects) == 1 for subjects in lines.values())


def test_a_loss_or_damage_comes_before_its_reimbursement(seller: Seller) -> None:
    events = defaultdict(list)
    for row in seller.journal.movements:
        events[row.product, row.reason].append(row.at)
    for reimbursement in seller.journal.reimbursements:
        # Earlier ones may belong to a past round, whose movements are no longer in the journal.
        recent = reimbursement.at > seller.journal.horizon - 10 * DAY
        if reimbursement.reason in REASONS and reimbursement.units > 0 and recent:
            before = [
                at
                for reason in REASONS[reimbursement.reason]
                for at in events[reimbursement.product, reason]
            ]
            assert any(at <= reimbursement.at for at in before), reimbursement


def test_a_reimbursed_order_was_refunded_or_replaced(seller: Seller) -> None:
    sold = orders(seller)
    for reimbursement in seller.journal.reimbursements:
        if reimbursement.order_id and reimbursement.reason != journal.LOST_OUTBOUND:
            assert sold[reimbursement.order_id].outcome
            assert reimbursement.product in {
                line.product for line in seller.lines(sold[reimbursement.order_id])
            }


def test_a_reversal_follows_its_reimbursement(seller: Seller) -> None:
    paid = {
        reimbursement.id: reimbursement
        for reimbursement in seller.journal.reimbursements
        if reimbursement.units > 0
    }
    reversals = [
        reimbursement for reimbursement in seller.journal.reimbursements if reimbursement.units < 0
    ]
    for reimbursement in reversals:
        first = paid[reimbursement.original]
        assert first.at < reimbursement.at and first.product == reimbursement.product
        assert first.reason == reimbursement.original_reason and first.units >= -reimbursement.units


def test_the_ledger_ships_what_the_orders_ship(seller: Seller) -> None:
    shipped: Counter[str] = Counter()
    for sale in chain(seller.sales, seller.others):
        if sale.by_amazon:
            for line in seller.lines(sale):
                shipped[line.product.fn_sku] += line.fulfilled
    ledger: Counter[str] = Counter()
    for row in seller.ledger:
        if row.event == "Shipments":
            ledger[row.product.fn_sku] -= row.quantity
    assert ledger == +shipped


def test_an_item_never_has_more_units_received_than_the_ledger(seller: Seller) -> None:
    received: Counter[tuple[str, str]] = Counter()
    for row in seller.ledger:
        if row.event == "Receipts" and row.quantity > 0:  # a receipt may be taken back later
            received[row.reference, row.product.fn_sku] += row.quantity
    for shipment in seller.journal.inbound_shipments:
        for item in shipment.items:
            seen = received[shipment.id, item.product.fn_sku]
            assert item.received <= seen  # a shipment lags behind the ledger


def test_a_disposal_order_is_carried_out_five_days_later(seller: Seller) -> None:
    disposed = {(day(row.at), row.product) for row in seller.journal.movements if row.reason == "D"}
    for order in seller.journal.removals:
        if order.kind == "Disposal" and seller.journal.is_known(order.at + 5 * DAY):
            assert (day(order.at + 5 * DAY), order.product) in disposed
