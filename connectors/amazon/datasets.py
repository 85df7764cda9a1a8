"""How each dataset is read: its parameters, its bookmark, what to do when one expires."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from connectors.amazon.client import Client, Operation, Refused
from connectors.base import (
    Connection,
    Cursor,
    Dataset,
    Page,
    Record,
    Retryable,
    Waiting,
    Window,
)

PARTICIPATIONS = Operation(
    "getMarketplaceParticipations", "/sellers/v1/marketplaceParticipations", 0.016, 15
)
SEARCH_ORDERS = Operation("searchOrders", "/orders/2026-01-01/orders", 0.0056, 20)
INVENTORY_SUMMARIES = Operation("getInventorySummaries", "/fba/inventory/v1/summaries", 2, 2)
LIST_TRANSACTIONS = Operation("listTransactions", "/finances/2024-06-19/transactions", 0.5, 10)

SETTLED = timedelta(minutes=2, seconds=5)
"""Amazon wants every "before" to be over two minutes ago; a little more forgives a clock."""

ORDERS = Dataset("orders", "orders", timedelta(days=90), SETTLED)
INVENTORY = Dataset("inventory", "inventory")
TRANSACTIONS = Dataset("transactions", "transactions", timedelta(days=130), SETTLED)

ORDER_DATA = "PROCEEDS,EXPENSE,PROMOTION,CANCELLATION,FULFILLMENT"
"""What an order may tell. Never BUYER or RECIPIENT: nothing here needs to know a person."""

LONGEST_WINDOW = timedelta(days=180)
"""Between postedAfter and postedBefore; beyond it listTransactions answers nothing at all."""
MOST_RESTARTS = 5
"""How often in a row a window is begun again because its token died before its next page."""


class Bookmark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Our cursor: which part of the dataset (a marketplace, a span of time), the token of its next
    page, and what the share and the estimate are computed from."""

    part: int = 0
    token: str | None = None
    pages: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None


class Slice(msgspec.Struct, frozen=True):
    """What one answer held: the raw records, the token of the next page."""

    records: Sequence[msgspec.Raw]
    token: str | None


class Source(msgspec.Struct, frozen=True):
    """One dataset's way of being read. Each part has its own parameters and its own tokens."""

    operation: Operation
    token_parameter: str
    parts: Callable[[Connection, Window], Sequence[Mapping[str, str]]]
    slice: Callable[[bytes], Slice]
    record: Callable[[msgspec.Raw, Mapping[str, str]], tuple[Record, datetime | None]]


async def read(
    client: Client,
    source: Source,
    connection: Connection,
    window: Window,
    cursor: Cursor | None,
    waiting: Waiting,
) -> AsyncIterator[Page]:
    """Every page from the cursor on. A token that expired means that its part is read again from
    the start (the same records come again); a token that repeats ends its part."""
    parts = source.parts(connection, window)
    mark = msgspec.json.decode(cursor, type=Bookmark) if cursor else Bookmark()
    restarts = 0
    used: set[str] = set()
    while mark.part < len(parts):
        params = dict(parts[mark.part])
        if mark.token:
            params[source.token_parameter] = mark.token
        try:
            body = await client.call(connection, source.operation, params, waiting)
        except Refused:
            if not mark.token:
                raise
            restarts += 1
            if restarts > MOST_RESTARTS:
                raise Retryable(
                    f"{source.operation.name}: the next page's token expired {restarts} times "
                    "before it could be used. Try again later."
                ) from None
            mark = msgspec.structs.replace(mark, token=None)
            used.clear()
            continue
        restarts = 0 if mark.token else restarts
        found = _decode(source, body)
        records, times = _records(source, found, parts[mark.part])
        mark = _turned(mark, found.token, times, used)
        yield _page(client, source, connection, window, records, mark, len(parts))


def _turned(
    mark: Bookmark, token: str | None, times: Sequence[datetime], used: set[str]
) -> Bookmark:
    """The bookmark after a page: on to the next token, or to the next part."""
    span = [each for each in (mark.oldest, mark.newest, *times) if each]
    ended = not token or token in used or token == mark.token
    if token:
        used.add(token)
    return Bookmark(
        part=mark.part + 1 if ended else mark.part,
        token=None if ended else token,
        pages=mark.pages + 1,
        oldest=min(span, default=None),
        newest=max(span, default=None),
    )


def _page(
    client: Client,
    source: Source,
    connection: Connection,
    window: Window,
    records: Sequence[Record],
    mark: Bookmark,
    parts: int,
) -> Page:
    more = mark.part < parts
    share = _share(mark, window, parts) if more else 1.0
    left = mark.pages * (1 - share) / share if share else None
    bucket = client.bucket(connection, source.operation)
    return Page(
        records=records,
        cursor=Cursor(msgspec.json.encode(mark).decode()) if more else None,
        share=share,
        seconds_left=bucket.seconds_for(max(left, 1.0)) if more and left is not None else None,
        learned=client.learned(connection, [source.operation]),
    )


