"""The units that the user received from removal orders, which send goods back: uploaded as CSV or
JSON, listed in pages or as a CSV file."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import date, timedelta
from typing import Annotated

import anyio
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from connectors.claims import RemovalArrival
from service.api.parts import actor, parts
from service.api.uploads import Parsed, parse, parsers, short_text
from service.errors import Invalid
from service.store.removals import MAX_ARRIVALS, NOTHING, Key, SentProduct, key
from service.wire import responses, shapes
from service.wire.csv_files import MAX_NAMED_LINES, Row, csv_line, download, rows_of
from service.wire.paging import Paged
from service.wire.reading import In, read_body, read_bytes, read_query

COLUMNS = ("order-id", "sku", "fnsku", "tracking-number", "quantity-received", "date")
OPTIONAL = ("sku", "fnsku", "tracking-number", "date")
LONGEST_TEXT = 200
MAX_UNITS = 1_000_000
#: How far the user's date may be ahead of the date in UTC.
AHEAD = timedelta(days=1)
#: Arrivals that a download reads at once.
BATCH = 1000

ParsedArrivals = Parsed[Key, RemovalArrival]


class ReceivedIn(In, frozen=True):
    """The units of a removal order that arrived; those of one product or parcel, if it is named."""

    order_id: str
    quantity_received: int | float | str
    sku: str = ""
    fnsku: str = ""
    tracking_number: str = ""
    #: The day on which they arrived, such as 2026-03-31.
    date: str | None = None

    @property
    def cells(self) -> Sequence[str]:
        quantity = str(self.quantity_received)
        product = (self.order_id, self.sku, self.fnsku, self.tracking_number)
        return (*product, quantity, self.date or "")


class ReceivedQuery(Paged, frozen=True):
    """The page to return."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


# Listing ----------------------------------------------------------------------------------------


async def list_all(request: Request) -> Response:
    """List the units that the user received from removal orders. With `Accept: text/csv`, return
    all of them as a file, which `PUT` accepts unchanged."""
    user, query = actor(request).user, read_query(request, ReceivedQuery)
    if "text/csv" in request.headers.get("accept", ""):
        return download("removals-received.csv", _lines(request, user))
    page = query.page("removals received", key_length=len(NOTHING))
    # A part of a cursor is never empty, so each one begins with a point.
    order, sku, fnsku, tracking = (part[1:] for part in page.after or NOTHING)
    after = (order, sku, fnsku, tracking)
    arrivals = await parts(request).removals.page(user, page.read_limit, after)
    shown, next_cursor = page.cut(
        arrivals, key=lambda arrival: tuple(f".{part}" for part in key(arrival))
    )
    received = [_shown(arrival) for arrival in shown]
    return responses.JSON(shapes.RemovalsReceived(received=received, next_cursor=next_cursor))


def _shown(arrival: RemovalArrival) -> shapes.RemovalReceived:
    return shapes.RemovalReceived(
        order_id=arrival.order,
        sku=arrival.sku,
        fnsku=arrival.fnsku,
        tracking_number=arrival.tracking,
        quantity_received=arrival.units,
        date=arrival.day.isoformat() if arrival.day else None,
    )


async def _lines(request: Request, user: str) -> AsyncIterator[bytes]:
    """The header and every arrival as a line, read in batches."""
    yield csv_line(COLUMNS)
    store = parts(request).removals
    arrivals = await store.page(user, BATCH)
    while arrivals:
        yield b"".join(
            csv_line((*key(arrival), str(arrival.units), str(arrival.day or "")))
            for arrival in arrivals
        )
        arrivals = await store.page(user, BATCH, key(arrivals[-1]))


# Uploading --------------------------------------------------------------------------------------


