"""The cursor of orders that are read by reports and search, and what the pages of a search show
about the number of orders."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from connectors.amazon.orders.plan import recent_span
from connectors.base import Cursor, Page, Record, Window

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class OrdersBookmark(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far orders have been read. The field names are stored in cursors."""

    #: Where reports end and the search starts.
    turn: Moment
    #: The cursor of the reports.
    reports: str | None = None
    #: The cursor of the search, or of the report that takes its place (`refused`).
    search: str | None = None
    #: The search is finished.
    searched: bool = False
    #: Orders read so far.
    count: int = 0
    #: Order items per day, by the first page of the search.
    rows: float = 0.0
    #: Items of orders that were created since `turn`, and the newest creation time among them.
    new: int = 0
    newest: Moment | None = None
    #: The search was refused; a report takes its place.
    refused: bool = False
    #: Why orders may be missing although the read completes.
    lacking: str = ""


class _Times(msgspec.Struct):
    createdTime: datetime
    lastUpdatedTime: datetime
    orderItems: list[msgspec.Raw]


_times_decoder = msgspec.json.Decoder(_Times)


def opened(cursor: Cursor | None, window: Window) -> OrdersBookmark | None:
    """The bookmark in a cursor; None without one, and for one of another version."""
    try:
        mark = msgspec.json.decode(cursor, type=OrdersBookmark) if cursor else None
    except ValueError:
        return None
    return mark if mark and window.since <= mark.turn <= window.until else None


def with_density(mark: OrdersBookmark, first: Page, window: Window) -> OrdersBookmark:
    """The bookmark with the density of orders that the first page of the search shows. The search
    starts later if the planned span has more pages than the burst allows."""
    orders = [_times(record) for record in first.records if not record.error]
    if first.cursor is None or not orders:
        return mark
    changed = [order.lastUpdatedTime for order in orders]
    days = max((max(changed) - min(changed)) / timedelta(days=1), 1e-3)
    turn = max(mark.turn, window.until - recent_span(len(orders) / days))
    rows = sum(len(order.orderItems) for order in orders) / days
    return msgspec.structs.replace(mark, turn=turn, rows=rows)


def with_orders_counted(mark: OrdersBookmark, page: Page) -> OrdersBookmark:
    """The bookmark with the new orders of a page of the search counted."""
    new, newest = mark.new, mark.newest or mark.turn
    for record in page.records:
        if not record.error and (order := _times(record)).createdTime >= mark.turn:
            new, newest = new + len(order.orderItems), max(newest, order.createdTime)
    return msgspec.structs.replace(mark, new=new, newest=newest)


def _times(record: Record) -> _Times:
    order = _times_decoder.decode(record.data)
    for name in ("createdTime", "lastUpdatedTime"):
        moment: datetime = getattr(order, name)
        if not moment.tzinfo:
            setattr(order, name, moment.replace(tzinfo=UTC))
    return order
