"""What was found: claims with their evidence, totals, a download; and the costs that value them."""

import csv
import io
import re
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from connectors.base import Money
from service.api import shapes, wire
from service.api.parts import actor, parts
from service.api.reading import In, Paged, cursor, read_body, read_cursor, read_query, read_text
from service.errors import Invalid, NotFound
from service.store.recoveries import Recovery

COLUMNS = (
    *("id", "rule", "title", "status", "units", "amount", "currency", "opens", "closes"),
    *("confidence", "valuation"),
)
MOST_LINES = 100_000
MOST_NAMED = 1000
AT_ONCE = 500


class RecoveriesQuery(Paged, frozen=True):
    """Which claims."""

    status: Literal["", "waiting", "claimable", "expired", "reimbursed"] = ""
    rule: str = ""
    connection_id: str = ""

    def filters(self) -> dict[str, str]:
        given = {"status": self.status, "rule": self.rule, "connection_id": self.connection_id}
        return {name: text for name, text in given.items() if text}


class CostIn(In, frozen=True):
    """What a unit costs."""

    sku: str
    cost: str
    currency: str


async def list_all(request: Request) -> Response:
    """Claims and their totals; with `Accept: text/csv` all of them, as a file."""
    who = actor(request)
    given = read_query(request, RecoveriesQuery)
    filters = given.filters()
    store, today = parts(request).recoveries, parts(request).clock.now().date()
    if "text/csv" in request.headers.get("accept", ""):
        return _download(_lines(request, who.user, filters))
    after = read_cursor(given.cursor, "recoveries", 1)
    found = await store.page(who.user, filters, today, given.limit + 1, after[0] if after else "")
    page, more = found[: given.limit], len(found) > given.limit
    totals = await store.totals(who.user, filters, today)
    return wire.JSON(
        shapes.Recoveries(
            recoveries=[wire.recovery(each) for each in page],
            totals=[wire.total(row) for row in totals],
            next_cursor=cursor("recoveries", page[-1].id) if more else None,
        )
    )


async def one(request: Request) -> Response:
    """One claim with its evidence, the records that prove it."""
    who, wanted = actor(request), request.path_params["claim_id"]
    today = parts(request).clock.now().date()
    found = await parts(request).recoveries.one(who.user, wanted, today)
    if found is None:
        raise NotFound(f"You have no claim {wanted}. GET /api/recoveries lists them.")
    evidence = {
        dataset: [
            wire.record(row)
            for row in await parts(request).records.some(found.connection_id, dataset, ids)
        ]
        for dataset, ids in found.claim.evidence.items()
    }
    told = msgspec.structs.asdict(wire.recovery(found))
    return wire.JSON(shapes.ProvenRecovery(**told, evidence=evidence))


async def costs(request: Request) -> Response:
    """What units cost, as the user gave it."""
    found = await parts(request).recoveries.costs(actor(request).user)
    rows = [shapes.Cost(sku=k, cost=v.amount, currency=v.currency) for k, v in found.items()]
    return wire.JSON(shapes.Costs(costs=rows))


async def put_costs(request: Request) -> Response:
    """Say what units cost: as CSV (sku,cost,currency), or as a JSON list. Lines that are right
    count, each wrong one is named."""
    who = actor(request)
    if "csv" in request.headers.get("content-type", ""):
        lines = _csv_lines(await read_text(request))
    else:
        body = await read_body(request, list[CostIn])
        lines = [(n, each.sku, each.cost, each.currency) for n, each in enumerate(body, 1)]
    good: dict[str, Money] = {}
    bad: list[shapes.WrongLine] = []
    for number, sku, cost, currency in lines[:MOST_LINES]:
        try:
            good[_sku(sku)] = _money(cost, currency)
        except ValueError as error:
            bad.append(shapes.WrongLine(line=number, sku=sku, message=str(error)))
    await parts(request).recoveries.keep_costs(who.user, good)
    named = bad[:MOST_NAMED]
    return wire.JSON(shapes.CostsTaken(accepted=len(good), rejected=len(bad), errors=named))


async def _lines(request: Request, user: str, filters: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Every claim as a line, read page by page: a download of any size."""
    yield _csv(COLUMNS)
    store, today, after = parts(request).recoveries, parts(request).clock.now().date(), ""
    while found := await store.page(user, filters, today, AT_ONCE, after):
        yield b"".join(_csv(_cells(each)) for each in found)
        after = found[-1].id


def _cells(found: Recovery) -> tuple[str, ...]:
    told = wire.recovery(found)
    cells = (getattr(told, name) for name in COLUMNS)
    return tuple("" if each is None else str(each) for each in cells)


def _csv(cells: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    # A leading = + - @ would be run as a formula by a spreadsheet.
    safe = (f"'{cell}" if re.match(r"[=+@\t\r]|-(?!\d)", cell) else cell for cell in cells)
    csv.writer(text).writerow(safe)
    return text.getvalue().encode()


def _download(lines: AsyncIterator[bytes]) -> Response:
    headers = {"Content-Disposition": 'attachment; filename="recoveries.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def _csv_lines(text: str) -> list[tuple[int, str, str, str]]:
    """The lines after the header. Raises Invalid if that is not sku, cost, currency."""
    header = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=max("\t;,", key=header.count))
    names = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    if not {"sku", "cost", "currency"} <= set(names):
        raise Invalid.field("body", "The first line must be: sku,cost,currency.")
    sku, cost, currency = (names[name] for name in ("sku", "cost", "currency"))
    return [
        (rows.line_num, row.get(sku) or "", row.get(cost) or "", row.get(currency) or "")
        for row in rows
    ]


def _sku(text: str) -> str:
    if not 0 < len(text.strip()) <= 200:
        raise ValueError("sku must have 1 to 200 characters")
    return text.strip()


def _money(cost: str, currency: str) -> Money:
    try:
        amount = Decimal(cost.strip().replace(",", "."))
    except InvalidOperation:
        raise ValueError(f"{cost!r} is not an amount") from None
    if not (amount.is_finite() and 0 <= amount < 10**9):
        raise ValueError(f"{cost!r} is not an amount from 0 to 999,999,999")
    if not re.fullmatch(r"[A-Za-z]{3}", currency.strip()):
        raise ValueError(f"{currency!r} is not a currency code like USD")
    return Money(f"{amount:f}", currency.strip().upper())
