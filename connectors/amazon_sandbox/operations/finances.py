"""Finances 2024-06-19: listing transactions."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from operator import attrgetter

from connectors.amazon_sandbox.answers import invalid
from connectors.amazon_sandbox.generator.draw import DAY
from connectors.amazon_sandbox.generator.postings import Posting
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.paging import take
from connectors.amazon_sandbox.operations.query import Query
from connectors.amazon_sandbox.operations.transaction import event_group, place, transaction

_PAGE = 100
_SETTLED = 120
_LONGEST = 180 * DAY

_STATUSES = ("DEFERRED", "RELEASED", "DEFERRED_RELEASED")
_RELATED = ("ORDER_ID", "FINANCIAL_EVENT_GROUP_ID")


def list_transactions(call: Call) -> object:
    # Every fifth page is empty although more will follow, as happens with Amazon.
    size = 0 if call.cursor.page % 5 == 2 else _PAGE
    found, following = take(
        _rows(call), call.cursor.position, size, _filter(call.query, call.seller.marketplaces)
    )
    payload: dict[str, object] = {"transactions": [transaction(call.seller, p) for p in found]}
    token = call.token(following)
    return {"payload": {**payload, "nextToken": token} if token else payload}


def _rows(call: Call) -> Sequence[Posting]:
    after, before = _window(call.query, call.cursor.asked)
    if before - after > _LONGEST and call.query.text("postedAfter"):
        return ()
    posted = attrgetter("posted")
    rows = call.seller.postings
    return rows[bisect_left(rows, after, key=posted) : bisect_left(rows, before, key=posted)]


def _window(query: Query, now: float) -> tuple[float, float]:
    latest = now - _SETTLED
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
    """With a marketplace given, what a merchant in the US shipped himself is left out."""
    merchants = posting.sale is not None and not posting.sale.by_amazon
    return place(posting).id == marketplace and not (merchants and place(posting).country == "US")


def _related(query: Query) -> Callable[[Posting], bool]:
    name = query.text("relatedIdentifierName", among=_RELATED)
    if name is None:
        return lambda posting: True
    value = query.required("relatedIdentifierValue")
    if name == "ORDER_ID":
        return lambda posting: posting.sale is not None and posting.sale.id == value
    return lambda posting: event_group(posting) == value
