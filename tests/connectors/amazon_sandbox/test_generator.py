"""Generated sellers."""

import re
from datetime import UTC, date, datetime, timedelta

import anyio
import pytest

from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import Seller, SellerCache, generate

US = ("ATVPDKIKX0DER",)
DAY = date(2026, 3, 2)


def seller(orders: int = 500, day: date = DAY, seed: int = 1) -> Seller:
    return generate(Identity(seed, orders), day, US)


def test_a_seller_is_the_same_each_time_it_is_generated() -> None:
    assert seller() == seller()


def test_another_seed_gives_another_seller() -> None:
    assert not seller(seed=1).by_id.keys() & seller(seed=2).by_id.keys()


@pytest.mark.parametrize("orders", [0, 1, 19, 500])
@pytest.mark.parametrize("day", [DAY, date(2026, 12, 31), date(2028, 2, 29)])
def test_every_90_day_window_of_the_day_contains_exactly_its_orders(orders: int, day: date) -> None:
    sales = seller(orders, day).sales
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    assert len({sale.id for sale in sales}) == orders
    for sale in sales:
        for moment in (sale.created, sale.updated):
            # From the start of the last window of the day to the end of the first one.
            assert midnight + 86_400 - 120 - 90 * 86_400 <= moment <= midnight - 120


def test_an_order_keeps_its_creation_time_while_it_grows_older() -> None:
    today, tomorrow = seller().by_id, seller(day=DAY + timedelta(days=1)).by_id
    both = today.keys() & tomorrow.keys()
    assert 480 < len(both) < 500
    for order_id in both:
        assert today[order_id].created == tomorrow[order_id].created
        assert today[order_id].updated <= tomorrow[order_id].updated


def test_ids_have_amazons_format() -> None:
    generated = seller()
    assert all(re.fullmatch(r"11\d-\d{7}-\d{7}", order_id) for order_id in generated.by_id)
    for product in generated.products:
        assert re.fullmatch(r"B0[0-9A-Z]{8}", product.asin)
        assert re.fullmatch(r"X00[0-9A-Z]{7}", product.fn_sku)


def test_ids_are_unique() -> None:
    generated = seller(5_000)
    lines = [line.id for sale in generated.sales for line in generated.lines(sale)]
    assert len(lines) == len(set(lines)) > 5_000
    assert len({product.asin for product in generated.products}) == 250
    assert len({product.fn_sku for product in generated.products}) == 250
    assert len({product.sku for product in generated.products}) == 250


def test_every_order_status_occurs() -> None:
    statuses = [sale.status for sale in seller(2_500).sales]
    assert statuses.count("SHIPPED") > 2_000
    expected = {"SHIPPED", "CANCELLED", "PARTIALLY_SHIPPED", "UNSHIPPED", "PENDING"}
    assert set(statuses) == expected


def test_a_posting_may_become_visible_after_its_date() -> None:
    today = {(p.kind, p.posted) for p in seller(2_500).postings}
    later = {(p.kind, p.posted) for p in seller(2_500, DAY + timedelta(days=1)).postings}
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).timestamp()
    assert any(posted < midnight for _, posted in later - today)


@pytest.mark.parametrize("orders", [0, 1, 10, 99, 100])
def test_no_report_on_goods_is_ever_empty(orders: int) -> None:
    """An empty dataset is unknown, and with it the claims of a small seller."""
    for days in range(0, 200, 3):
        generated = seller(orders, DAY + timedelta(days=days))
        since = generated.midnight
        assert any(
            reimbursement.at > since - 300 * 86_400
            for reimbursement in generated.journal.reimbursements
        )
        assert any(
            customer_return.at > since - 155 * 86_400
            for customer_return in generated.journal.returns
        )
        assert any(order.at > since - 155 * 86_400 for order in generated.journal.removals)
        assert any(row.at > since - 155 * 86_400 for row in generated.journal.replacements)


@pytest.mark.parametrize("orders", [0, 500, 3_000])
def test_every_day_of_the_ledger_has_a_row(orders: int) -> None:
    generated = seller(orders)
    days = {row.at // 86_400 for row in generated.ledger}
    today = generated.midnight // 86_400
    assert set(range(today - 101, today - 1)) <= days


def test_a_fee_is_constant_during_a_day_and_wrong_only_at_home() -> None:
    generated = seller(2_500)
    raised = {generated.fees.anomaly(product): product for product in generated.products}
    changes = 0
    for midnight in range(generated.midnight, generated.midnight + 200 * 86_400, 86_400):
        prices = [
            generated.fees.expected(raised["raised"], midnight + second)
            for second in (0, 10_800, 86_399)
        ]
        assert len(set(prices)) == 1
        changes += prices[0] != generated.fees.expected(raised["raised"], midnight - 1)
        product = raised["overcharged"]
        abroad = generated.fees.charged(product, midnight, "MX")
        assert abroad == generated.fees.expected(product, midnight, "MX")
    assert changes
    at = [generated.midnight + day * 86_400 for day in range(80)]
    wrong = [moment for moment in at if generated.fees.charged(product, moment) > abroad]
    assert 0 < len(wrong) < 80


@pytest.mark.anyio
async def test_concurrent_requests_generate_a_seller_once() -> None:
    generated: list[Identity] = []

    def generate_seller(identity: Identity, day: date) -> Seller:
        generated.append(identity)
        return generate(identity, day, US)

    cache = SellerCache(generate_seller)
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(cache.get, Identity(1, 10), DAY)
    assert generated == [Identity(1, 10)]


@pytest.mark.anyio
async def test_the_cache_drops_the_least_recently_used_seller() -> None:
    seeds: list[int] = []

    def generate_seller(identity: Identity, day: date) -> Seller:
        seeds.append(identity.seed)
        return generate(identity, day, US)

    # Two sellers: each has 10 orders and weighs 110.
    cache = SellerCache(generate_seller, capacity=250)
    for seed in (1, 2, 1, 3, 1, 2):
        await cache.get(Identity(seed, 10), DAY)
    assert seeds == [1, 2, 3, 2]
