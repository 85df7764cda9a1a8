"""The report on replacements that were sent to customers."""

from collections.abc import Iterator

from connectors.amazon_sandbox.reports.scope import Cells, Scope, moment

HEADER = (
    "shipment-date",
    "sku",
    "asin",
    "fulfillment-center-id",
    "original-fulfillment-center-id",
    "quantity",
    "replacement-reason-code",
    "replacement-amazon-order-id",
    "original-amazon-order-id",
)


def rows(scope: Scope) -> Iterator[Cells]:
    """Yield the replacements by date."""
    sent = sorted(scope.seller.journal.replacements, key=lambda row: (row.at, row.order_id))
    for row in sent:
        if scope.includes(row.at):
            yield (
                moment(row.at),
                row.product.sku,
                row.product.asin,
                row.center,
                row.original_center,
                str(row.quantity),
                "1",
                row.order_id,
                row.original,
            )
