"""The detailed ledger: every movement of goods, in an older or a newer layout."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter

from connectors.amazon_sandbox.generator.journal import Movement
from connectors.amazon_sandbox.reports.scope import Cells, Scope, quoted, us_date

HEADER = (
    "Date",
    "FNSKU",
    "ASIN",
    "MSKU",
    "Title",
    "Event Type",
    "Reference ID",
    "Quantity",
    "Fulfillment Center",
    "Disposition",
    "Reason",
    "Country",
    "Reconciled Quantity",
    "Unreconciled Quantity",
    "Date and Time",
    "Store",
)

_OFFSETS = {"NA": "-0700", "EU": "+0000", "FE": "+0900"}
_NEW_COLUMNS = 4  # missing in the older layout


def header(scope: Scope) -> Cells:
    cells = HEADER if scope.seller.modern else HEADER[:-_NEW_COLUMNS]
    return next(quoted(iter([cells]))) if _is_quoted(scope) else cells


def rows(scope: Scope) -> Iterator[Cells]:
    unquoted = _unquoted(scope)
    return quoted(unquoted) if _is_quoted(scope) else unquoted


def count(scope: Scope) -> int:
    movements = _movements(scope)
    shipped = sum(1 for movement in movements if movement.event == "Shipments")
    return len(movements) + shipped * (scope.copies - 1)


def _is_quoted(scope: Scope) -> bool:
    return scope.seller.identity.seed % 4 != 2


def _movements(scope: Scope) -> Sequence[Movement]:
    """The movements in the window; none if `dataStartTime` is missing at the top level."""
    if scope.start is None:
        return ()
    at = attrgetter("at")
    ledger = scope.seller.ledger
    # A row carries a date only, so the window includes the whole first day.
    first = bisect_left(ledger, scope.start - scope.start % 86_400, key=at)
    return ledger[first : bisect_right(ledger, scope.end, key=at)]


def _unquoted(scope: Scope) -> Iterator[Cells]:
    for movement in _movements(scope):
        yield _row(scope, movement, movement.reference)
        if movement.event == "Shipments":
            for copy in range(1, scope.copies):
                yield _row(scope, movement, f"{movement.reference}{copy:06d}")


def _row(scope: Scope, movement: Movement, reference: str) -> Cells:
    product, date = movement.product, us_date(movement.at)
    cells = (
        date,
        product.fn_sku,
        product.asin,
        product.sku,
        product.title,
        movement.event,
        reference,
        str(movement.quantity),
        movement.center,
        movement.disposition,
        movement.reason,
        scope.seller.home.country,
    )
    return (*cells, *_new_cells(scope, movement, date)) if scope.seller.modern else cells


def _new_cells(scope: Scope, movement: Movement, date: str) -> Cells:
    reconciled = unreconciled = ""
    if movement.unreconciled is not None:
        sign = -1 if movement.quantity < 0 else 1
        reconciled = str(movement.quantity - sign * movement.unreconciled)
        unreconciled = str(sign * movement.unreconciled)
    elif movement.event != "Adjustments":
        reconciled, unreconciled = str(movement.quantity), "0"
    month, day, year = date.split("/")
    offset = _OFFSETS[scope.seller.home.region]
    at = f"{year}-{month}-{day}T00:00:00{offset}"
    return reconciled, unreconciled, at, scope.seller.home.country
