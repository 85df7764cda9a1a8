"""The fee preview of every product. America and Europe have different layouts."""

from collections.abc import Iterator

from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.truth import referral
from connectors.amazon_sandbox.reports.scope import Cells, Scope

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
    return (write(scope, product) for product in scope.seller.products)


def _american(scope: Scope, product: Product) -> Cells:
    store = (scope.seller.home.country,)
    expected = scope.money(scope.seller.fees.expected(product, scope.created))
    total, referral_fee = _total(scope, product)
    zero = scope.money(0)
    names, prices, size = _parts(scope, product, "inches", "pounds")
    return (
        *names[:3],
        *store,
        *names[3:],
        *prices,
        *size,
        "Small standard-size",
        scope.currency,
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


def _european(scope: Scope, product: Product) -> Cells:
    expected = scope.seller.fees.expected(product, scope.created)
    total, referral_fee = _total(scope, product)
    names, prices, size = _parts(scope, product, "centimetres", "grams")
    abroad = (scope.money(expected + 210),) * 6
    return (
        *names,
        "Yes",
        *prices,
        *size,
        "Standard parcel",
        scope.currency,
        total,
        referral_fee,
        scope.money(0),
        scope.money(expected),
        *abroad,
    )


def _parts(scope: Scope, product: Product, length: str, weight: str) -> tuple[Cells, Cells, Cells]:
    names = (product.sku, product.fn_sku, product.asin, product.title, "Home", "Sandbox", "Amazon")
    price = scope.money(product.price)
    return names, (price, price), ("6.00", "4.00", "1.00", "16.00", length, "0.50", weight)


def _total(scope: Scope, product: Product) -> tuple[str, str]:
    referral_fee = referral(product)
    expected = scope.seller.fees.expected(product, scope.created)
    return scope.money(referral_fee + expected), scope.money(referral_fee)
