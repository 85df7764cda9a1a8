"""Fee changes that Amazon announced, which are no overcharge, and real overcharges beside them."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import pytest

from connectors.amazon_sandbox.generator import truth
from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.fees import Fees
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import Seller, generate

US, GERMANY = "ATVPDKIKX0DER", "A1PA6795UKMFR9"


def at(day: date) -> float:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def generated() -> Seller:
    return generate(Identity(1, 1_000), date(2026, 3, 2), (US,))


@pytest.fixture(scope="module")
def product(generated: Seller) -> Product:
    return next(product for product in generated.products if not generated.fees.anomaly(product))


def steps(fees: Fees, product: Product, year: int, country: str = "US") -> dict[date, int]:
    """The days of the year on which the announced fee changes, with the change in cents."""
    days = [date(year, 1, 1) + timedelta(days=number) for number in range(366)]
    changes = {}
    for day in days:
        before = fees.expected(product, at(day - timedelta(days=1)), country)
        if change := fees.expected(product, at(day), country) - before:
            changes[day] = change
    return changes


def test_the_fee_changes_on_the_announced_days(generated: Seller, product: Product) -> None:
    changes = steps(generated.fees, product, 2026)
    first, surcharge, peak = (date(2026, *day) for day in ((1, 15), (4, 17), (10, 15)))
    assert changes.keys() == {first, surcharge, peak, date(2027, 1, 1) + timedelta(days=14)} - {
        date(2027, 1, 15)
    }
    assert changes[first] < 0 < changes[peak]
    before = generated.fees.expected(product, at(surcharge - timedelta(days=1)))
    assert changes[surcharge] == (before * 35 + 500) // 1_000
    assert generated.fees.expected(product, at(date(2026, 2, 1))) > generated.fees.expected(
        product, at(date(2025, 2, 1))
    )


def test_no_such_change_is_announced_in_europe(product: Product) -> None:
    fees = Fees("1-1000", 120, "DE")
    assert steps(fees, product, 2026, "DE") == {}
    assert fees.expected(product, 0, "FR") > fees.expected(product, 0, "DE")


@lru_cache(maxsize=2)
def large(day: date) -> Seller:
    return generate(Identity(1, 2_500), day, (US,))


def overcharged(day: date, rule: str) -> tuple[set[str], set[str]]:
    """The SKUs that are claimed on that day, and those that only seem to be overcharged."""
    generated = large(day)
    claims = {claim.sku for claim in truth.claims(generated, False) if claim.rule == rule}
    return claims, {decoy.key for decoy in truth.decoys(generated) if decoy.rule == rule}


def anomalies(*names: str) -> Iterator[str]:
    generated = large(date(2026, 3, 2))
    for product in generated.products:
        if generated.fees.anomaly(product) in names:
            yield product.sku


@pytest.mark.parametrize(
    "day", [date(2026, 11, 2), date(2027, 1, 28), date(2026, 5, 4), date(2026, 3, 2)]
)
def test_only_real_overcharges_are_claimed_around_announced_changes(day: date) -> None:
    claims, decoys = overcharged(day, "R7")
    assert claims and claims <= set(anomalies("overcharged"))
    assert set(anomalies("low_priced")) <= decoys
    claims, decoys = overcharged(day, "R16")
    assert claims and claims <= set(anomalies("referral_overcharged"))


def test_a_unit_sold_above_the_low_price_threshold_has_the_higher_fee(generated: Seller) -> None:
    [product] = [entry for entry in generated.products if entry.other_price]
    assert product.price < 1_000 <= product.other_price
    prices = {
        line.price: line.price
        for sale in generated.sales
        for line in generated.lines(sale)
        if line.product == product
    }
    assert prices.keys() == {product.price, product.other_price}
    usual, higher = (generated.fees.charged(product, 0, price=price) for price in sorted(prices))
    assert higher - usual == 77


def test_an_overcharge_is_counted_above_the_higher_of_both_previews() -> None:
    """In the peak season, the preview from before it is lower than the one from within it."""
    generated = generate(Identity(1, 2_500), date(2026, 11, 20), (US,))
    for claim in truth.claims(generated, False):
        if claim.rule == "R7":
            amount = float(claim.amount or 0) / claim.units
            assert 0.85 - 0.22 <= round(amount, 2) <= 0.85
