"""Products that Amazon measures too large: both layouts of the fee preview show it, and the fee."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from connectors.amazon_sandbox import Settings
from connectors.amazon_sandbox.generator import truth
from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import Seller, generate
from connectors.amazon_sandbox.generator.sizes import REMEASURED, TRUE_SIZE

from .bench import FEES, UNLIMITED, US, Bench

pytestmark = pytest.mark.anyio

BRITAIN, JAPAN = "A1F83G8C2ARO7P", "A1VC38T7YXB528"
DAY = 86_400


def seller(day: date, marketplace: str = US) -> Seller:
    return generate(Identity(1, 1_000), day, (marketplace,))


def remeasured(generated: Seller) -> Iterator[Product]:
    for product in generated.products:
        if generated.fees.anomaly(product) in REMEASURED:
            yield product


@pytest.mark.parametrize("marketplace", [US, BRITAIN, JAPAN])
def test_the_fee_rises_and_falls_with_the_size(marketplace: str) -> None:
    generated = seller(date(2026, 7, 1), marketplace)
    fees, today = generated.fees, generated.midnight
    for product in remeasured(generated):
        by_size = {
            fees.size(product, today - days * DAY): fees.expected(product, today - days * DAY)
            for days in range(0, 180, 5)
            if marketplace != US or days < 60  # no announced change
        }
        true = by_size.pop(TRUE_SIZE, None)
        for fee in by_size.values():
            assert true is None or 64 <= fee - true <= (67 if marketplace == US else 64)


async def test_both_layouts_show_the_larger_size() -> None:
    for marketplace, tier, unit, side, weight in (
        (US, "product-size-tier", "inches", "9.00", "1.20"),
        (BRITAIN, "product-size-weight-band", "centimetres", "22.86", "544.3"),
    ):
        bench = Bench(Settings(orders=1_000, quotas=UNLIMITED, marketplaces=(marketplace,)))
        rows = {row["sku"]: row for row in await bench.rows(FEES, None)}
        sizes = {row["longest-side"]: row for row in rows.values()}
        assert side in sizes and len(sizes) > 1
        assert sizes[side]["unit-of-dimension"] == unit
        assert sizes[side]["item-package-weight"] == weight
        assert len({row[tier] for row in rows.values()}) == 2


@pytest.mark.parametrize("marketplace", [US, BRITAIN, JAPAN])
def test_a_remeasured_product_is_claimed_while_a_preview_shows_its_true_size(
    marketplace: str,
) -> None:
    claimed, decoys = set(), set()
    for days in range(0, 180, 15):
        generated = seller(date(2026, 3, 2) + timedelta(days=days), marketplace)
        skus = {product.sku for product in remeasured(generated)}
        found = {claim.sku for claim in truth.claims(generated, False) if claim.rule == "R19"}
        assert found <= skus
        claimed |= found
        decoys |= {decoy.key for decoy in truth.decoys(generated) if decoy.rule == "R19"} - skus
    # In the United States, other fees were announced while one of them was measured again.
    assert claimed == skus if marketplace != US else claimed < skus
    assert claimed
    assert decoys, "fees that rose by an announcement, and for equal sizes"


def test_the_sellers_own_table_has_the_true_size() -> None:
    generated = seller(date(2026, 3, 2))
    table = truth.dimensions(generated)
    assert len(table) == len(generated.products)
    assert {row["length"] for row in table} == {"6.00"}
    assert {(row["lengthUnit"], row["weightUnit"]) for row in table} == {("in", "lb")}
