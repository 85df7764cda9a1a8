"""All orders in bulk, one row an item: by last update or by date of order."""

from collections.abc import Iterator, Sequence

from connectors.amazon_sandbox.generator.marketplaces import MARKETPLACES
from connectors.amazon_sandbox.generator.sales import Line, Sale, count_lines
from connectors.amazon_sandbox.reports.scope import Cells, Scope, moment, plain

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
    return _among(scope, [each for each in scope.seller.updates if _holds(scope, each.updated)])


def _created(scope: Scope) -> Sequence[Sale]:
    return _among(scope, [each for each in scope.seller.sales if _holds(scope, each.created)])


def _holds(scope: Scope, at: float) -> bool:
    """Without a start there is nothing: the default is now."""
    return scope.start is not None and scope.holds(at)


def _among(scope: Scope, sales: list[Sale]) -> Sequence[Sale]:
    return [each for each in sales if each.marketplace in scope.marketplaces]


def _rows(scope: Scope, sales: Sequence[Sale]) -> Iterator[Cells]:
    for sale in sales:
        for line in scope.seller.lines(sale):
            yield _row(sale, line)


def _row(sale: Sale, line: Line) -> Cells:
    where = MARKETPLACES[sale.marketplace]
    priced = sale.status not in ("PENDING", "CANCELLED")
    nothing = "0.00" if priced else ""
    status = _STATUSES[sale.status]
    return (
        sale.id,
        sale.id,
        moment(sale.created),
        moment(sale.updated),
        status,
        "Amazon" if sale.by_amazon else "Merchant",
        where.name,
        "",
        "Expedited" if sale.by_amazon else "Standard",
        line.product.title,
        line.product.sku,
        line.product.asin,
        "Unshipped" if priced and not line.fulfilled else status,
        "0" if sale.status == "CANCELLED" else str(line.quantity),
        where.currency if priced else "",
        plain(line.product.price * line.quantity) if priced else "",
        plain(line.tax * line.quantity) if priced else "",
        *(nothing,) * 6,
        "Exampleville",
        "WA" if where.country == "US" else "",
        "00000",
        where.country,
        "FREE-SHIPPING" if sale.serial % 10 == 0 else "",
        str(sale.business).lower(),
        "",
        "Business Price" if sale.business else "",
    )
