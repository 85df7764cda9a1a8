"""R14: units of a shipment that Amazon received damaged, or took back after receiving them."""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from connectors.amazon.claims.codes import (
    DAMAGED_INBOUND,
    DISTRIBUTOR_DAMAGED,
    LOST_INBOUND,
    WAREHOUSE_DAMAGED,
)
from connectors.amazon.claims.credits import Offset, total
from connectors.amazon.claims.facts import Facts, LedgerEvent
from connectors.amazon.claims.inbound import (
    CLOSED,
    Arrival,
    InboundPayments,
    arrivals,
    shortages,
)
from connectors.amazon.claims.once import once
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key, records_of
from connectors.amazon.claims.values import unit_value

DAMAGED, WEAK, TAKEN_BACK = "damaged", "damaged-weak", "taken-back"
WHAT = {
    DAMAGED: "received damaged",
    WEAK: "received damaged",
    TAKEN_BACK: "taken back after their receipt",
}
"""The event as words for a title."""


class Mishandled(msgspec.Struct, frozen=True):
    """Received units of a shipment that became worthless, and what was paid for them."""

    arrival: Arrival
    #: DAMAGED, WEAK or TAKEN_BACK.
    kind: str
    events: Sequence[LedgerEvent]
    units: int
    offsets: tuple[Offset, ...]
    low: bool
    #: Whether later receipts made up for the units that were taken back.
    made_up: bool = False

    @property
    def open(self) -> int:
        return self.units - total(self.offsets)


def inbound_mishandled(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R14. Units of a shipment that Amazon received damaged, or took back after receiving them.

    Counts: the ledger's receipts of a shipment with the disposition WAREHOUSE_DAMAGED
    (DISTRIBUTOR_DAMAGED with low confidence, because the supplier may have damaged them); negative
    receipts of a CLOSED shipment that no later receipt makes up for. Payments for Damaged_Inbound
    and Lost_Inbound reduce them: of the shipment that they name, or else of the product.

    Does not count: units that the shipment itself counts as not received, which are claimed as
    missing (R8); units received above what was sent. If the receipts do not explain the shipment's
    figure, units taken back have low confidence."""
    for case in mishandled(facts):
        item, paid = case.arrival.item, total(case.offsets)
        if case.open == 0 and paid == 0:
            if case.made_up:
                natural = key(item.shipment, item.fnsku or item.sku, case.kind)
                yield ClosedCase(natural, "found", unpaid=True)
            continue
        unit = unit_value(facts, item.fnsku, item.sku, case.arrival.place)
        yield Case(
            key=key(item.shipment, item.fnsku or item.sku, case.kind),
            product=item.sku or item.fnsku,
            units=case.open,
            base=case.arrival.day,
            place=case.arrival.place,
            value=unit.times(case.open),
            evidence=evidence(
                ("shipments", item.ids),
                ("ledger", [event.id for event in case.events]),
                *records_of(case.offsets),
            ),
            details={
                "shipment": item.shipment,
                "fnsku": item.fnsku,
                "sku": item.sku,
                "what": WHAT[case.kind],
                "units": str(case.units),
                "paid": str(paid),
                "delivered": case.arrival.day.isoformat(),
            },
            low=case.low,
        )


@once
def mishandled(facts: Facts) -> Sequence[Mishandled]:
    """All mishandled units, with the payments that missing units (R8) did not use."""
    used: Counter[str] = Counter()
    for shortage in shortages(facts):
        used.update({offset.id: offset.units for offset in shortage.offsets})
    payments = InboundPayments(facts, frozenset({DAMAGED_INBOUND, LOST_INBOUND}), used)
    return [
        msgspec.structs.replace(case, offsets=payments.use(case.arrival, case.units))
        for arrival in arrivals(facts)
        for case in _mishandled(arrival)
    ]


def _mishandled(arrival: Arrival) -> Iterator[Mishandled]:
    for kind, disposition in ((DAMAGED, WAREHOUSE_DAMAGED), (WEAK, DISTRIBUTOR_DAMAGED)):
        events = [event for event in arrival.receipts if event.disposition == disposition]
        units = sum(event.units for event in events)
        if units > 0:
            yield Mishandled(arrival, kind, events, units, (), kind == WEAK)
    taken, units, made_up = _taken_back(arrival)
    if units > 0 or made_up:
        low = sum(event.units for event in arrival.receipts) + units < arrival.item.received
        yield Mishandled(arrival, TAKEN_BACK, taken, units, (), low, made_up)


def _taken_back(arrival: Arrival) -> tuple[Sequence[LedgerEvent], int, bool]:
    """The negative receipts, their units that neither a later receipt nor the shipment's own figure
    accounts for, and whether later receipts made up for all of them."""
    item, receipts = arrival.item, arrival.receipts
    taken = [event for event in receipts if event.units < 0]
    if item.status != CLOSED or not taken:
        return (), 0, False
    since_then = sum(event.units for event in receipts if event.day >= taken[0].day)
    left = sum(event.units for event in receipts)
    units = max(min(-since_then, item.received - left, item.shipped - left), 0)
    return taken, units, since_then >= 0