def _share(mark: Bookmark, window: Window, parts: int) -> float:
    """How much of the dataset lies behind the bookmark: of its window where records carry a time
    (whichever way they are ordered), else of its parts."""
    if mark.oldest and mark.newest:
        covered = (mark.newest - mark.oldest) / (window.until - window.since)
        return min(max(covered, 0.0), 0.99)
    return mark.part / parts


def _decode(source: Source, body: bytes) -> Slice:
    try:
        return source.slice(body)
    except msgspec.DecodeError as error:
        raise Retryable(
            f"{source.operation.name}: the answer is not what the API promises ({error})."
        ) from error


def _records(
    source: Source, found: Slice, params: Mapping[str, str]
) -> tuple[list[Record], list[datetime]]:
    records, times = [], []
    for raw in found.records:
        try:
            bytes(raw).decode()  # the decoders look only at what they name
            record, at = source.record(raw, params)
        except (msgspec.DecodeError, ValueError) as error:
            record, at = _unreadable(raw, error), None
        records.append(record)
        if at:
            times.append(at if at.tzinfo else at.replace(tzinfo=UTC))
    return records, times


def _unreadable(raw: msgspec.Raw, error: Exception) -> Record:
    """A record that costs itself only. Its id is made from its bytes, the same at every reading."""
    data = bytes(raw)
    digest = hashlib.blake2b(data, digest_size=8).hexdigest()
    return Record(f"unreadable-{digest}", data, error=f"Cannot be read: {error}")


def _stamp(moment: datetime) -> str:
    """UTC with a Z: an offset's plus sign would arrive as a space."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
            "marketplaceIds": ",".join(connection.marketplace_ids),
            "lastUpdatedAfter": _stamp(window.since),
            "lastUpdatedBefore": _stamp(window.until),
            "includedData": ORDER_DATA,
            "maxResultsPerPage": "100",
        }
    ]


def _order_slice(body: bytes) -> Slice:
    found = _orders_decoder.decode(body)
    return Slice(found.orders, found.pagination.nextToken if found.pagination else None)


def _order(raw: msgspec.Raw, _: Mapping[str, str]) -> tuple[Record, datetime | None]:
    order = _order_decoder.decode(raw)
    return Record(_present(order.orderId, "orderId"), bytes(raw)), order.lastUpdatedTime


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
        for marketplace in connection.marketplace_ids
    ]


def _inventory_slice(body: bytes) -> Slice:
    found = _inventory_decoder.decode(body)
    token = found.pagination.nextToken if found.pagination else None
    return Slice(found.payload.inventorySummaries, token)


def _summary(raw: msgspec.Raw, params: Mapping[str, str]) -> tuple[Record, datetime | None]:
    summary = _summary_decoder.decode(raw)
    sku = _present(summary.sellerSku, "sellerSku")
    return Record(f"{params['granularityId']}/{sku}", bytes(raw), summary.productName or sku), None


# Transactions: listTransactions of 2024-06-19 --------------------------------------------------


class _Transactions(msgspec.Struct):
    transactions: list[msgspec.Raw] = []
    nextToken: str | None = None


class _Finances(msgspec.Struct):
    payload: _Transactions


class _Transaction(msgspec.Struct):
    transactionId: str
    postedDate: datetime
    transactionType: str | None = None


def _transaction_parts(_: Connection, window: Window) -> Sequence[Mapping[str, str]]:
    # No marketplaceId: with it, orders that the seller ships are missing in the United States.
    parts = []
    since = window.since
    while since < window.until:
        until = min(since + LONGEST_WINDOW, window.until)
        parts.append({"postedAfter": _stamp(since), "postedBefore": _stamp(until)})
        since = until
    return parts


def _transaction_slice(body: bytes) -> Slice:
    found = _finances_decoder.decode(body)
    return Slice(found.payload.transactions, found.payload.nextToken)


def _transaction(raw: msgspec.Raw, _: Mapping[str, str]) -> tuple[Record, datetime | None]:
    found = _transaction_decoder.decode(raw)
    key = _present(found.transactionId, "transactionId")
    return Record(key, bytes(raw), found.transactionType or ""), found.postedDate


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
    ORDERS.name: Source(SEARCH_ORDERS, "paginationToken", _order_parts, _order_slice, _order),
    INVENTORY.name: Source(
        INVENTORY_SUMMARIES, "nextToken", _inventory_parts, _inventory_slice, _summary
    ),
    TRANSACTIONS.name: Source(
        LIST_TRANSACTIONS, "nextToken", _transaction_parts, _transaction_slice, _transaction
    ),
}
