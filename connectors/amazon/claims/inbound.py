"""R8: units sent to Amazon's warehouses that were not received."""

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, timedelta

import msgspec

from connectors.amazon.claims.codes import LOST_INBOUND
from connectors.amazon.claims.credits import EARLY, Credit, Offset, since, total, use
from connectors.amazon.claims.facts import Facts, InboundItem, LedgerEvent, Payment
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.names import date_in_name
from connectors.amazon.claims.once import once
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key, records_of
from connectors.amazon.claims.values import unit_value

CLOSED = "closed"
ARRIVED = frozenset({CLOSED, "receiving", "delivered", "checkedin"})
STALE = timedelta(days=21)
"""Amazon has stopped receiving an open shipment that has not changed for this long."""
SHIPMENT_ID = re.compile(r"FBA[0-9A-Z]{5,}")

RECEIPT, NAME, SIGHT = "receipt", "name", "sight"
COUNTED_FROM: Mapping[str, str] = {
    NAME: "the date in the shipment's name",
    SIGHT: "the day on which the shipment was first seen",
}
"""The words for the day that replaces a delivery day missing in the ledger."""


class Arrival(msgspec.Struct, frozen=True):
    """A product of a shipment that arrived."""

    item: InboundItem
    #: The day of the delivery, or the day that replaces it.
    day: date
    #: RECEIPT, NAME or SIGHT.
    source: str
    #: The ledger's receipts of this product from this shipment.
    receipts: Sequence[LedgerEvent]
    received: int
    place: str
    #: Whether the receipts account for all units that Amazon says it received.
    complete: bool

    @property
    def dated(self) -> bool:
        """Whether the day is that of the delivery."""
        return self.source == RECEIPT

    @property
    def earliest(self) -> date:
        """The first day on which a payment can be for it."""
        return date.min if self.source == SIGHT else self.day - EARLY

    @property
    def order(self) -> tuple[bool, date, str, str]:
        """The order in which payments offset shortages: complete ones first, then by day."""
        return not self.complete, self.day, self.item.shipment, self.item.fnsku


