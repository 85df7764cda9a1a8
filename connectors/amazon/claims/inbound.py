"""R8: units sent to Amazon's warehouses that were not received."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from connectors.amazon.claims.codes import LOST_INBOUND
from connectors.amazon.claims.credits import EARLY, Credit, Offset, since, total, use
from connectors.amazon.claims.facts import Facts, InboundItem, LedgerEvent, Payment
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key, records_of
from connectors.amazon.claims.values import unit_value

CLOSED = "closed"
ARRIVED = frozenset({CLOSED, "receiving", "delivered", "checkedin"})
STALE = timedelta(days=21)
"""An open shipment that did not change for this long is not received any further."""
SHIPMENT_ID = re.compile(r"FBA[0-9A-Z]{5,}")


class Arrival(msgspec.Struct, frozen=True):
    """A product of a shipment that arrived."""

    item: InboundItem
    #: The day of the delivery; if `dated` is false, a day before which it was delivered.
    day: date
    dated: bool
    #: The ledger's receipts of this product from this shipment.
    receipts: Sequence[LedgerEvent]
    received: int
    place: str
    #: Whether the receipts account for all that Amazon says it received.
    complete: bool

    @property
    def order(self) -> tuple[bool, date, str, str]:
        """The order in which payments offset shortages: complete ones first, then by day."""
        return not self.complete, self.day, self.item.shipment, self.item.fnsku


class Shortage(msgspec.Struct, frozen=True):
    """An arrival with what was paid for its missing units; `open` may be 0."""

    arrival: Arrival
    open: int
    offsets: tuple[Offset, ...]

    @property
    def item(self) -> InboundItem:
        return self.arrival.item


def inbound_short(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R8. Units of a shipment that Amazon neither received nor paid for.

    Counts: shipped units less received units, once receiving has ended: the shipment is CLOSED, or
    it arrived and did not change for 21 days. The figure of the shipment and the receipts in the
    ledger may lag behind each other, so the larger one is what was received. Payments for
    Lost_Inbound reduce the open units: of the shipment that they name, or else of the product.

    Does not count: shipments on their way, and arrived ones of which nothing was received yet. A
    shipment has no delivery date of its own; its first receipt in the ledger is the delivery. If
    the ledger begins later, the claim has low confidence."""
    for shortage in shortages(facts):
        item, arrival, paid = shortage.item, shortage.arrival, total(shortage.offsets)
        if shortage.open == 0 and paid == 0:
            yield ClosedCase(key(item.shipment, item.fnsku or item.sku), "found")
            continue
        if not _finished(facts, arrival):
            continue
        day = arrival.day.isoformat()
        first_receipt = facts.ledger.receipts.get(item.shipment, ())[:1]
        unit = unit_value(facts, item.fnsku, item.sku, arrival.place)
        yield Case(
            key=key(item.shipment, item.fnsku or item.sku),
            product=item.sku or item.fnsku,
            units=shortage.open,
            base=arrival.day,
            place=arrival.place,
            value=unit.times(shortage.open),
            evidence=evidence(
                ("shipments", item.ids),
                ("ledger", [event.id for event in (*first_receipt, *arrival.receipts)]),
                *records_of(shortage.offsets),
            ),
            details={
                "shipment": item.shipment,
                "fnsku": item.fnsku,
                "sku": item.sku,
                "shipped": str(item.shipped),
                "received": str(arrival.received),
                "paid": str(paid),
                "delivered": day if arrival.dated else f"before {day}",
                **_unseen(arrival),
            },
            low=not arrival.complete,
        )


def shortages(facts: Facts) -> Sequence[Shortage]:
    """Every arrival with the payments for its missing units."""
    arrivals = [arrival for item in facts.inbound if (arrival := _arrival(facts, item))]
    by_shipment, by_product = _payments(facts)
    results = []
    for arrival in sorted(arrivals, key=lambda arrival: arrival.order):
        item = arrival.item
        missing = max(item.shipped - arrival.received, 0)
        named = (
            *by_shipment.get((item.shipment, item.fnsku), ()),
            *by_shipment.get((item.shipment, ""), ()),
        )
        offsets = use(named, missing)
        if item.fnsku:
            first = arrival.day - EARLY if arrival.dated else date.min
            others = by_product.get(item.fnsku, ())
            offsets += use(others, missing - total(offsets), since(first))
        results.append(Shortage(arrival, missing - total(offsets), offsets))
    return results


def _arrival(facts: Facts, item: InboundItem) -> Arrival | None:
    """None if it has not arrived. If Amazon received some of it and the ledger shows no receipt, it
    was delivered before the ledger begins."""
    of_shipment = facts.ledger.receipts.get(item.shipment, ())
    day = of_shipment[0].day if of_shipment else facts.ledger.since
    if item.status not in ARRIVED or day is None or not (of_shipment or item.received):
        return None
    receipts = [event for event in of_shipment if _is_of(event, item)]
    seen = sum(event.units for event in receipts)
    return Arrival(
        item=item,
        day=day,
        dated=bool(of_shipment),
        receipts=receipts,
        received=max(item.received, seen),
        place=of_shipment[0].place if of_shipment else "",
        complete=seen >= item.received,
    )


def _is_of(event: LedgerEvent, item: InboundItem) -> bool:
    return event.fnsku == item.fnsku if item.fnsku else event.sku == item.sku


def _unseen(arrival: Arrival) -> Mapping[str, str]:
    """Units that Amazon says it received and the ledger does not show."""
    units = arrival.received - sum(event.units for event in arrival.receipts)
    return {"receivedUnseen": str(units)} if not arrival.complete else {}


def named_shipment(payment: Payment) -> str:
    """The shipment that a payment names; empty if it names none."""
    match = SHIPMENT_ID.search(f"{payment.order} {payment.case}".upper())
    return match.group() if match else ""


def _payments(
    facts: Facts,
) -> tuple[Mapping[tuple[str, str], list[Credit]], Mapping[str, list[Credit]]]:
    """Payments for lost inbound units: by shipment and FNSKU, and those without a shipment by
    FNSKU."""
    by_shipment: dict[tuple[str, str], list[Credit]] = {}
    by_product: dict[str, list[Credit]] = {}
    for payment in facts.payments:
        if payment.reason != LOST_INBOUND or payment.units <= 0:
            continue
        credit = Credit(payment.day, "reimbursements", payment.id, payment.units)
        if shipment := named_shipment(payment):
            by_shipment.setdefault((shipment, payment.fnsku), []).append(credit)
        else:
            by_product.setdefault(payment.fnsku, []).append(credit)
    return by_shipment, by_product


def _finished(facts: Facts, arrival: Arrival) -> bool:
    """Whether Amazon has stopped receiving the shipment."""
    item = arrival.item
    if item.status == CLOSED:
        return True
    changed = facts.ledger.receipts[item.shipment][-1].day if arrival.dated else arrival.day
    # A shipment that was never seen to change was first seen at `changed`: that is not a change.
    if item.changed and item.changed != item.seen:
        changed = max(changed, item.changed)
    return facts.today - changed >= STALE
