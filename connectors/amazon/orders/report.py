"""Orders by report: one row per item, converted to the shape of searchOrders."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from connectors.amazon.client import TRACKING
from connectors.amazon.orders.search import order_version
from connectors.amazon.reports.documents import Part, ReportKind
from connectors.amazon.reports.kinds import by_columns, time_in
from connectors.amazon.reports.tables import Row
from connectors.base import Connection, Window

LONGEST_SPAN = timedelta(days=30)
"""The longest span of one report of orders."""

BY_UPDATE: Final = "GET_FLAT_FILE_ALL_ORDERS_DATA_BY_LAST_UPDATE_GENERAL"
BY_CREATION: Final = "GET_FLAT_FILE_ALL_ORDERS_DATA_BY_ORDER_DATE_GENERAL"
"""The report by creation. It has the columns of the report by last update."""

STATUSES = {
    "pending": "PENDING",
    "unshipped": "UNSHIPPED",
    "shipping": "PARTIALLY_SHIPPED",
    "partiallyshipped": "PARTIALLY_SHIPPED",
    "shipped": "SHIPPED",
    "cancelled": "CANCELLED",
    "unfulfillable": "UNFULFILLABLE",
}


def _parts(connection: Connection, window: Window) -> Sequence[Part]:
    """All orders of all marketplaces, in spans of equal length, none longer than allowed."""
    whole = window.until - window.since
    count = max(1, -(-whole // LONGEST_SPAN))
    ends = [window.since + whole * number / count for number in range(count + 1)]
    return [
        Part(BY_UPDATE, connection.settings.marketplace_ids, since, until)
        for since, until in pairwise(ends)
    ]


def _order(rows: Sequence[Row], part: Part, made_at: datetime) -> Mapping[str, object]:
    """An order in the shape of searchOrders. The buyer's address, which this report contains, is
    left out."""
    first = rows[0]
    status = STATUSES.get(first["orderstatus"].replace(" ", "").split("-")[0].lower())
    by_amazon = first.get("fulfillmentchannel", "").lower().startswith(("amazon", "afn"))
    return {
        "orderId": first["amazonorderid"],
        "createdTime": first["purchasedate"],
        "lastUpdatedTime": first["lastupdateddate"],
        "salesChannel": {"channelName": "AMAZON", "marketplaceName": first.get("saleschannel", "")},
        "fulfillment": {
            "fulfillmentStatus": status or first["orderstatus"].upper(),
            "fulfilledBy": "AMAZON" if by_amazon else "MERCHANT",
        },
        "orderItems": [_order_item(row) for row in rows],
        "source": "report",
    }


def _order_item(row: Row) -> Mapping[str, object]:
    price = row.get("itemprice", "")
    item: dict[str, object] = {
        "quantityOrdered": int(row.get("quantity") or 0),
        "product": {
            "asin": row.get("asin", ""),
            "sellerSku": row.get("sku", ""),
            "title": row.get("productname", ""),
        },
    }
    if price:
        total = {"amount": price, "currencyCode": row.get("currency", "")}
        item["proceeds"] = {"proceedsTotal": total}
    return item


ORDERS_KIND = ReportKind(
    parts=_parts,
    wanted=("amazonorderid", "purchasedate", "lastupdateddate", "orderstatus", "sku"),
    filled=("quantity", "currency", "itemprice"),
    key=by_columns("amazonorderid"),
    fresh=timedelta(minutes=30),
    record=_order,
    joined=True,
    version=lambda row: order_version(datetime.fromisoformat(row["lastupdateddate"])),
    slack=timedelta(0),  # the search starts where the report ends
    at=time_in("lastupdateddate"),
    role=TRACKING,
)
