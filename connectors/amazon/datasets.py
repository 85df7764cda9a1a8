"""How each dataset is read: its parameters, its bookmark, what to do when one expires."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

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
TRANSACTIONS = Dataset(
    "transactions", "transactions", timedelta(days=130), SETTLED, timedelta(hours=48)
)

ORDER_DATA = "PROCEEDS,EXPENSE,PROMOTION,CANCELLATION,FULFILLMENT"
"""What an order may tell. Never BUYER or RECIPIENT: nothing here needs to know a person."""

LONGEST_WINDOW = timedelta(days=180)
"""Between postedAfter and postedBefore; beyond it listTransactions answers nothing at all."""
MOST_RESTARTS = 5
"""How often a part is begun again, because the token of its next page died, without getting any
further than before."""

MOST_SHARE = 0.99
"""What lies behind a page that is not the last."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Bookmark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Our cursor: which part of the dataset (a marketplace, a span of time), the token of its next
    page, and what the estimate is computed from: the pages so far, the share of the dataset that
    lies behind, and the span of time that the part's records cover."""

    part: Annotated[int, msgspec.Meta(ge=0)] = 0
    token: str | None = None
    pages: int = 0
    share: float = 0.0
    oldest: Moment | None = None
    newest: Moment | None = None


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
    if not parts:
        yield Page([], share=1.0)
        return
    mark = _opened(cursor, len(parts))
    used: set[str] = set()  # the tokens of this part since it was last begun
    furthest = restarts = 0
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
        await client.turns.mine()
        found = _decode(source, body)
        records, times = _records(source, found, parts[mark.part])
        if not found.token or found.token in used or found.token == mark.token:
            mark = Bookmark(mark.part + 1, None, mark.pages + 1, (mark.part + 1) / len(parts))
            used.clear()
            furthest = restarts = 0
        else:
            mark = _turned(mark, found.token, times, window, len(parts))
            used.add(found.token)
            if len(used) > furthest:
                furthest, restarts = len(used), 0
        yield _page(client, source, connection, records, mark, len(parts))


def _opened(cursor: Cursor | None, parts: int) -> Bookmark:
    """Where the cursor says. What another version wrote and this one cannot read means: from the
    beginning."""
    try:
        mark = msgspec.json.decode(cursor, type=Bookmark) if cursor else Bookmark()
    except ValueError:
        return Bookmark()
    return mark if mark.part < parts else Bookmark()


def _stretch(window: Window, part: int, parts: int) -> Window:
    """The span of time of a part. (Parts that are marketplaces carry no times.)"""
    whole = window.until - window.since
    return Window(window.since + whole * part / parts, window.since + whole * (part + 1) / parts)


def _turned(
    mark: Bookmark, token: str, times: Sequence[datetime], window: Window, parts: int
) -> Bookmark:
    """The bookmark after a page that is not the last of its part.

    The share is of time, where records carry one: what they cover, of that and what lies ahead.
    Which way they are ordered shows in which end moved."""
    turned = msgspec.structs.replace(mark, token=token, pages=mark.pages + 1)
    stretch = _stretch(window, mark.part, parts)
    times = [each for each in times if stretch.since <= each <= stretch.until]
    if not times:
        return turned
    oldest = min(mark.oldest or times[0], *times)
    newest = max(mark.newest or times[0], *times)
    earlier = (mark.oldest or times[0]) - oldest
    later = newest - (mark.newest or times[0])
    ahead = stretch.until - newest if later >= earlier else oldest - stretch.since
    whole = newest - oldest + ahead
    within = (newest - oldest) / whole if whole and (earlier or later) else 0.0
    share = max(mark.share, min((mark.part + within) / parts, MOST_SHARE))
    return msgspec.structs.replace(turned, share=share, oldest=oldest, newest=newest)


def _page(
    client: Client,
    source: Source,
    connection: Connection,
    records: Sequence[Record],
    mark: Bookmark,
    parts: int,
) -> Page:
    more = mark.part < parts
    left = mark.pages * (1 - mark.share) / mark.share if mark.share else None
    bucket = client.bucket(connection, source.operation)
    return Page(
        records=records,
        cursor=Cursor(msgspec.json.encode(mark).decode()) if more else None,
        share=mark.share,
        seconds_left=bucket.seconds_for(max(left, 1.0)) if more and left is not None else None,
        learned=client.learned(connection, [source.operation]),
    )


def _decode(source: Source, body: bytes) -> Slice:
    try:
        return source.slice(body)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, nested without end
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
        except (ValueError, RecursionError) as error:
            record, at = unreadable(raw, error), None
        records.append(record)
        if at:
            times.append(at if at.tzinfo else at.replace(tzinfo=UTC))
    return records, times


def unreadable(raw: msgspec.Raw, error: Exception) -> Record:
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
    changed = order.lastUpdatedTime
    record = Record(_present(order.orderId, "orderId"), bytes(raw), version=order_version(changed))
    return record, changed


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
    count = -(-(window.until - window.since) // LONGEST_WINDOW)
    stretches = [_stretch(window, part, count) for part in range(count)]
    spans = [(_stamp(each.since), _stamp(each.until)) for each in stretches]
    # A span that holds no whole second would be refused.
    return [
        {"postedAfter": since, "postedBefore": until} for since, until in spans if since < until
    ]


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
