"""What a seller's data say of one another: orders, money, returns, payments and the ledger."""

from collections import Counter, defaultdict
from datetime import date
from itertools import chain

import pytest

from connectors.amazon_sandbox.generator import book
from connectors.amazon_sandbox.generator.draw import DAY
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.postings import TOLD
from connectors.amazon_sandbox.generator.sales import Sale
from connectors.amazon_sandbox.generator.seller import Seller, generate

US, GERMANY = "ATVPDKIKX0DER", "A1PA6795UKMFR9"
SELLERS = [
    (1, 0, date(2026, 3, 2), US),
    (2, 50, date(2026, 12, 31), US),
    (3, 300, date(2027, 1, 1), GERMANY),
    (4, 2_500, date(2028, 2, 29), US),
    (5, 1_000, date(2026, 3, 29), GERMANY),
    (6, 6_000, date(2026, 11, 27), US),
]
WHY = {
    book.LOST: {"M", "5"},
    book.DAMAGED: {"E", "6", "7", "H", "K", "U", "D"},
}


@pytest.fixture(scope="module", params=SELLERS, ids=lambda each: f"{each[0]}-{each[1]}")
def seller(request: pytest.FixtureRequest) -> Seller:
    seed, orders, day, place = request.param
    return generate(Identity(seed, orders), day, (place,))


def orders(seller: Seller) -> dict[str, Sale]:
    return {sale.id: sale for sale in chain(seller.others, seller.sales)}


def day(moment: int) -> int:
    return moment // DAY


def test_what_came_back_was_sold_shipped_by_amazon_and_refunded_or_replaced(
    seller: Seller,
) -> None:
    sold = orders(seller)
    refunded = {each.sale.id for each in seller.postings if each.kind == "Refund" and each.sale}
    for each in seller.book.returns:
        sale = sold[each.order_id]
        assert sale.by_amazon and sale.shipped is not None and sale.shipped < each.at
        shipped = {line.product: line.fulfilled for line in seller.lines(sale)}
        assert 0 < each.quantity <= shipped[each.product]
        late = each.at > seller.book.horizon - 3 * DAY  # the refund may be to come
        old = each.at < seller.book.horizon - TOLD + 3 * DAY
        assert each.order_id in refunded or "replaced" in sale.fate or late or old


def test_a_return_is_in_the_ledger_unless_that_is_the_claim(seller: Seller) -> None:
    shown = Counter(
        (day(each.at), each.product.fn_sku, each.quantity)
        for each in seller.ledger
        if each.event == "CustomerReturns"
    )
    returned = Counter(
        (day(each.at), each.product.fn_sku, each.quantity) for each in seller.book.returns
    )
    assert shown <= returned
    missing = Counter(fn_sku for _, fn_sku, _ in (returned - shown).elements())
    claimed = {each.product.fn_sku for each in seller.book.findings if each.rule == "R6"}
    young = {each.key.partition("|")[0] for each in seller.book.decoys if each.rule == "R6"}
    assert missing.keys() <= claimed | young


def test_every_payment_in_cash_is_posted_and_nothing_else_is(seller: Seller) -> None:
    since = seller.book.horizon - TOLD
    paid = {
        (each.id, each.units * each.each)
        for each in seller.book.payments
        if each.units and each.at > since
    }
    posted = {(each.about, each.amount) for each in seller.postings if each.kind == "Reimbursement"}
    assert posted == paid
    assert len({each.id for each in seller.book.payments}) == len(seller.book.payments)


def test_what_was_paid_for_as_lost_or_damaged_was_lost_or_damaged_before(seller: Seller) -> None:
    events = defaultdict(list)
    for row in seller.book.movements:
        events[row.product, row.reason].append(row.at)
    for each in seller.book.payments:
        visible = each.at > seller.book.horizon - 10 * DAY  # some are paid eighty days later
        if each.reason in WHY and each.units > 0 and visible:
            before = [at for why in WHY[each.reason] for at in events[each.product, why]]
            assert any(at <= each.at for at in before), each


def test_what_was_paid_for_an_order_was_refunded_or_came_back(seller: Seller) -> None:
    sold = orders(seller)
    for each in seller.book.payments:
        if each.order_id:
            assert sold[each.order_id].fate
            assert each.product in {line.product for line in seller.lines(sold[each.order_id])}


def test_a_payment_that_is_taken_back_was_made_before(seller: Seller) -> None:
    made = {each.id: each for each in seller.book.payments if each.units > 0}
    back = [each for each in seller.book.payments if each.units < 0]
    for each in back:
        first = made[each.original]
        assert first.at < each.at and first.product == each.product
        assert first.reason == each.original_reason and first.units >= -each.units


def test_the_ledger_ships_what_the_orders_ship(seller: Seller) -> None:
    shipped: Counter[str] = Counter()
    for sale in chain(seller.sales, seller.others):
        if sale.by_amazon:
            for line in seller.lines(sale):
                shipped[line.product.fn_sku] += line.fulfilled
    ledger: Counter[str] = Counter()
    for each in seller.ledger:
        if each.event == "Shipments":
            ledger[each.product.fn_sku] -= each.quantity
    assert ledger == +shipped


def test_a_shipment_is_received_as_the_ledger_says_or_that_is_the_claim(seller: Seller) -> None:
    received: Counter[tuple[str, str]] = Counter()
    for each in seller.ledger:
        if each.event == "Receipts":
            received[each.reference, each.product.fn_sku] += each.quantity
    for delivery in seller.book.deliveries:
        for item in delivery.items:
            seen = received[delivery.id, item.product.fn_sku]
            assert item.received <= seen  # Amazon's own figure may lag behind


def test_what_is_asked_to_be_disposed_of_is_disposed_of_five_days_later(seller: Seller) -> None:
    disposed = {
        (day(each.at), each.product) for each in seller.book.movements if each.reason == "D"
    }
    for each in seller.book.removals:
        if each.kind == "Disposal" and seller.book.knows(each.at + 5 * DAY):
            assert (day(each.at + 5 * DAY), each.product) in disposed
