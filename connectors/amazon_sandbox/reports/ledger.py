"""The ledger in detail: every movement of goods, in the layout of the seller's day."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter

from connectors.amazon_sandbox.generator.book import Movement
from connectors.amazon_sandbox.reports.scope import Cells, Scope, american, quoted

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

_LATER = 4  # columns that older files do not have


def header(scope: Scope) -> Cells:
    cells = HEADER if scope.seller.modern else HEADER[:-_LATER]
    return next(quoted(iter([cells]))) if _is_quoted(scope) else cells


def rows(scope: Scope) -> Iterator[Cells]:
    plain = _plain(scope)
    return quoted(plain) if _is_quoted(scope) else plain


def count(scope: Scope) -> int:
    found = _found(scope)
    shipped = sum(1 for each in found if each.event == "Shipments")
    return len(found) + shipped * (scope.copies - 1)


def _is_quoted(scope: Scope) -> bool:
    return scope.seller.identity.seed % 4 != 2


def _found(scope: Scope) -> Sequence[Movement]:
    """Without a start at the place where it counts, there is nothing: only the header."""
    if scope.start is None:
        return ()
    at = attrgetter("at")
    every = scope.seller.ledger
    # A row has a date only: it is found if its day has begun.
    first = bisect_left(every, scope.start - scope.start % 86_400, key=at)
    return every[first : bisect_right(every, scope.end, key=at)]


def _plain(scope: Scope) -> Iterator[Cells]:
    for movement in _found(scope):
        yield _row(scope, movement, movement.reference)
        if movement.event == "Shipments":
            for copy in range(1, scope.copies):
                yield _row(scope, movement, f"{movement.reference}{copy:06d}")


def _row(scope: Scope, movement: Movement, reference: str) -> Cells:
    product, date = movement.product, american(movement.at)
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
    return (*cells, *_later(scope, movement, date)) if scope.seller.modern else cells


def _later(scope: Scope, movement: Movement, date: str) -> Cells:
    reconciled = unreconciled = ""
    if movement.unsettled is not None:
        sign = -1 if movement.quantity < 0 else 1
        reconciled = str(movement.quantity - sign * movement.unsettled)
        unreconciled = str(sign * movement.unsettled)
    elif movement.event != "Adjustments":
        reconciled, unreconciled = str(movement.quantity), "0"
    month, day, year = date.split("/")
    offset = "+0000" if scope.seller.home.european else "-0700"
    at = f"{year}-{month}-{day}T00:00:00{offset}"
    return reconciled, unreconciled, at, scope.seller.home.country
