"""Reads the ledger: adjustments, receipts of shipments, and units that turned up again."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Any

import msgspec

from connectors.amazon.cells import day, label, text, whole
from connectors.amazon.claims.codes import ADJUSTMENTS, FOUND, SELLABLE
from connectors.amazon.claims.facts import (
    InboundItem,
    LedgerEvent,
    LedgerFacts,
    Reversal,
    Transfer,
)
from connectors.amazon.claims.reading.reader import DatasetReader, needed
from connectors.amazon.marketplaces import place

Moved = tuple[date, int, str, str, str]
"""Day, units, record, SKU and place of a row of a transfer."""


class LedgerRow(msgspec.Struct):
    """A row of the ledger. Older layouts lack some of the last columns."""

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


def read_ledger(
    reader: DatasetReader,
    inbound: Iterable[InboundItem],
    reversals: Iterable[Reversal],
    stored: AbstractSet[str],
) -> LedgerFacts:
    """Read the ledger. Keeps the receipts of the seller's shipments, finds of products with a
    reversal, and movements of products with storage charges (`stored`)."""
    ledger = _Ledger(
        shipments={item.shipment for item in inbound},
        reversed_fnskus={reversal.fnsku for reversal in reversals if reversal.fnsku},
        stored_fnskus=stored,
    )
    reader.visit("ledger", LedgerRow, ledger.add)
    return ledger.facts()


class _Ledger:
    def __init__(
        self, shipments: set[str], reversed_fnskus: set[str], stored_fnskus: AbstractSet[str]
    ) -> None:
        self._shipments = shipments
        self._reversed_fnskus = reversed_fnskus
        self._stored_fnskus = stored_fnskus
        self._since: date | None = None
        self._adjustments: list[LedgerEvent] = []
        self._receipts: defaultdict[str, list[LedgerEvent]] = defaultdict(list)
        self._finds: defaultdict[str, list[LedgerEvent]] = defaultdict(list)
        self._restocked: Counter[tuple[str, date]] = Counter()
        self._transfers: defaultdict[tuple[str, str], list[Moved]] = defaultdict(list)
        self._moved: defaultdict[str, Counter[date]] = defaultdict(Counter)

    def facts(self) -> LedgerFacts:
        for events in (self._adjustments, *self._receipts.values(), *self._finds.values()):
            events.sort()
        return LedgerFacts(
            self._since,
            self._adjustments,
            self._receipts,
            self._finds,
            self._restocked,
            sorted(_transfers(self._transfers)),
            self._moved,
        )

    def add(self, record: str, row: LedgerRow) -> None:
        at = day(row.date) or day(row.dateandtime)
        if at and (self._since is None or at < self._since):
            self._since = at
        kind = label(text(row.eventtype))
        if kind != "whsetransfers" and text(row.fnsku) in self._stored_fnskus:
            self._moved[text(row.fnsku)][needed(at)] += needed(whole(row.quantity))
        if kind == "adjustments":
            self._add_adjustment(record, row, at)
        elif kind == "receipts":
            self._add_receipt(record, row, at)
        elif kind == "customerreturns":
            self._add_return(record, row, at)
        elif kind == "whsetransfers":
            self._add_transfer(record, row, needed(at))

    def _add_adjustment(self, record: str, row: LedgerRow, at: date | None) -> None:
        reason = text(row.reason).upper()
        if reason not in ADJUSTMENTS:
            return
        event = _event(record, row, at, reason)
        needed(event.fnsku)
        self._adjustments.append(event)
        if reason in FOUND:
            self._add_find(event)

    def _add_receipt(self, record: str, row: LedgerRow, at: date | None) -> None:
        shipment = text(row.referenceid).upper()
        if shipment not in self._shipments and text(row.fnsku) not in self._reversed_fnskus:
            return
        event = _event(record, row, at, "")
        if shipment in self._shipments:
            self._receipts[shipment].append(event)
        self._add_find(event)

    def _add_return(self, record: str, row: LedgerRow, at: date | None) -> None:
        fnsku = text(row.fnsku)
        if label(text(row.disposition)) == SELLABLE:
            self._restocked[fnsku, needed(at)] += needed(whole(row.quantity))
        if fnsku in self._reversed_fnskus:
            self._add_find(_event(record, row, at, ""))

    def _add_transfer(self, record: str, row: LedgerRow, at: date) -> None:
        fnsku, units = needed(text(row.fnsku)), needed(whole(row.quantity))
        where = place(country=text(row.country)) or place(country=text(row.store))
        moved = (at, units, record, text(row.msku), where)
        self._transfers[fnsku, text(row.referenceid) or record].append(moved)

    def _add_find(self, event: LedgerEvent) -> None:
        if event.fnsku in self._reversed_fnskus and event.units > 0:
            self._finds[event.fnsku].append(event)


def _transfers(moved: Mapping[tuple[str, str], Sequence[Moved]]) -> Iterator[Transfer]:
    """The incomplete transfers. The day of a transfer is the last one on which units moved."""
    for (fnsku, reference), rows in moved.items():
        if units := sum(row[1] for row in rows):
            days, _, ids, skus, places = zip(*rows, strict=True)
            yield Transfer(
                day=max(days),
                fnsku=fnsku,
                reference=reference,
                sku=min(skus),
                place=min(places),
                ids=tuple(sorted(ids)),
                units=units,
            )


def _event(record: str, row: LedgerRow, at: date | None, reason: str) -> LedgerEvent:
    unreconciled = whole(row.unreconciledquantity)
    return LedgerEvent(
        day=needed(at),
        reference=text(row.referenceid),
        id=record,
        fnsku=text(row.fnsku),
        sku=text(row.msku),
        units=needed(whole(row.quantity)),
        reason=reason,
        disposition=label(text(row.disposition)),
        place=place(country=text(row.country)) or place(country=text(row.store)),
        unreconciled=None if unreconciled is None else abs(unreconciled),
    )
