"""Dimensions from the user: uploaded as CSV or JSON, listed in pages or as a CSV file."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated

import anyio
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from connectors.claims import Dimensions
from service.api.parts import actor, parts
from service.api.uploads import LONGEST_SKU, Parsed, parse, parsers, short_text
from service.errors import Invalid
from service.store.dimensions import MAX_DIMENSIONS
from service.wire import responses, shapes
from service.wire.amounts import measure, unambiguous
from service.wire.csv_files import MAX_NAMED_LINES, Row, csv_line, download, rows_of
from service.wire.dimension_shapes import DimensionsPage, DimensionsTaken, ProductDimensions
from service.wire.paging import Paged
from service.wire.reading import In, read_body, read_bytes, read_query

COLUMNS = ("sku", "length", "width", "height", "length_unit", "weight", "weight_unit")
UNITS = ("length_unit", "weight_unit")
#: Dimensions that a download reads at once.
BATCH = 1000

ParsedDimensions = Parsed[str, Dimensions]

_LENGTH_UNITS: Mapping[str, str] = {
    **dict.fromkeys(("cm", "centimetre", "centimetres", "centimeter", "centimeters"), "cm"),
    **dict.fromkeys(("in", "inch", "inches", '"'), "in"),
}
_WEIGHT_UNITS: Mapping[str, str] = {
    **dict.fromkeys(("g", "gram", "grams"), "g"),
    **dict.fromkeys(("kg", "kilogram", "kilograms"), "kg"),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), "lb"),
    **dict.fromkeys(("oz", "ounce", "ounces"), "oz"),
}


class DimensionsIn(In, frozen=True):
    """The size and the weight of a packed unit of a product. Every field is required, but a missing
    unit rejects only its own line."""

    sku: str
    length: str
    width: str
    height: str
    weight: str
    #: The unit of length, width and height: cm or in.
    length_unit: str = ""
    #: g, kg, lb or oz.
    weight_unit: str = ""


class DimensionsQuery(Paged, frozen=True):
    """The page of dimensions to return."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


async def list_all(request: Request) -> Response:
    """List the dimensions of the user's products, ordered by SKU. With `Accept: text/csv`, return
    all of them as a file, which `PUT` accepts unchanged."""
    user, query = actor(request).user, read_query(request, DimensionsQuery)
    if "text/csv" in request.headers.get("accept", ""):
        return download("dimensions.csv", _lines(request, user))
    page = query.page("dimensions")
    stored = await parts(request).dimensions.page(user, page.read_limit, *page.after)
    shown, next_cursor = page.cut(stored, key=lambda row: (row[0],))
    return responses.JSON(
        DimensionsPage(
            dimensions=[
                ProductDimensions(sku=sku, **msgspec.structs.asdict(one)) for sku, one in shown
            ],
            next_cursor=next_cursor,
        )
    )


async def put(request: Request) -> Response:
    """Upload dimensions and weights of packed units: as CSV
    (sku,length,width,height,length_unit,weight,weight_unit), or as a JSON list. Units are cm or in,
    and g, kg, lb or oz. Valid lines are stored, and each invalid one is named. A file that cannot
    be read or has no valid line changes nothing."""
    user = actor(request).user
    if "csv" in request.headers.get("content-type", ""):
        raw = await read_bytes(request)
        parsed = await anyio.to_thread.run_sync(read_dimensions, raw, limiter=parsers)
    else:
        body = await read_body(request, list[DimensionsIn])
        lines = [(n, [getattr(one, name) for name in COLUMNS]) for n, one in enumerate(body, 1)]
        parsed = await anyio.to_thread.run_sync(_parse, lines, True, limiter=parsers)
    parsed.require_one()
    if not await parts(request).dimensions.store(user, parsed.values):
        raise Invalid.field("body", f"At most {MAX_DIMENSIONS:,} dimensions can be stored.")
    errors = [
        shapes.WrongLine(line=line, sku=sku, message=fault)
        for line, sku, fault in parsed.rejected[:MAX_NAMED_LINES]
    ]
    return responses.JSON(
        DimensionsTaken(accepted=parsed.accepted, rejected=len(parsed.rejected), errors=errors)
    )


def read_dimensions(raw: bytes) -> ParsedDimensions:
    """The dimensions in a CSV file. Raises Invalid, which names the line, for a malformed file."""
    return _parse(rows_of(raw, COLUMNS, optional=UNITS), False)


def _parse(lines: Iterable[Row], point: bool) -> ParsedDimensions:
    """Parse lines of cells; for `point` see `measure`. Raises Invalid for too many lines."""

    def read(cells: Sequence[str]) -> tuple[str, Dimensions]:
        return short_text(cells[0], "sku", LONGEST_SKU), _dimensions(cells, point)

    return parse(lines, read, MAX_DIMENSIONS, "size or weight", _same)


def _dimensions(cells: Sequence[str], point: bool) -> Dimensions:
    """The dimensions of a line. Raises ValueError with a text for the user."""
    if len(cells) > len(COLUMNS):
        raise ValueError(
            "the line has more cells than the header: a number with a comma needs quotes"
        )
    _, length, width, height, length_unit, weight, weight_unit = cells
    return Dimensions(
        length=_measure("length", length, point),
        width=_measure("width", width, point),
        height=_measure("height", height, point),
        length_unit=_unit(length_unit, _LENGTH_UNITS, "length, width and height", "cm or in"),
        weight=_measure("weight", weight, point),
        weight_unit=_unit(weight_unit, _WEIGHT_UNITS, "weight", "g, kg, lb or oz"),
    )


def _measure(name: str, cell: str, point: bool) -> str:
    try:
        return measure(cell, point)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _unit(cell: str, units: Mapping[str, str], what: str, choices: str) -> str:
    unit = cell.strip().lower()
    if not unit:
        raise ValueError(f"the unit of {what} is missing: write {choices}")
    if unit not in units:
        raise ValueError(f"{cell.strip()[:20]!r} is not a unit of {what}: write {choices}")
    return units[unit]


def _same(one: Dimensions, other: Dimensions) -> bool:
    """Whether numbers and units are equal; 2.50 equals 2.5."""

    def values(dimensions: Dimensions) -> Sequence[object]:
        sides = (dimensions.length, dimensions.width, dimensions.height, dimensions.weight)
        return (*map(Decimal, sides), dimensions.length_unit, dimensions.weight_unit)

    return values(one) == values(other)


async def _lines(request: Request, user: str) -> AsyncIterator[bytes]:
    """The header and the dimensions of every product as a line, read in batches."""
    yield csv_line(COLUMNS)
    store, after = parts(request).dimensions, ""
    while rows := await store.page(user, BATCH, after):
        yield b"".join(csv_line((sku, *_cells(one))) for sku, one in rows)
        after = rows[-1][0]


def _cells(dimensions: Dimensions) -> Iterable[str]:
    return (unambiguous(getattr(dimensions, name)) for name in COLUMNS[1:])
