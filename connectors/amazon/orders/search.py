"""Orders page by page: searchOrders of the Orders API 2026-01-01."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from connectors.amazon.client import TRACKING, Operation
from connectors.amazon.columns import field
from connectors.amazon.page_bookmark import LARGEST_PAGE
from connectors.amazon.pages import PagedSource, Pagination, Slice, present
from connectors.amazon.times import SETTLED, stamp, utc
from connectors.base import Connection, Dataset, Record, Window

SEARCH_ORDERS = Operation("searchOrders", "/orders/2026-01-01/orders", 0.0056, 20, role=TRACKING)

# An update may become visible up to a day after the time that it carries.
COLUMNS = (
    field("orderId", "Order"),
    field("createdTime", "Created", "date"),
    field("lastUpdatedTime", "Last updated", "date"),
    field("salesChannel.marketplaceName", "Marketplace"),
    field("salesChannel.marketplaceId", "Marketplace id"),
    field("fulfillment.fulfillmentStatus", "Status"),
    field("fulfillment.fulfilledBy", "Fulfilled by"),
    field(
        "proceeds.grandTotal.amount", "Total", "money", "proceeds.grandTotal.currencyCode", "total"
    ),
    field("proceeds.grandTotal.currencyCode", "Currency", name="currency"),
    field("orderItems", "Items"),
)
ORDERS = Dataset(
    *("orders", "orders", timedelta(days=90), SETTLED, timedelta(hours=26)),
    lasting=True,
    columns=COLUMNS,
)

ORDER_DATA = "PROCEEDS,EXPENSE,PROMOTION,CANCELLATION,FULFILLMENT"
"""The data to include in an order. BUYER and RECIPIENT are left out: no personal data is needed."""


class _Orders(msgspec.Struct):
    orders: list[msgspec.Raw]
    pagination: Pagination | None = None


class _Order(msgspec.Struct):
    orderId: str
    createdTime: datetime
    lastUpdatedTime: datetime
    orderItems: list[msgspec.Raw]


_orders_decoder = msgspec.json.Decoder(_Orders)
_order_decoder = msgspec.json.Decoder(_Order)


def _parts(connection: Connection, window: Window) -> Sequence[Mapping[str, str]]:
    # By the time of the last update, so that an old order that changed is read again.
    return [
        {
            "marketplaceIds": ",".join(connection.settings.marketplace_ids),
            "lastUpdatedAfter": stamp(window.since),
            "lastUpdatedBefore": stamp(window.until),
            "includedData": ORDER_DATA,
            "maxResultsPerPage": str(LARGEST_PAGE),
        }
    ]


def _slice(body: bytes) -> Slice:
    content = _orders_decoder.decode(body)
    return Slice(content.orders, content.pagination.nextToken if content.pagination else None)


def order_record(raw: msgspec.Raw, _: Mapping[str, str]) -> Record:
    order = _order_decoder.decode(raw)
    key, changed = present(order.orderId, "orderId"), order.lastUpdatedTime
    return Record(key, bytes(raw), version=order_version(changed), at=utc(changed))


def order_version(changed: datetime) -> str:
    """The version of an order; searchOrders and reports yield the same one."""
    return f"updated {int(changed.timestamp())}"


SOURCE = PagedSource(
    SEARCH_ORDERS,
    "paginationToken",
    _parts,
    _slice,
    order_record,
    # The only parameter that may change while a token is in use.
    size_parameter="maxResultsPerPage",
    optional="includedData",
)
