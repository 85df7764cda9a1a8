"""Unit costs from the user: uploaded as CSV or JSON, listed in pages or as a CSV file."""

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from decimal import Decimal
from typing import Annotated

import anyio
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from connectors.claims import Money
from service.api.parts import actor, parts
from service.api.uploads import LONGEST_SKU, Parsed, parse, parsers, short_text
from service.errors import Invalid
from service.store.claims import MAX_COSTS
from service.wire import responses, shapes
from service.wire.amounts import amount, unambiguous
from service.wire.csv_files import MAX_NAMED_LINES, Row, csv_line, download, rows_of
from service.wire.paging import Paged
from service.wire.reading import In, read_body, read_bytes, read_query

COLUMNS = ("sku", "cost", "currency")
#: Costs that a download reads at once.
BATCH = 1000

ParsedCosts = Parsed[str, Money]


class CostIn(In, frozen=True):
    """The cost of one unit of a product."""

    sku: str
    cost: str
    currency: str


class CostsQuery(Paged, frozen=True):
    """The page of costs to return."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


async def list_all(request: Request) -> Response:
    """List the user's unit costs, ordered by SKU. With `Accept: text/csv`, return all of them as a
    file, which `PUT` accepts unchanged."""
    user, query = actor(request).user, read_query(request, CostsQuery)
    if "text/csv" in request.headers.get("accept", ""):
        return download("costs.csv", _lines(request, user))
    page = query.page("costs")
    costs = await parts(request).recoveries.costs_page(user, page.read_limit, *page.after)
    shown, next_cursor = page.cut(costs, key=lambda cost: (cost[0],))
    return responses.JSON(
        shapes.Costs(
            costs=[
                shapes.Cost(sku=sku, cost=cost.amount, currency=cost.currency)
                for sku, cost in shown
            ],
            next_cursor=next_cursor,
        )
    )


async def put(request: Request) -> Response:
    """Upload unit costs: as CSV (sku,cost,currency), or as a JSON list. Valid lines are stored, and
    each invalid one is named. A file that cannot be read or has no valid line changes nothing.
    """
    user = actor(request).user
    if "csv" in request.headers.get("content-type", ""):
        raw = await read_bytes(request)
        parsed = await anyio.to_thread.run_sync(read_costs, raw, limiter=parsers)
    else:
        body = await read_body(request, list[CostIn])
        lines = [(n, (cost.sku, cost.cost, cost.currency)) for n, cost in enumerate(body, 1)]
        parsed = await anyio.to_thread.run_sync(_parse, lines, True, limiter=parsers)
    parsed.require_one()
    if not await parts(request).recoveries.store_costs(user, parsed.values):
        raise Invalid.field("body", f"At most {MAX_COSTS:,} costs can be stored.")
    errors = [
        shapes.WrongLine(line=line, sku=sku, message=fault)
        for line, sku, fault in parsed.rejected[:MAX_NAMED_LINES]
    ]
    return responses.JSON(
        shapes.CostsTaken(accepted=parsed.accepted, rejected=len(parsed.rejected), errors=errors)
    )


def read_costs(raw: bytes) -> ParsedCosts:
    """The costs in a CSV file. Raises Invalid, which names the line, for a malformed file."""
    return _parse(rows_of(raw, COLUMNS), False)


def _parse(lines: Iterable[Row], point: bool) -> ParsedCosts:
    """Parse lines of cells; for `point` see `amount`. Raises Invalid for too many lines."""
    return parse(lines, lambda cells: _cost(cells, point), MAX_COSTS, "cost", _same)


def _cost(cells: Sequence[str], point: bool) -> tuple[str, Money]:
    """The SKU and the cost of a line. Raises ValueError with a text for the user."""
    if len(cells) > len(COLUMNS):
        raise ValueError(
            "the line has more cells than the header: an amount with a comma needs quotes"
        )
    sku = short_text(cells[0], "sku", LONGEST_SKU)
    cost, currency = (cell.strip() for cell in cells[1:])
    if not re.fullmatch(r"[A-Za-z]{3}", currency):
        raise ValueError(f"{currency[:20]!r} is not a currency code like USD")
    return sku, Money(amount(cost, currency.upper(), point), currency.upper())


def _same(one: Money, other: Money) -> bool:
    return one.currency == other.currency and Decimal(one.amount) == Decimal(other.amount)


async def _lines(request: Request, user: str) -> AsyncIterator[bytes]:
    """The header and every cost as a line, read in batches."""
    yield csv_line(COLUMNS)
    store, after = parts(request).recoveries, ""
    while costs := await store.costs_page(user, BATCH, after):
        yield b"".join(
            csv_line((sku, unambiguous(cost.amount), cost.currency)) for sku, cost in costs
        )
        after = costs[-1][0]
