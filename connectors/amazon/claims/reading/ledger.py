"""The ledger: adjustments, receipts of shipments, and units that turned up again."""

from collections import Counter, defaultdict
from datetime import date
from typing import Any

import msgspec

from connectors.amazon.cells import day, label, text, whole
from connectors.amazon.claims.books import Event
from connectors.amazon.claims.reading.rows import Rows, needed
from connectors.amazon.claims.warehouse import FOUND, RELEVANT
from connectors.amazon.marketplaces import place


class LedgerRow(msgspec.Struct):
    """A row's cells. Older layouts lack some of the last."""

    date: Any = None
    dateandtime: Any = None
    fnsku: Any = None
    msku: Any = None
    eventtype: Any = None
    referenceid: Any = None
    quantity: Any = None
    disposition: Any = None
    reason: Any = None
    country: Any = None
    store: Any = None
    unreconciledquantity: Any = None


class Ledger:
    """What is kept of it. Receipts only of known shipments, finds only of products whose
    reimbursement was reversed, other returns only as sums of a day."""

    def __init__(self, shipments: set[str], reversed_products: set[str]) -> None:
        self._shipments = shipments
        self._reversed = reversed_products
        self.since: date | None = None
        self.adjustments: list[Event] = []
        self.receipts: defaultdict[str, list[Event]] = defaultdict(list)
        self.finds: defaultdict[str, list[Event]] = defaultdict(list)
        self.restocked: Counter[tuple[str, date]] = Counter()

    def read(self, rows: Rows) -> "Ledger":
        for _ in rows.read("ledger", LedgerRow, self._take):
            pass
        self.adjustments.sort()
        for events in (*self.receipts.values(), *self.finds.values()):
            events.sort()
        return self

    def _take(self, record: str, row: LedgerRow) -> None:
        at = day(row.date) or day(row.dateandtime)
        if at and (self.since is None or at < self.since):
            self.since = at
        kind = label(text(row.eventtype))
        if kind == "adjustments":
            self._adjust(record, row, at)
        elif kind == "receipts":
            self._receive(record, row, at)
        elif kind == "customerreturns":
            self._restock(record, row, at)

    def _adjust(self, record: str, row: LedgerRow, at: date | None) -> None:
        reason = text(row.reason).upper()
        if reason not in RELEVANT:
            return
        event = _event(record, row, at, reason)
        needed(event.fnsku)
        self.adjustments.append(event)
        if reason in FOUND:
            self._find(event)

    def _receive(self, record: str, row: LedgerRow, at: date | None) -> None:
        shipment = text(row.referenceid).upper()
        if shipment not in self._shipments and text(row.fnsku) not in self._reversed:
            return
        event = _event(record, row, at, "")
        if shipment in self._shipments:
            self.receipts[shipment].append(event)
        self._find(event)

    def _restock(self, record: str, row: LedgerRow, at: date | None) -> None:
        fnsku = text(row.fnsku)
        if label(text(row.disposition)) == "sellable":
            self.restocked[fnsku, needed(at)] += needed(whole(row.quantity))
        if fnsku in self._reversed:
            self._find(_event(record, row, at, ""))

    def _find(self, event: Event) -> None:
        if event.fnsku in self._reversed and event.units > 0:
            self.finds[event.fnsku].append(event)


def _event(record: str, row: LedgerRow, at: date | None, reason: str) -> Event:
    unreconciled = whole(row.unreconciledquantity)
    return Event(
        day=needed(at),
        reference=text(row.referenceid),
        id=record,
        fnsku=text(row.fnsku),
        sku=text(row.msku),
        units=needed(whole(row.quantity)),
        reason=reason,
        disposition=label(text(row.disposition)),
        place=place(country=text(row.country)) or place(country=text(row.store)),
        open=None if unreconciled is None else abs(unreconciled),
    )
