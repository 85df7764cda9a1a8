"""Orders 2026-01-01: search orders, and get one."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Sequence
from operator import attrgetter

import msgspec

from connectors.amazon_sandbox.generator.sales import Sale
from connectors.amazon_sandbox.generator.seller import Seller
from connectors.amazon_sandbox.generator.times import timestamp
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.operation import ApiOperation
from connectors.amazon_sandbox.operations.order import DATASETS, order
from connectors.amazon_sandbox.operations.paging import Paging, page_of
from connectors.amazon_sandbox.operations.query import Query
from connectors.amazon_sandbox.responses import ApiError, invalid
from connectors.amazon_sandbox.roles import TRACKING

_DELAY = 120  # the newest order that can be requested is two minutes old

_STATUSES = (
    "PENDING_AVAILABILITY",
    "PENDING",
    "UNSHIPPED",
    "PARTIALLY_SHIPPED",
    "SHIPPED",
    "CANCELLED",
    "UNFULFILLABLE",
)


class _Window(msgspec.Struct, frozen=True):
    """The window of a search, both ends included."""

    #: created or updated.
    field: str
    after: float
    before: float

    def rows(self, seller: Seller) -> Sequence[Sale]:
        sales = seller.sales if self.field == "created" else seller.updates
        moment = attrgetter(self.field)
        first = bisect_left(sales, self.after, key=moment)
        return sales[first : bisect_right(sales, self.before, key=moment)]


def search_orders(call: Call) -> object:
    window = _window(call.query, call.cursor.as_of)
    size = call.query.number("maxResultsPerPage", minimum=1, maximum=100, default=100)
    included = _included(call.query)
    rows, shown = window.rows(call.seller), _filter(call.query, call.seller.marketplaces)
    page, next_position = page_of(rows, call.cursor.position, size, shown)
    if call.hidden_page:  # the next page takes its place, and nothing shows that one is missing
        following = len(rows) if next_position is None else next_position
        page, next_position = page_of(rows, following, size, shown)
    body: dict[str, object] = {
        "orders": [order(call.seller, sale, included) for sale in page],
        "createdBefore" if window.field == "created" else "lastUpdatedBefore": timestamp(
            window.before
        ),
    }
    token = call.token(next_position)
    return {**body, "pagination": {"nextToken": token}} if token else body


def get_order(call: Call) -> object:
    included = _included(call.query)
    sale = call.seller.by_id.get(call.path["orderId"])
    if sale is None:
        raise ApiError(404, "NotFound", "Order not found.")
    return {"order": order(call.seller, sale, included)}


def _included(query: Query) -> frozenset[str]:
    return frozenset(query.many("includedData", among=DATASETS))


def _window(query: Query, now: float) -> _Window:
    created, updated = query.moment("createdAfter"), query.moment("lastUpdatedAfter")
    if created is not None and updated is None:
        return _bounded(query, "created", created, "createdBefore", "lastUpdatedBefore", now)
    if updated is not None and created is None:
        return _bounded(query, "updated", updated, "lastUpdatedBefore", "createdBefore", now)
    raise invalid("Exactly one of createdAfter and lastUpdatedAfter is required")


def _bounded(
    query: Query, field: str, after: float, name: str, other_name: str, now: float
) -> _Window:
    if query.text(other_name):
        raise invalid(f"[{other_name}] cannot be combined with this search: use {name}")
    latest = now - _DELAY
    before = query.moment(name)
    if before is not None and before > latest:
        raise invalid(f"Invalid value [{name}]: it must be at least two minutes before now")
    window = _Window(field, after, latest if before is None else before)
    if window.after > window.before:
        raise invalid(f"Invalid value [{name}]: the window ends before it starts")
    return window


def _filter(query: Query, among: Collection[str]) -> Callable[[Sale], bool]:
    statuses = set(query.many("fulfillmentStatuses", among=_STATUSES))
    marketplaces = set(query.many("marketplaceIds", maximum=50, among=among))
    channels = set(query.many("fulfilledBy", among=("AMAZON", "MERCHANT")))
    return lambda sale: (
        (not statuses or sale.status in statuses)
        and (not marketplaces or sale.marketplace in marketplaces)
        and (not channels or ("AMAZON" if sale.by_amazon else "MERCHANT") in channels)
    )


_PAGING = Paging(
    "paginationToken", lifetime=24 * 3_600, changeable=frozenset({"maxResultsPerPage"})
)
OPERATIONS = (
    ApiOperation(
        "searchOrders",
        "GET",
        "/orders/2026-01-01/orders",
        0.0056,
        20,
        search_orders,
        _PAGING,
        role=TRACKING,
    ),
    ApiOperation(
        "getOrder", "GET", "/orders/2026-01-01/orders/{orderId}", 0.5, 30, get_order, role=TRACKING
    ),
)
