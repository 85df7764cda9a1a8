"""Compares the units that the ledger shows as shipped with orders and transactions."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from itertools import islice

import msgspec

from connectors.amazon.completeness import rows
from connectors.amazon.completeness.spans import DAY, FOREVER, starts
from connectors.amazon.completeness.units import AFTER, POSTED_AFTER, ShippableUnits, unexplained
from connectors.base import Record
from connectors.completing import StoredRows

ORDERS, TRANSACTIONS, LEDGER = "orders", "transactions", "ledger"
CONTEXT = timedelta(days=30)
"""How long before the days in question units are matched: those of an earlier day may use up an
order that would explain those of a later one."""
AT_ONCE = 500
"""The most orders that are looked up at once."""

Lot = tuple[str, date]
"""An FNSKU and the day on which units of it were shipped."""


class Unexplained(msgspec.Struct, frozen=True):
    """Units that neither orders nor transactions explain."""

    lots: AbstractSet[Lot] = frozenset()
    #: The days that were compared; None for all.
    judged: AbstractSet[date] | None = None


def unread_shipments(stored: StoredRows, records: Iterable[Record]) -> Iterator[rows.Shipment]:
    """The shipments among transactions whose orders are not stored."""
    shipments = rows.shipments(records)
    while some := list(islice(shipments, AT_ONCE)):
        lacking = stored.lacking(ORDERS, {shipment.order for shipment in some})
        yield from (shipment for shipment in some if shipment.order in lacking)


class ShippedComparison:
    """The units that the ledger shows from the first to the last day of a span."""

    def __init__(self, stored: StoredRows, span: tuple[date, date]) -> None:
        self._stored = stored
        self._first, self._last = span

    def of_everything(self, posted: Iterable[rows.Shipment]) -> Unexplained:
        """Compare all days. `posted` are the shipments of orders that are not stored."""
        shipped = list(rows.ledger_shipments(self._stored.changed(LEDGER, None)))
        if not shipped:
            return Unexplained()
        supply = _supply(self._stored.changed(ORDERS, None), posted)
        return Unexplained(frozenset(unexplained(shipped, supply, self._first, self._last)))

    def of_days(self, days: AbstractSet[date]) -> Unexplained:
        """Compare these days, with the orders and units around them. Units left unexplained may
        belong to older orders: only then is everything read."""
        found = {lot for lot in self._around(days) if lot[1] in days} if days else set()
        keys = {rows.unit_key(*lot) for lot in found}
        if keys - self._stored.closed(ORDERS, keys):
            posted = unread_shipments(self._stored, self._stored.changed(TRANSACTIONS, None))
            found = {lot for lot in self.of_everything(posted).lots if lot[1] in days}
        return Unexplained(found, days)

    def _around(self, days: AbstractSet[date]) -> Mapping[Lot, int]:
        first, last = min(days) - CONTEXT, max(days)
        between = self._stored.between
        ledger = between(LEDGER, starts(first - DAY), starts(last + 2 * DAY))
        posted = between(TRANSACTIONS, starts(first - DAY), starts(last + POSTED_AFTER + DAY))
        supply = _supply(
            between(ORDERS, starts(first - AFTER), FOREVER), unread_shipments(self._stored, posted)
        )
        return unexplained(rows.ledger_shipments(ledger), supply, first, last, most=1.0)


def _supply(orders: Iterable[Record], posted: Iterable[rows.Shipment]) -> ShippableUnits:
    supply = ShippableUnits()
    for order in rows.orders(orders):
        supply.add_order(order)
    for shipment in posted:
        supply.add_posted(shipment.at.date(), shipment.units())
    return supply