class Shortage(msgspec.Struct, frozen=True):
    """An arrival with the payments for its missing units; `open` may be 0."""

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

    Does not count: shipments on their way, and ones that arrived in the last 21 days. A shipment
    has no delivery date of its own; its first receipt in the ledger is the delivery. If
    the ledger shows none, the window counts from the date in the shipment's name or from the day on
    which it was first seen, and the claim has low confidence."""
    for shortage in shortages(facts):
        item, arrival, paid = shortage.item, shortage.arrival, total(shortage.offsets)
        if shortage.open == 0 and paid == 0:
            yield ClosedCase(key(item.shipment, item.fnsku or item.sku), "found", unpaid=True)
            continue
        if not _finished(facts, arrival):
            continue
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
                "delivered": arrival.day.isoformat() if arrival.dated else "not known",
                **_unseen(arrival),
            },
            low=not (arrival.complete and arrival.dated),
        )


class InboundPayments:
    """Payments for inbound units. Each paid unit is used once."""

    def __init__(self, facts: Facts, reasons: AbstractSet[str], used: Mapping[str, int]) -> None:
        self._facts = facts
        self._by_shipment: dict[tuple[str, str], list[Credit]] = {}
        self._by_product: dict[str, list[Credit]] = {}
        for payment in facts.payments:
            units = payment.units - used.get(payment.id, 0)
            if payment.reason not in reasons or units <= 0:
                continue
            credit = Credit(payment.day, "reimbursements", payment.id, units)
            if shipment := named_shipment(payment):
                self._by_shipment.setdefault((shipment, payment.fnsku), []).append(credit)
            else:
                self._by_product.setdefault(payment.fnsku, []).append(credit)

    def use(self, arrival: Arrival, units: int) -> tuple[Offset, ...]:
        """Use payments for units of a shipment: those that name it, then those of its product."""
        shipment, fnsku = arrival.item.shipment, _fnsku(self._facts, arrival.item)
        named = [*self._by_shipment.get((shipment, fnsku), ())]
        if fnsku:
            named += self._by_shipment.get((shipment, ""), ())
        offsets = use(named, units)
        if fnsku:
            others = self._by_product.get(fnsku, ())
            offsets += use(others, units - total(offsets), since(arrival.earliest))
        return offsets


@once
def arrivals(facts: Facts) -> Sequence[Arrival]:
    """The products of all shipments that arrived, in the order in which payments are used for
    them."""
    arrived = [arrival for item in facts.inbound if (arrival := _arrival(facts, item))]
    return sorted(arrived, key=lambda arrival: arrival.order)


@once
def shortages(facts: Facts) -> Sequence[Shortage]:
    """Every arrival with the payments for its missing units."""
    payments = InboundPayments(facts, frozenset({LOST_INBOUND}), {})
    results = []
    for arrival in arrivals(facts):
        missing = max(arrival.item.shipped - arrival.received, 0)
        offsets = payments.use(arrival, missing)
        results.append(Shortage(arrival, missing - total(offsets), offsets))
    return results


def _arrival(facts: Facts, item: InboundItem) -> Arrival | None:
    """The arrival of an item; None if it has not arrived or its day is unknown."""
    of_shipment = facts.ledger.receipts.get(item.shipment, ())
    delivery = _delivery(facts, item, of_shipment)
    if item.status not in ARRIVED or delivery is None:
        return None
    day, source = delivery
    receipts = [event for event in of_shipment if _is_of(event, item)]
    seen = sum(event.units for event in receipts)
    return Arrival(
        item=item,
        day=day,
        source=source,
        receipts=receipts,
        received=max(item.received, seen),
        place=of_shipment[0].place if of_shipment else "",
        complete=seen >= item.received,
    )


def _delivery(
    facts: Facts, item: InboundItem, receipts: Sequence[LedgerEvent]
) -> tuple[date, str] | None:
    """The day of the delivery and its source. It is never the first day of the ledger, which is
    unrelated to the shipment."""
    if receipts:
        return receipts[0].day, RECEIPT
    if facts.ledger.since is None:
        return None
    latest = min(item.sight or facts.today, facts.today)
    if named := date_in_name(item.name, facts.windows.home, latest):
        return named, NAME
    return (latest, SIGHT) if item.sight else None


def _fnsku(facts: Facts, item: InboundItem) -> str:
    """The FNSKU of an item; if it names none, that of its SKU, or empty if the SKU has several."""
    return item.fnsku or only_fnskus(facts).get(item.sku, "")


@once
def only_fnskus(facts: Facts) -> Mapping[str, str]:
    """The FNSKU of each SKU that has exactly one."""
    pairs = [(sku, fnsku) for fnsku, skus in facts.products.all_skus.items() for sku in skus]
    by_sku = grouped(pairs, lambda pair: pair[0])
    return {sku: group[0][1] for sku, group in by_sku.items() if len(group) == 1}


def _is_of(event: LedgerEvent, item: InboundItem) -> bool:
    return event.fnsku == item.fnsku if item.fnsku else event.sku == item.sku


def _unseen(arrival: Arrival) -> Mapping[str, str]:
    """Details: the units that Amazon says it received but the ledger does not show, and the day
    from which the window counts if the ledger shows no delivery."""
    units = arrival.received - sum(event.units for event in arrival.receipts)
    unseen = {"receivedUnseen": str(units)} if not arrival.complete else {}
    counted = {"countedFrom": COUNTED_FROM[arrival.source]} if not arrival.dated else {}
    return {**unseen, **counted}


def named_shipment(payment: Payment) -> str:
    """The shipment that a payment names; empty if it names none."""
    match = SHIPMENT_ID.search(f"{payment.order} {payment.case}".upper())
    return match.group() if match else ""


def _finished(facts: Facts, arrival: Arrival) -> bool:
    """Whether Amazon has stopped receiving the shipment."""
    item = arrival.item
    if item.status == CLOSED:
        return True
    if arrival.dated:
        changed = facts.ledger.receipts[item.shipment][-1].day
    elif item.received:  # its last receipt is from before the ledger begins
        changed = facts.ledger.since or arrival.day
    elif item.sight:  # nothing was received, so it may have been delivered until then
        changed = max(arrival.day, item.sight)
    else:
        return False
    # A shipment that was never seen to change was first seen at `changed`: that is not a change.
    if item.seen and item.changed and item.changed != item.seen:
        changed = max(changed, item.changed)
    return facts.today - changed >= STALE
