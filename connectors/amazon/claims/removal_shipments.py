"""R12: units that a removal order sent to the seller and that did not arrive."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import product

import msgspec

from connectors.amazon.claims.credits import Offset, since, total, use
from connectors.amazon.claims.facts import Facts, RemovalShipment
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.once import once
from connectors.amazon.claims.removals import removal_payments, short_removals
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key, records_of
from connectors.amazon.claims.values import unit_value

OVERDUE_AFTER = timedelta(days=15)
"""How long a shipment may take."""
ORDERS = frozenset({"removals"})

_Line = tuple[str, str, str, str]
"""The values that a line of the seller names: order, SKU, FNSKU, tracking number."""


class SentRemoval(msgspec.Struct, frozen=True):
    """The units of a product that a removal order shipped on one day, and those that arrived."""

    shipments: Sequence[RemovalShipment]
    #: The units sent; not more than the order counts as shipped.
    units: int
    #: The units that arrived, as far as the seller reported it.
    received: int
    #: Whether the seller reported the arrival of every shipment.
    answered: bool
    payments: tuple[Offset, ...]

    @property
    def first(self) -> RemovalShipment:
        return self.shipments[0]

    @property
    def missing(self) -> int:
        return max(self.units - self.received, 0)

    @property
    def open(self) -> int:
        return self.missing - total(self.payments)


def removal_lost(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R12. Units sent to the seller at least 15 days ago whose arrival the seller denies, or has
    not confirmed (low confidence).

    Counts: the shipments of a product of a removal order on one day, less the units that arrived
    (`PUT /api/removals/received`). A report on a parcel or product takes precedence over one on the
    whole order. Payments for Lost_Outbound or for the removal reduce the units, if the payments
    name this order or no order, and if units missing from the order (R11) did not need them.

    Does not count: units beyond those that the order counts as shipped, which R11 claims; disposals
    and liquidations; shipments of the last 15 days."""
    places = {removal.order: removal.place for removal in facts.removals}
    for sent in sent_removals(facts):
        first, paid = sent.first, total(sent.payments)
        if facts.today - first.day < OVERDUE_AFTER:
            continue
        if sent.answered and sent.missing == 0:
            yield ClosedCase(_key(sent), "found")
            continue
        if sent.open == 0 and paid == 0:
            continue
        sku = first.sku or facts.products.skus.get(first.fnsku, "")
        place = places.get(first.order, "")
        yield Case(
            key=_key(sent),
            product=sku or first.fnsku,
            units=sent.open,
            base=first.day,
            place=place,
            value=unit_value(facts, first.fnsku, sku, place).times(sent.open),
            evidence=evidence(
                ("removal_shipments", [shipment.id for shipment in sent.shipments]),
                *records_of(sent.payments),
            ),
            details=_details(sent, sku),
            low=not sent.answered,
        )


def _key(sent: SentRemoval) -> str:
    first = sent.first
    return key(first.order, first.fnsku, first.disposition, first.day.isoformat())


def _details(sent: SentRemoval, sku: str) -> Mapping[str, str]:
    first = sent.first
    return {
        "order": first.order,
        "fnsku": first.fnsku,
        "sku": sku,
        "shipped": first.day.isoformat(),
        "carrier": _joined(shipment.carrier for shipment in sent.shipments),
        "tracking": _joined(shipment.tracking for shipment in sent.shipments),
        "sent": str(sent.units),
        "received": str(sent.received),
        "arrival": "not received" if sent.answered else "arrival not confirmed",
        "paid": str(total(sent.payments)),
    }


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, words)))


@once
def sent_removals(facts: Facts) -> Sequence[SentRemoval]:
    """All shipments to the seller, the oldest first."""
    used = [offset for short in short_removals(facts) for offset in short.payments]
    payments = removal_payments(facts, used)
    answers, shipped = _answers(facts), _shipped(facts)
    days = grouped(
        facts.removal_shipments,
        lambda shipment: (shipment.day, shipment.order, shipment.fnsku, shipment.disposition),
    )
    results = []
    for (day, order, fnsku, _), shipments in days.items():
        units = sum(shipment.units for shipment in shipments)
        if (order, fnsku) in shipped:
            units = min(units, shipped[order, fnsku])
            shipped[order, fnsku] -= units
        known = [answers[shipment.id] for shipment in shipments if shipment.id in answers]
        received = sum(answer.units for answer in known)
        answered = len(known) == len(shipments) and all(answer.certain for answer in known)
        missing = max(units - received, 0)
        named = use(payments.get((order, fnsku), ()), missing)
        others = use(payments.get(("", fnsku), ()), missing - total(named), since(day))
        results.append(SentRemoval(shipments, units, received, answered, (*named, *others)))
    return results


class _Answer(msgspec.Struct, frozen=True):
    """The seller's report on a shipment."""

    #: The units that arrived.
    units: int
    #: Whether it is certain that they were of this product.
    certain: bool


def _answers(facts: Facts) -> Mapping[str, _Answer]:
    """The units of each reported shipment that arrived, by the shipment's id. A line about several
    shipments fills the oldest ones first."""
    lines = {
        (arrival.order, arrival.sku, arrival.fnsku, arrival.tracking): arrival.units
        for arrival in facts.arrivals
    }
    by_line: defaultdict[_Line, list[RemovalShipment]] = defaultdict(list)
    for shipment in facts.removal_shipments:
        if line := next((line for line in _lines_about(shipment) if line in lines), None):
            by_line[line].append(shipment)
    answers = {}
    for line, shipments in by_line.items():
        left, sent = lines[line], sum(shipment.units for shipment in shipments)
        certain = left == 0 or left >= sent or len({shipment.fnsku for shipment in shipments}) == 1
        for shipment in shipments:
            arrived = min(left, shipment.units)
            left -= arrived
            answers[shipment.id] = _Answer(arrived, certain)
    return answers


def _lines_about(shipment: RemovalShipment) -> Iterator[_Line]:
    """The lines that may be about a shipment, the most precise first."""
    choices = ((name, "") for name in (shipment.tracking, shipment.sku, shipment.fnsku))
    for tracking, sku, fnsku in product(*choices):
        yield shipment.order, sku, fnsku, tracking


def _shipped(facts: Facts) -> dict[tuple[str, str], int]:
    """The units that orders count as shipped, by order and FNSKU, as far as they are known."""
    if not facts.complete >= ORDERS:
        return {}
    orders = grouped(facts.removals, lambda removal: (removal.order, removal.fnsku))
    return {
        product: sum(removal.shipped or 0 for removal in removals)
        for product, removals in orders.items()
        if all(removal.shipped is not None for removal in removals)
    }