async def put(request: Request) -> Response:
    """Upload the units that arrived from removal orders, as CSV or as a JSON list. A quantity of 0
    means that nothing arrived. Valid lines are stored, and each invalid one is named. A file that
    cannot be read or has no valid line changes nothing."""
    user, latest = actor(request).user, (parts(request).clock.now() + AHEAD).date()
    if "csv" in request.headers.get("content-type", ""):
        raw = await read_bytes(request)
        parsed = await anyio.to_thread.run_sync(read_arrivals, raw, latest, limiter=parsers)
    else:
        body = await read_body(request, list[ReceivedIn])
        lines = [(number, line.cells) for number, line in enumerate(body, 1)]
        parsed = await anyio.to_thread.run_sync(_parse, lines, latest, limiter=parsers)
    sent = await _sent(request, {arrival.order for arrival in parsed.values.values()})
    known = await anyio.to_thread.run_sync(match, parsed, sent, limiter=parsers)
    parsed.require_one()
    if not await parts(request).removals.store(user, known):
        raise Invalid.field("body", f"At most {MAX_ARRIVALS:,} lines can be stored.")
    errors = [
        shapes.WrongRemovalLine(line=line, order_id=order, message=fault)
        for line, order, fault in parsed.rejected[:MAX_NAMED_LINES]
    ]
    return responses.JSON(
        shapes.RemovalsTaken(accepted=parsed.accepted, rejected=len(parsed.rejected), errors=errors)
    )


async def _sent(request: Request, orders: Collection[str]) -> Sequence[SentProduct]:
    """The products of these removal orders, by the records of all connections of the user."""
    sources, store = parts(request).sources, parts(request).removals
    return [
        product
        for connection in await parts(request).connections.list(actor(request))
        for columns in sources.removals(connection.connector)
        for product in await store.sent(connection.id, columns, orders)
    ]


def match(
    parsed: ParsedArrivals, sent: Iterable[SentProduct]
) -> Sequence[tuple[RemovalArrival, str]]:
    """Each arrival with the connection that has its removal order. Rejects lines whose order does
    not exist, or has no such product or parcel."""
    by_order: defaultdict[str, list[SentProduct]] = defaultdict(list)
    for product in sent:
        by_order[product.order].append(product)
    known = []
    for name, arrival in list(parsed.values.items()):
        try:
            known.append((arrival, _connection_of(arrival, by_order.get(arrival.order, ()))))
        except ValueError as error:
            parsed.reject(name, arrival.order, str(error))
    return known


def _connection_of(arrival: RemovalArrival, sent: Sequence[SentProduct]) -> str:
    """The connection that has the removal order. Raises ValueError with a text for the user."""
    if not sent:
        raise ValueError(
            f"no removal order {arrival.order} is known: check its id, or start a sync first"
        )
    for field, column in (("sku", "SKU"), ("fnsku", "FNSKU"), ("tracking", "tracking number")):
        if named := getattr(arrival, field):
            sent = [product for product in sent if getattr(product, field) == named]
            if not sent:
                raise ValueError(f"removal order {arrival.order} has no such {column}: {named}")
    return sent[0].connection_id


def read_arrivals(raw: bytes, latest: date) -> ParsedArrivals:
    """The lines of a CSV file. Raises Invalid, which names the line, for a malformed file."""
    return _parse(rows_of(raw, COLUMNS, OPTIONAL), latest)


def _parse(lines: Iterable[Row], latest: date) -> ParsedArrivals:
    what = "quantity or date"
    return parse(lines, lambda cells: _arrival(cells, latest), MAX_ARRIVALS, what)


def _arrival(cells: Sequence[str], latest: date) -> tuple[Key, RemovalArrival]:
    """The key and the arrival of a line. Raises ValueError with a text for the user."""
    if len(cells) > len(COLUMNS):
        raise ValueError("the line has more cells than the header")
    order, sku, fnsku, tracking = (
        short_text(cell, name, LONGEST_TEXT, least=0 if name in OPTIONAL else 1)
        for cell, name in zip(cells, COLUMNS[:4], strict=False)
    )
    arrival = RemovalArrival(order, _units(cells[4]), sku, fnsku, tracking, _day(cells[5], latest))
    return key(arrival), arrival


def _units(cell: str) -> int:
    text = cell.strip()
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > MAX_UNITS:
        raise ValueError(f"quantity-received must be a whole number from 0 to {MAX_UNITS:,}")
    return int(text)


def _day(cell: str, latest: date) -> date | None:
    text = cell.strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("date must be a day like 2026-03-31")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text} is not a day of the calendar") from None
    if day > latest:
        raise ValueError(f"{text} is in the future")
    return day
