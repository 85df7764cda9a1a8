"""The datasets that come page by page: their operations, parameters, records."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connectors.amazon.client import FINANCE, FULFILLMENT, INSIGHTS, TRACKING, Operation
from connectors.amazon.pages import HAD, LARGEST_PAGE, SETTLED, Slice, Source, stamp, stretch, utc
from connectors.base import Connection, Dataset, Record, Window

PARTICIPATIONS = Operation(
    "getMarketplaceParticipations",
    "/sellers/v1/marketplaceParticipations",
    0.016,
    15,
    role=INSIGHTS,
)
SEARCH_ORDERS = Operation("searchOrders", "/orders/2026-01-01/orders", 0.0056, 20, role=TRACKING)
INVENTORY_SUMMARIES = Operation(
    "getInventorySummaries", "/fba/inventory/v1/summaries", 2, 2, role=FULFILLMENT
)
LIST_TRANSACTIONS = Operation(
    "listTransactions", "/finances/2024-06-19/transactions", 0.5, 10, role=FINANCE
)

# An update may show later than it says, for a day at the most.
ORDERS = Dataset("orders", "orders", timedelta(days=90), SETTLED, timedelta(hours=26), lasting=True)
INVENTORY = Dataset("inventory", "inventory")
# Some come two days late, and a payment is deferred for two weeks.
TRANSACTIONS = Dataset(
    "transactions",
    "transactions",
    timedelta(days=130),
    SETTLED,
    timedelta(days=16),
    tells_account=True,
)

ORDER_DATA = "PROCEEDS,EXPENSE,PROMOTION,CANCELLATION,FULFILLMENT"
"""What an order may tell. Never BUYER or RECIPIENT: nothing here needs to know a person."""

LONGEST_WINDOW = timedelta(days=180)
"""Between postedAfter and postedBefore; beyond it listTransactions answers nothing at all."""


# Orders: searchOrders of 2026-01-01 ------------------------------------------------------------


class _Pagination(msgspec.Struct):
    nextToken: str | None = None


class _Orders(msgspec.Struct):
    orders: list[msgspec.Raw]
    pagination: _Pagination | None = None


class _Order(msgspec.Struct):
    orderId: str
    createdTime: datetime
    lastUpdatedTime: datetime
    orderItems: list[Any]


def _order_parts(connection: Connection, window: Window) -> Sequence[Mapping[str, str]]:
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


def _order_slice(body: bytes) -> Slice:
    found = _orders_decoder.decode(body)
    return Slice(found.orders, found.pagination.nextToken if found.pagination else None)


def _order(raw: msgspec.Raw, _: Mapping[str, str]) -> Record:
    order = _order_decoder.decode(raw)
    key, changed = _present(order.orderId, "orderId"), order.lastUpdatedTime
    return Record(key, bytes(raw), version=order_version(changed), at=utc(changed))


def order_version(changed: datetime) -> str:
    """The same for an order whether searchOrders or a report told of it."""
    return f"updated {int(changed.timestamp())}"


# Inventory: getInventorySummaries ----------------------------------------------------------------


class _Summaries(msgspec.Struct):
    inventorySummaries: list[msgspec.Raw]


class _Inventory(msgspec.Struct):
    payload: _Summaries
    pagination: _Pagination | None = None


class _Summary(msgspec.Struct):
    sellerSku: str
    productName: str | None = None


def _inventory_parts(connection: Connection, _: Window) -> Sequence[Mapping[str, str]]:
    return [
        {
            "granularityType": "Marketplace",
            "granularityId": marketplace,
            "marketplaceIds": marketplace,
            "details": "true",
        }
        for marketplace in connection.settings.marketplace_ids
    ]


def _no_stock(connection: Connection) -> str:
    """Amazon answers 400 InvalidInput for a seller who does not use FBA, or has no product in it
    (github.com/ericcj/amz_sp_api/issues/28). Of one who had some, it would mean something else."""
    if HAD.format(INVENTORY_SUMMARIES.name) in connection.learned:
        return ""
    return (
        "Amazon does not list an inventory, as for sellers who do not use Fulfillment by Amazon: "
        "the inventory is complete with 0 records."
    )


def _inventory_slice(body: bytes) -> Slice:
    found = _inventory_decoder.decode(body)
    token = found.pagination.nextToken if found.pagination else None
    return Slice(found.payload.inventorySummaries, token)


def _summary(raw: msgspec.Raw, params: Mapping[str, str]) -> Record:
    summary = _summary_decoder.decode(raw)
    sku = _present(summary.sellerSku, "sellerSku")
    return Record(f"{params['granularityId']}/{sku}", bytes(raw), summary.productName or sku)


# Transactions: listTransactions of 2024-06-19 --------------------------------------------------


class _Transactions(msgspec.Struct):
    transactions: list[msgspec.Raw] = []
    nextToken: str | None = None


class _Finances(msgspec.Struct):
    payload: _Transactions


class _Transaction(msgspec.Struct):
    postedDate: datetime
    transactionId: str | None = None
    transactionType: str | None = None
    relatedIdentifiers: Any = None
    totalAmount: Any = None


def _transaction_parts(_: Connection, window: Window) -> Sequence[Mapping[str, str]]:
    # No marketplaceId: with it, orders that the seller ships are missing in the United States.
    count = -(-(window.until - window.since) // LONGEST_WINDOW)
    stretches = [stretch(window, part, count) for part in range(count)]
    spans = [(stamp(each.since), stamp(each.until)) for each in stretches]
    # A span that holds no whole second would be refused.
    return [
        {"postedAfter": since, "postedBefore": until} for since, until in spans if since < until
    ]


def _transaction_slice(body: bytes) -> Slice:
    found = _finances_decoder.decode(body)
    return Slice(found.payload.transactions, found.payload.nextToken)


def _transaction(raw: msgspec.Raw, _: Mapping[str, str]) -> Record:
    found = _transaction_decoder.decode(raw)
    key = found.transactionId or _described(found)
    return Record(key, bytes(raw), found.transactionType or "", at=utc(found.postedDate))


def _described(found: _Transaction) -> str:
    """An id for a transaction that has none, which Amazon's model allows: made of what it is about,
    not of its status, which changes."""
    digest = hashlib.blake2b(msgspec.json.encode(found), digest_size=12).hexdigest()
    return f"unnamed-{digest}"


def _present(value: str, field: str) -> str:
    if not value:
        raise ValueError(f"{field} is empty")
    return value


_orders_decoder = msgspec.json.Decoder(_Orders)
_order_decoder = msgspec.json.Decoder(_Order)
_inventory_decoder = msgspec.json.Decoder(_Inventory)
_summary_decoder = msgspec.json.Decoder(_Summary)
_finances_decoder = msgspec.json.Decoder(_Finances)
_transaction_decoder = msgspec.json.Decoder(_Transaction)

SOURCES: Mapping[str, Source] = {
    ORDERS.name: Source(
        SEARCH_ORDERS,
        "paginationToken",
        _order_parts,
        _order_slice,
        _order,
        # The only parameter that may change while a token is in use.
        size_parameter="maxResultsPerPage",
        optional="includedData",
    ),
    INVENTORY.name: Source(
        INVENTORY_SUMMARIES,
        "nextToken",
        _inventory_parts,
        _inventory_slice,
        _summary,
        nothing=_no_stock,
    ),
    TRANSACTIONS.name: Source(
        LIST_TRANSACTIONS,
        "nextToken",
        _transaction_parts,
        _transaction_slice,
        _transaction,
        span_parameters=("postedAfter", "postedBefore"),
        most_empty=5,  # an empty page is not the end, as Amazon says
    ),
}
