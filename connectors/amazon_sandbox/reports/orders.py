"""All orders in bulk, one row per item, by last update or by creation."""

from collections.abc import Iterator, Sequence

from connectors.amazon_sandbox.generator.amounts import amount_text
from connectors.amazon_sandbox.generator.marketplaces import MARKETPLACES
from connectors.amazon_sandbox.generator.sales import Line, Sale, count_lines
from connectors.amazon_sandbox.reports.scope import Cells, Scope, moment

HEADER = (
    "amazon-order-id",
    "merchant-order-id",
    "purchase-date",
    "last-updated-date",
    "order-status",
    "fulfillment-channel",
    "sales-channel",
    "order-channel",
    "ship-service-level",
    "product-name",
    "sku",
    "asin",
    "item-status",
    "quantity",
    "currency",
    "item-price",
    "item-tax",
    "shipping-price",
    "shipping-tax",
    "gift-wrap-price",
    "gift-wrap-tax",
    "item-promotion-discount",
    "ship-promotion-discount",
    "ship-city",
    "ship-state",
    "ship-postal-code",
    "ship-country",
    "promotion-ids",
    "is-business-order",
    "purchase-order-number",
    "price-designation",
)

_STATUSES = {
    "PENDING": "Pending",
    "UNSHIPPED": "Unshipped",
    "PARTIALLY_SHIPPED": "PartiallyShipped",
    "SHIPPED": "Shipped",
    "CANCELLED": "Cancelled",
}


def by_update(scope: Scope) -> Iterator[Cells]:
    return _rows(scope, _updated(scope))


def by_creation(scope: Scope) -> Iterator[Cells]:
    return _rows(scope, _created(scope))


def count_by_update(scope: Scope) -> int:
    return sum(count_lines(scope.seller.root, sale) for sale in _updated(scope))


def count_by_creation(scope: Scope) -> int:
    return sum(count_lines(scope.seller.root, sale) for sale in _created(scope))


def _updated(scope: Scope) -> Sequence[Sale]:
    return _shown(scope, [sale for sale in scope.seller.updates if _in_window(scope, sale.updated)])


def _created(scope: Scope) -> Sequence[Sale]:
    return _shown(scope, [sale for sale in scope.seller.sales if _in_window(scope, sale.created)])


def _in_window(scope: Scope, at: float) -> bool:
    """Whether the window includes that moment. Without a start the window is empty."""
    return scope.start is not None and scope.includes(at)


def _shown(scope: Scope, sales: list[Sale]) -> Sequence[Sale]:
    return [
        sale
        for sale in sales
        if sale.marketplace in scope.marketplaces and not scope.hides(sale.id)
    ]


def _rows(scope: Scope, sales: Sequence[Sale]) -> Iterator[Cells]:
    for sale in sales:
        for line in scope.seller.lines(sale):
            yield _row(sale, line)


def _row(sale: Sale, line: Line) -> Cells:
    marketplace = MARKETPLACES[sale.marketplace]
    priced = sale.status not in ("PENDING", "CANCELLED")
    zero = amount_text(0, marketplace.currency) if priced else ""
    status = _STATUSES[sale.status]
    return (
        sale.id,
        sale.id,
        moment(sale.created),
        moment(sale.updated),
        status,
        "Amazon" if sale.by_amazon else "Merchant",
        marketplace.name,
        "",
        "Expedited" if sale.by_amazon else "Standard",
        line.product.title,
        line.product.sku,
        line.product.asin,
        "Unshipped" if priced and not line.fulfilled else status,
        "0" if sale.status == "CANCELLED" else str(line.quantity),
        marketplace.currency if priced else "",
        amount_text(line.price * line.quantity, marketplace.currency) if priced else "",
        amount_text(line.tax * line.quantity, marketplace.currency) if priced else "",
        *(zero,) * 6,
        "Exampleville",
        "WA" if marketplace.country == "US" else "",
        "00000",
        marketplace.country,
        "FREE-SHIPPING" if sale.serial % 10 == 0 else "",
        str(sale.business).lower(),
        "",
        "Business Price" if sale.business else "",
    )
