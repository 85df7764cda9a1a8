"""The fee preview of every product, for one marketplace. Europe has a layout of its own."""

from collections.abc import Iterator

import msgspec

from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.marketplaces import MarketplaceInfo
from connectors.amazon_sandbox.generator.sizes import Size
from connectors.amazon_sandbox.reports.scope import Cells, Scope, localized

AMERICAN = (
    "sku",
    "fnsku",
    "asin",
    "amazon-store",
    "product-name",
    "product-group",
    "brand",
    "fulfilled-by",
    "your-price",
    "sales-price",
    "longest-side",
    "median-side",
    "shortest-side",
    "length-and-girth",
    "unit-of-dimension",
    "item-package-weight",
    "unit-of-weight",
    "product-size-tier",
    "currency",
    "estimated-fee-total",
    "estimated-referral-fee-per-unit",
    "estimated-variable-closing-fee",
    "estimated-order-handling-fee-per-order",
    "estimated-pick-pack-fee-per-unit",
    "estimated-weight-handling-fee-per-unit",
    "expected-fulfillment-fee-per-unit",
    "estimated-future-fee (Current Selling on Amazon + Future Fulfillment fees)",
    "estimated-future-order-handling-fee-per-order",
    "estimated-future-pick-pack-fee-per-unit",
    "estimated-future-weight-handling-fee-per-unit",
    "expected-future-fulfillment-fee-per-unit",
)

EUROPEAN = (
    "sku",
    "fnsku",
    "asin",
    "product-name",
    "product-group",
    "brand",
    "fulfilled-by",
    "has-local-inventory",
    "your-price",
    "sales-price",
    "longest-side",
    "median-side",
    "shortest-side",
    "length-and-girth",
    "unit-of-dimension",
    "item-package-weight",
    "unit-of-weight",
    "product-size-weight-band",
    "currency",
    "estimated-fee-total",
    "estimated-referral-fee-per-unit",
    "estimated-variable-closing-fee",
    "expected-domestic-fulfilment-fee-per-unit",
    "expected-efn-fulfilment-fee-per-unit-uk",
    "expected-efn-fulfilment-fee-per-unit-de",
    "expected-efn-fulfilment-fee-per-unit-fr",
    "expected-efn-fulfilment-fee-per-unit-it",
    "expected-efn-fulfilment-fee-per-unit-es",
    "expected-efn-fulfilment-fee-per-unit-se",
)


def header(scope: Scope) -> Cells:
    return EUROPEAN if scope.seller.home.european else AMERICAN


def rows(scope: Scope) -> Iterator[Cells]:
    write = _european if scope.seller.home.european else _american
    return (write(_Preview.of(scope, product)) for product in scope.seller.products)


class _Preview(msgspec.Struct, frozen=True):
    """The fees of a product in the one marketplace that the report shows."""

    place: MarketplaceInfo
    product: Product
    #: The fulfilment fee in cents.
    expected: int
    referral: int
    size: Size

    @classmethod
    def of(cls, scope: Scope, product: Product) -> "_Preview":
        fees = scope.seller.fees
        return cls(
            scope.place,
            product,
            fees.expected(product, scope.created, scope.place.country),
            fees.referral(product, scope.created),
            fees.size(product, scope.created),
        )

    def money(self, cents: int) -> str:
        return localized(cents, self.place.currency)


def _american(preview: _Preview) -> Cells:
    expected = preview.money(preview.expected)
    total, referral_fee = _total(preview)
    zero = preview.money(0)
    names, prices, size = _parts(preview, _in_inches(preview.size))
    return (
        *names[:3],
        preview.place.country,
        *names[3:],
        *prices,
        *size,
        preview.size.tier,
        preview.place.currency,
        total,
        referral_fee,
        zero,
        zero,
        expected,
        zero,
        expected,
        total,
        zero,
        expected,
        zero,
        expected,
    )


def _european(preview: _Preview) -> Cells:
    total, referral_fee = _total(preview)
    names, prices, size = _parts(preview, _in_centimetres(preview.size))
    return (
        *names,
        "Yes",
        *prices,
        *size,
        preview.size.band,
        preview.place.currency,
        total,
        referral_fee,
        preview.money(0),
        preview.money(preview.expected),
        *(preview.money(preview.expected + 210),) * 6,
    )


def _in_inches(size: Size) -> Cells:
    sides = (size.longest, size.median, size.shortest, _girth(size))
    return (
        *(f"{side / 100:.2f}" for side in sides),
        "inches",
        f"{size.weight / 100:.2f}",
        "pounds",
    )


def _in_centimetres(size: Size) -> Cells:
    sides = (size.longest, size.median, size.shortest, _girth(size))
    return (
        *(f"{side * 0.0254:.2f}" for side in sides),
        "centimetres",
        f"{size.weight * 4.5359237:.1f}",
        "grams",
    )


def _girth(size: Size) -> int:
    """The sum of the longest side and the distance around the others."""
    return size.longest + 2 * (size.median + size.shortest)


def _parts(preview: _Preview, size: Cells) -> tuple[Cells, Cells, Cells]:
    product = preview.product
    names = (product.sku, product.fn_sku, product.asin, product.title, "Home", "Sandbox", "Amazon")
    price = preview.money(product.price)
    return names, (price, price), size


def _total(preview: _Preview) -> tuple[str, str]:
    total = preview.money(preview.referral + preview.expected)
    return total, preview.money(preview.referral)
