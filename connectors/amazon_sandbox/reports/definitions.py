"""The table of report types: their rows, window limits, and how often they can be requested."""

from collections.abc import Callable, Iterator

import msgspec

from connectors.amazon_sandbox.generator.times import DAY, HOUR
from connectors.amazon_sandbox.reports import (
    fees,
    goods,
    ledger,
    orders,
    parcels,
    replacements,
    storage,
)
from connectors.amazon_sandbox.reports.scope import Cells, Scope, count
from connectors.amazon_sandbox.roles import FULFILLMENT, TRACKING, Role

_DAILY = 4 * HOUR
_NEAR_REAL_TIME = HOUR / 2


class ReportDefinition(msgspec.Struct, frozen=True):
    """One report type. Only reports of orders filter by marketplace; all others cover the account.

    All times are in seconds.
    """

    header: Callable[[Scope], Cells]
    rows: Callable[[Scope], Iterator[Cells]]
    count: Callable[[Scope], int]
    #: The shortest time between two requests of an account.
    interval: float = 0.0
    #: The limits of the window's length.
    longest: float | None = None
    shortest: float = 0.0
    #: How long ago the window may start.
    oldest: float | None = None
    role: Role = FULFILLMENT
    #: Whether a report of a window without rows ends as CANCELLED.
    cancelled_without_rows: bool = False


def _events(header: Cells, rows: Callable[[Scope], Iterator[Cells]]) -> ReportDefinition:
    definition = _fixed(header, rows, _DAILY)
    return msgspec.structs.replace(definition, cancelled_without_rows=True)


def _fixed(
    header: Cells, rows: Callable[[Scope], Iterator[Cells]], interval: float
) -> ReportDefinition:
    return ReportDefinition(lambda scope: header, rows, lambda scope: count(rows(scope)), interval)


def _orders(
    rows: Callable[[Scope], Iterator[Cells]], count: Callable[[Scope], int]
) -> ReportDefinition:
    return ReportDefinition(
        lambda scope: orders.HEADER,
        rows,
        count,
        longest=30 * DAY,
        oldest=730 * DAY,
        role=TRACKING,
    )


FEE_PREVIEW = "GET_FBA_ESTIMATED_FBA_FEES_TXT_DATA"

DEFINITIONS = {
    "GET_FLAT_FILE_ALL_ORDERS_DATA_BY_LAST_UPDATE_GENERAL": _orders(
        orders.by_update, orders.count_by_update
    ),
    "GET_FLAT_FILE_ALL_ORDERS_DATA_BY_ORDER_DATE_GENERAL": _orders(
        orders.by_creation, orders.count_by_creation
    ),
    "GET_LEDGER_DETAIL_VIEW_DATA": ReportDefinition(
        ledger.header,
        ledger.rows,
        ledger.count,
        interval=_DAILY,
        oldest=548 * DAY,
        cancelled_without_rows=True,
    ),
    "GET_FBA_REIMBURSEMENTS_DATA": _events(goods.REIMBURSEMENTS, goods.reimbursements),
    "GET_FBA_FULFILLMENT_CUSTOMER_RETURNS_DATA": _events(goods.RETURNS, goods.returns),
    "GET_FBA_FULFILLMENT_CUSTOMER_SHIPMENT_REPLACEMENT_DATA": _events(
        replacements.HEADER, replacements.rows
    ),
    "GET_FBA_FULFILLMENT_REMOVAL_ORDER_DETAIL_DATA": _events(goods.REMOVALS, goods.removals),
    "GET_FBA_FULFILLMENT_REMOVAL_SHIPMENT_DETAIL_DATA": _events(
        parcels.HEADER, parcels.removal_shipments
    ),
    "GET_FBA_STORAGE_FEE_CHARGES_DATA": _events(storage.HEADER, storage.rows),
    "GET_FBA_MYI_UNSUPPRESSED_INVENTORY_DATA": _fixed(goods.STOCK, goods.stock, _NEAR_REAL_TIME),
    FEE_PREVIEW: ReportDefinition(
        fees.header,
        fees.rows,
        lambda scope: len(scope.seller.products),
        interval=_DAILY,
        shortest=72 * HOUR,
    ),
}
