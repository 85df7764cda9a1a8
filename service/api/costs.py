"""What units cost, as the user says: given as a file or as JSON, listed in pages or as a file."""

import re
from collections.abc import AsyncIterator, Iterable
from decimal import Decimal
from typing import Annotated

import anyio
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from connectors.base import Money
from service.api.parts import actor, parts
from service.errors import Invalid
from service.store.claims import MOST_COSTS
from service.wire import responses, shapes
from service.wire.amounts import amount
from service.wire.reading import In, Paged, cursor, read_body, read_bytes, read_cursor, read_query
from service.wire.tables import MOST_NAMED, csv_line, download, none_taken, rows_of

COLUMNS = ("sku", "cost", "currency")
LONGEST_SKU = 200
AT_ONCE = 1000
READING_AT_ONCE = 2
"""Files that are read at once: it is work for the processor, half a second a megabyte."""

_readers = anyio.CapacityLimiter(READING_AT_ONCE)
Line = tuple[int, "tuple[str, ...]"]


class CostIn(In, frozen=True):
    """What a unit costs."""

    sku: str
    cost: str
    currency: str


class CostsQuery(Paged, frozen=True):
    """Which page."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Costs(msgspec.Struct):
    """What was read of a file: the costs, how many lines were right, and which were not."""

    costs: dict[str, Money]
    accepted: int
    wrong: list[tuple[int, str, str]]


async def list_all(request: Request) -> Response:
    """What units cost, as the user gave it, in the order of the SKUs; with `Accept: text/csv` all
    of it as a file, which `PUT` takes as it is."""
    user, given = actor(request).user, read_query(request, CostsQuery)
    if "text/csv" in request.headers.get("accept", ""):
        return download("costs.csv", _lines(request, user))
    after = read_cursor(given.cursor, "costs", 1)
    found = await parts(request).recoveries.costs_page(
        user, given.limit + 1, after[0] if after else ""
    )
    page, more = found[: given.limit], len(found) > given.limit
    return responses.JSON(
        shapes.Costs(
            costs=[shapes.Cost(sku=k, cost=v.amount, currency=v.currency) for k, v in page],
            next_cursor=cursor("costs", page[-1][0]) if more else None,
        )
    )


async def put(request: Request) -> Response:
    """Say what units cost: as CSV (sku,cost,currency), or as a JSON list. Lines that are right
    count, each wrong one is named. A file that cannot be read, or of which no line is right,
    changes nothing."""
    user = actor(request).user
    if "csv" in request.headers.get("content-type", ""):
        raw = await read_bytes(request)
        read = await anyio.to_thread.run_sync(read_costs, raw, limiter=_readers)
    else:
        body = await read_body(request, list[CostIn])
        lines = [(n, (each.sku, each.cost, each.currency)) for n, each in enumerate(body, 1)]
        read = await anyio.to_thread.run_sync(_read, lines, True, limiter=_readers)
    if read.wrong and not read.accepted:
        raise none_taken([(line, message) for line, _, message in read.wrong])
    if not await parts(request).recoveries.keep_costs(user, read.costs):
        raise Invalid.field("body", f"You may keep at most {MOST_COSTS:,} costs.")
    named = [
        shapes.WrongLine(line=line, sku=sku, message=message)
        for line, sku, message in read.wrong[:MOST_NAMED]
    ]
    return responses.JSON(
        shapes.CostsTaken(accepted=read.accepted, rejected=len(read.wrong), errors=named)
    )


def read_costs(raw: bytes) -> Costs:
    """The costs in a CSV file. Raises Invalid naming the line if it cannot be read."""
    return _read(((line, tuple(cells)) for line, cells in rows_of(raw, COLUMNS)), False)


def _read(lines: Iterable[Line], point: bool) -> Costs:
    """`point`: see `amount`. Raises Invalid for more lines than there may be costs."""
    read, seen, beyond, first = Costs({}, 0, []), dict[str, int](), 0, 0
    for count, (line, cells) in enumerate(lines):
        if count >= MOST_COSTS:
            beyond, first = beyond + 1, first or line
            continue
        try:
            sku, cost = _cost(cells, point)
            if _differs(read.costs.get(sku), cost):
                raise ValueError(f"{sku} is on line {seen[sku]} too, at another cost")
            read.costs.setdefault(sku, cost)
            seen.setdefault(sku, line)
            read.accepted += 1
        except ValueError as error:
            read.wrong.append((line, cells[0][:LONGEST_SKU], str(error)))
    if beyond:
        text = f"{beyond:,} lines from line {first} on are more than {MOST_COSTS:,} costs."
        where = {"field": f"line {first}", "message": text}
        raise Invalid(f"{text} Nothing was changed.", errors=[where])
    return read


def _cost(cells: tuple[str, ...], point: bool) -> tuple[str, Money]:
    """Raises ValueError saying what is wrong."""
    if len(cells) > len(COLUMNS):
        raise ValueError(
            "there are more cells than the first line names: an amount with a comma needs quotes"
        )
    sku, cost, currency = (cell.strip() for cell in cells)
    if not 0 < len(sku) <= LONGEST_SKU:
        raise ValueError(f"sku must have 1 to {LONGEST_SKU} characters")
    if re.search(r"[\x00-\x1f\x7f-\x9f]", sku):
        raise ValueError("sku must have no control characters")
    if not re.fullmatch(r"[A-Za-z]{3}", currency):
        raise ValueError(f"{currency[:20]!r} is not a currency code like USD")
    return sku, Money(amount(cost, currency.upper(), point), currency.upper())


def _differs(known: Money | None, cost: Money) -> bool:
    if known is None:
        return False
    return known.currency != cost.currency or Decimal(known.amount) != Decimal(cost.amount)


async def _lines(request: Request, user: str) -> AsyncIterator[bytes]:
    """The header and every cost as a line, read page by page."""
    yield csv_line(COLUMNS)
    store, after = parts(request).recoveries, ""
    while found := await store.costs_page(user, AT_ONCE, after):
        yield b"".join(csv_line((sku, _exact(cost), cost.currency)) for sku, cost in found)
        after = found[-1][0]


def _exact(cost: Money) -> str:
    """Three decimals may be taken for thousands; four cannot."""
    return f"{cost.amount}0" if re.fullmatch(r"\d+\.\d{3}", cost.amount) else cost.amount
