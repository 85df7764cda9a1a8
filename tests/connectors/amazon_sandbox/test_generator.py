"""Sellers out of a seed."""

import re
from datetime import UTC, date, datetime, timedelta

import anyio
import pytest

from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import Seller, Shelf, generate

US = ("ATVPDKIKX0DER",)
DAY = date(2026, 3, 2)


def seller(orders: int = 500, day: date = DAY, seed: int = 1) -> Seller:
    return generate(Identity(seed, orders), day, US)


def test_a_seller_is_the_same_whenever_it_is_generated() -> None:
    assert seller() == seller()


def test_another_seed_is_another_seller() -> None:
    assert not seller(seed=1).by_id.keys() & seller(seed=2).by_id.keys()


@pytest.mark.parametrize("orders", [0, 1, 19, 500])
@pytest.mark.parametrize("day", [DAY, date(2026, 12, 31), date(2028, 2, 29)])
def test_exactly_its_orders_lie_in_every_window_of_ninety_days_of_the_day(
    orders: int, day: date
) -> None:
    sales = seller(orders, day).sales
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    assert len({sale.id for sale in sales}) == orders
    for sale in sales:
        for moment in (sale.created, sale.updated):
            # The last of these windows starts, and the first ends, at these two moments.
            assert midnight + 86_400 - 120 - 90 * 86_400 <= moment <= midnight - 120


def test_an_order_stays_what_it_is_while_it_grows_older() -> None:
    today, tomorrow = seller().by_id, seller(day=DAY + timedelta(days=1)).by_id
    both = today.keys() & tomorrow.keys()
    assert 480 < len(both) < 500
    for order_id in both:
        assert today[order_id].created == tomorrow[order_id].created
        assert today[order_id].updated <= tomorrow[order_id].updated


def test_ids_look_like_amazons() -> None:
    one = seller()
    assert all(re.fullmatch(r"11\d-\d{7}-\d{7}", order_id) for order_id in one.by_id)
    for product in one.products:
        assert re.fullmatch(r"B0[0-9A-Z]{8}", product.asin)
        assert re.fullmatch(r"X00[0-9A-Z]{7}", product.fn_sku)


def test_ids_are_unique() -> None:
    one = seller(5_000)
    lines = [line.id for sale in one.sales for line in one.lines(sale)]
    assert len(lines) == len(set(lines)) > 5_000
    assert len({product.asin for product in one.products}) == 250
    assert len({product.fn_sku for product in one.products}) == 250
    assert len({product.sku for product in one.products}) == 250


def test_every_status_that_a_connector_must_know_occurs() -> None:
    statuses = [sale.status for sale in seller(2_500).sales]
    assert statuses.count("SHIPPED") > 2_000
    expected = {"SHIPPED", "CANCELLED", "PARTIALLY_SHIPPED", "UNSHIPPED", "PENDING"}
    assert set(statuses) == expected


def test_a_posting_may_become_known_later_than_its_date() -> None:
    known = {(p.kind, p.posted) for p in seller(2_500).postings}
    later = {(p.kind, p.posted) for p in seller(2_500, DAY + timedelta(days=1)).postings}
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).timestamp()
    assert any(posted < midnight for _, posted in later - known)


@pytest.mark.parametrize("orders", [0, 1, 10, 99, 100])
def test_no_report_on_goods_is_ever_without_a_row(orders: int) -> None:
    """Without one it would be unknown, and with it the claims of a small seller."""
    for days in range(0, 200, 3):
        one = seller(orders, DAY + timedelta(days=days))
        since = one.midnight
        assert any(each.at > since - 300 * 86_400 for each in one.book.payments)
        assert any(each.at > since - 155 * 86_400 for each in one.book.returns)
        assert any(each.at > since - 155 * 86_400 for each in one.book.removals)


@pytest.mark.parametrize("orders", [0, 500, 3_000])
def test_no_day_of_the_ledger_is_without_a_row(orders: int) -> None:
    one = seller(orders)
    days = {each.at // 86_400 for each in one.ledger}
    today = one.midnight // 86_400
    assert set(range(today - 101, today - 1)) <= days


def test_a_fee_has_one_price_a_day_and_is_charged_wrongly_at_home_only() -> None:
    one = seller(2_500)
    raised = {one.fees.story(each): each for each in one.products}
    changes = 0
    for midnight in range(one.midnight, one.midnight + 200 * 86_400, 86_400):
        prices = [
            one.fees.expected(raised["raised"], midnight + second) for second in (0, 10_800, 86_399)
        ]
        assert len(set(prices)) == 1
        changes += prices[0] != one.fees.expected(raised["raised"], midnight - 1)
        abroad = one.fees.charged(raised["overcharged"], midnight, at_home=False)
        assert abroad == raised["overcharged"].fee
    assert changes
    at = [one.midnight + day * 86_400 for day in range(80)]
    assert any(one.fees.charged(raised["overcharged"], each) > abroad for each in at)


@pytest.mark.anyio
async def test_a_seller_asked_for_by_many_is_made_once() -> None:
    made: list[Identity] = []

    def make(identity: Identity, day: date) -> Seller:
        made.append(identity)
        return generate(identity, day, US)

    shelf = Shelf(make)
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(shelf.get, Identity(1, 10), DAY)
    assert made == [Identity(1, 10)]


@pytest.mark.anyio
async def test_the_shelf_gives_up_who_was_asked_for_longest_ago() -> None:
    made: list[int] = []

    def make(identity: Identity, day: date) -> Seller:
        made.append(identity.seed)
        return generate(identity, day, US)

    shelf = Shelf(make, room=250)  # two sellers: each weighs its orders and a hundred more
    for seed in (1, 2, 1, 3, 1, 2):
        await shelf.get(Identity(seed, 10), DAY)
    assert made == [1, 2, 3, 2]
