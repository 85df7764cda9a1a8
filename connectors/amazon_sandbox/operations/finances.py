"""Finances 2024-06-19: listing transactions."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from operator import attrgetter

from connectors.amazon_sandbox.generator.postings import Posting
from connectors.amazon_sandbox.generator.times import DAY
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.operation import ApiOperation
from connectors.amazon_sandbox.operations.paging import Paging, page_of
from connectors.amazon_sandbox.operations.query import Query
from connectors.amazon_sandbox.operations.transaction import (
    event_group,
    marketplace_of,
    transaction,
)
from connectors.amazon_sandbox.responses import invalid
from connectors.amazon_sandbox.roles import FINANCE

_PAGE = 100
_DELAY = 120  # the newest posting that can be requested is two minutes old
_MAX_WINDOW = 180 * DAY

_STATUSES = ("DEFERRED", "RELEASED", "DEFERRED_RELEASED")
_RELATED = ("ORDER_ID", "FINANCIAL_EVENT_GROUP_ID")


def list_transactions(call: Call) -> object:
    # Every fifth page is empty although more pages follow, as happens with Amazon.
    size = 0 if call.cursor.page % 5 == 2 else _PAGE
    page, next_position = page_of(
        _rows(call), call.cursor.position, size, _filter(call.query, call.seller.marketplaces)
    )
    payload: dict[str, object] = {"transactions": [transaction(call.seller, p) for p in page]}
    token = call.token(next_position)
    return {"payload": {**payload, "nextToken": token} if token else payload}


def _rows(call: Call) -> Sequence[Posting]:
    after, before = _window(call.query, call.cursor.as_of)
    if before - after > _MAX_WINDOW and call.query.text("postedAfter"):
        return ()
    posted = attrgetter("posted")
    rows = call.seller.postings
    return rows[bisect_left(rows, after, key=posted) : bisect_left(rows, before, key=posted)]


def _window(query: Query, now: float) -> tuple[float, float]:
    latest = now - _DELAY
    after, before = query.moment("postedAfter"), query.moment("postedBefore")
    if after is None and not query.text("relatedIdentifierName"):
        raise invalid("Missing required parameter [postedAfter]")
    for name, moment in (("postedAfter", after), ("postedBefore", before)):
        if moment is not None and moment > latest:
            raise invalid(f"Invalid value [{name}]: it must be at least two minutes before now")
    if after is not None and before is not None and after >= before:
        raise invalid("Invalid value [postedBefore]: it must be later than postedAfter")
    return (after or 0.0, latest if before is None else before)


def _filter(query: Query, among: Collection[str]) -> Callable[[Posting], bool]:
    status = query.text("transactionStatus", among=_STATUSES)
    marketplace = query.text("marketplaceId", among=among)
    related = _related(query)
    return lambda posting: (
        (status is None or posting.status == status)
        and (marketplace is None or _is_in(posting, marketplace))
        and related(posting)
    )


def _is_in(posting: Posting, marketplace: str) -> bool:
    """Whether a marketplace filter includes the posting. It leaves out US orders that the merchant
    shipped."""
    merchants = posting.sale is not None and not posting.sale.by_amazon
    return marketplace_of(posting).id == marketplace and not (
        merchants and marketplace_of(posting).country == "US"
    )


def _related(query: Query) -> Callable[[Posting], bool]:
    name = query.text("relatedIdentifierName", among=_RELATED)
    if name is None:
        return lambda posting: True
    value = query.required("relatedIdentifierValue")
    if name == "ORDER_ID":
        return lambda posting: posting.sale is not None and posting.sale.id == value
    return lambda posting: event_group(posting) == value


_PAGING = Paging("nextToken", lifetime=5 * 60)
OPERATIONS = (
    ApiOperation(
        "listTransactions",
        "GET",
        "/finances/2024-06-19/transactions",
        0.5,
        10,
        list_transactions,
        _PAGING,
        role=FINANCE,
    ),
)
