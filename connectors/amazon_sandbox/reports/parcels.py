"""The report on removal shipments: the parcels that removal orders send to the seller."""

from collections.abc import Iterator

from connectors.amazon_sandbox.generator.journal import Parcel
from connectors.amazon_sandbox.reports.scope import Cells, Scope, moment

HEADER = (
    "request-date",
    "order-id",
    "shipment-date",
    "sku",
    "fnsku",
    "disposition",
    "shipped-quantity",
    "carrier",
    "tracking-number",
    "removal-order-type",
)


def removal_shipments(scope: Scope) -> Iterator[Cells]:
    """Yield the parcels by the request of their order, which decides whether the window includes
    them."""
    parcels = scope.seller.journal.parcels
    for parcel in sorted(parcels, key=lambda sent: (sent.order.at, sent.order.id, sent.at)):
        if scope.includes(parcel.order.at):
            yield _parcel(parcel)


def _parcel(parcel: Parcel) -> Cells:
    order = parcel.order
    return (
        moment(order.at),
        order.id,
        moment(parcel.at),
        order.product.sku,
        order.product.fn_sku,
        "Sellable" if order.disposition == "SELLABLE" else "Unsellable",
        str(parcel.units),
        "UPS_GR_PL",
        parcel.tracking,
        order.kind,
    )
