"""Units that were sent to Amazon's warehouses and not all received."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from connectors.amazon.claims.books import Books, Consignment, Event, Payment
from connectors.amazon.claims.cases import Case, drawn_from, evidence, key, units_of
from connectors.amazon.claims.credits import Credit, Draw, draw, total
from connectors.amazon.claims.values import unit_value
from connectors.amazon.claims.warehouse import BEFORE, grouped

CLOSED = "closed"
ARRIVED = frozenset({CLOSED, "receiving", "delivered", "checkedin"})
STALE = timedelta(days=21)
"""Without a change for so long, a shipment that is not closed will not be received any further."""
SHIPMENT = re.compile(r"FBA[0-9A-Z]{5,}")


class Arrival(msgspec.Struct, frozen=True):
    """A consignment that arrived: on `delivered`, or at some time before it if no receipt is seen.
    `receipts` are those of its product; `sure` says whether they are all that it had."""

    consignment: Consignment
    delivered: date
    receipts: Sequence[Event]
    received: int
    place: str
    seen: bool
    sure: bool

    @property
    def order(self) -> tuple[bool, date, str, str]:
        """The sure ones first, of them the oldest: so they are made up for."""
        return not self.sure, self.delivered, self.consignment.shipment, self.consignment.fnsku


class Short(msgspec.Struct, frozen=True):
    """What arrived, with the units of it that are open."""

    arrival: Arrival
    open: int
    drawn: tuple[Draw, ...]

    @property
    def consignment(self) -> Consignment:
        return self.arrival.consignment


def inbound_short(books: Books) -> Iterator[Case]:
    """Units of a shipment that Amazon has finished receiving, neither received nor paid for."""
    for each in short(books):
        paid, what, found = total(each.drawn), each.consignment, each.arrival
        if not _finished(books, found) or (each.open == 0 and paid == 0):
            continue
        product = what.sku or what.fnsku
        delivered = found.delivered.isoformat()
        yield Case(
            key=key(what.shipment, what.fnsku or what.sku),
            title=f"{units_of(each.open, product)} missing from shipment {what.shipment}",
            units=each.open,
            base=found.delivered,
            place=found.place,
            value=unit_value(books, what.fnsku, what.sku, found.place).times(each.open),
            evidence=evidence(
                ("shipments", what.ids),
                ("ledger", [one.id for one in _first(books, what)]),
                ("ledger", [one.id for one in found.receipts]),
                *drawn_from(each.drawn),
            ),
            details={
                "shipment": what.shipment,
                "fnsku": what.fnsku,
                "sku": what.sku,
                "shipped": str(what.shipped),
                "received": str(found.received),
                "paid": str(paid),
                "delivered": delivered if found.seen else f"before {delivered}",
                **_unseen(found),
            },
            low=not found.sure,
        )


def short(books: Books) -> Sequence[Short]:
    """Every consignment that arrived, with what makes up for what is missing. A payment that names
    its shipment is for that one; others are for the product."""
    arrived = [one for each in books.shipments if (one := _arrival(books, each))]
    named, others = _payments(books)
    found = []
    for each in sorted(arrived, key=lambda one: one.order):
        what = each.consignment
        missing = max(what.shipped - each.received, 0)
        drawn = draw(
            [*named.get((what.shipment, what.fnsku), ()), *named.get((what.shipment, ""), ())],
            missing,
            lambda _: True,
        )
        if what.fnsku:
            since = each.delivered - BEFORE if each.seen else date.min
            drawn += draw(others.get(what.fnsku, ()), missing - total(drawn), _since(since))
        found.append(Short(each, missing - total(drawn), drawn))
    return found


def _arrival(books: Books, what: Consignment) -> Arrival | None:
    """None if it did not arrive yet. It carries no date: its delivery is its first receipt in the
    ledger. One of which Amazon says that it received some, without any receipt, was delivered
    before the ledger that was read begins."""
    named = books.receipts.get(what.shipment, ())
    since = named[0].day if named else books.ledger_since
    if what.status not in ARRIVED or since is None or not (named or what.received):
        return None
    receipts = [each for each in named if _is_of(each.fnsku, each.sku, what)]
    seen = sum(each.units for each in receipts)
    return Arrival(
        consignment=what,
        delivered=since,
        receipts=receipts,
        # The shipment's own figure may lag behind the ledger, the ledger may not reach back so far.
        received=max(what.received, seen),
        place=named[0].place if named else "",
        seen=bool(named),
        sure=seen >= what.received,
    )


def _first(books: Books, what: Consignment) -> Sequence[Event]:
    return books.receipts.get(what.shipment, ())[:1]


def _unseen(found: Arrival) -> Mapping[str, str]:
    """Units that Amazon says it received, of which no receipt was read."""
    units = found.received - sum(each.units for each in found.receipts)
    return {"receivedUnseen": str(units)} if not found.sure else {}


def named_shipment(payment: Payment) -> str:
    """The shipment that a payment names; empty if it names none."""
    match = SHIPMENT.search(f"{payment.order} {payment.case}".upper())
    return match.group() if match else ""


def _payments(
    books: Books,
) -> tuple[Mapping[tuple[str, str], list[Credit]], Mapping[str, list[Credit]]]:
    lost = [each for each in books.payments if each.reason == "lostinbound" and each.units > 0]
    credits = [
        (each, Credit(each.day, "reimbursements", each.id, each.units), named_shipment(each))
        for each in lost
    ]
    named = grouped([each for each in credits if each[2]], lambda each: (each[2], each[0].fnsku))
    others = grouped([each for each in credits if not each[2]], lambda each: each[0].fnsku)
    return (
        {where: [each[1] for each in group] for where, group in named.items()},
        {where: [each[1] for each in group] for where, group in others.items()},
    )


def _since(day: date) -> Callable[[Credit], bool]:
    return lambda credit: credit.day >= day


def _is_of(fnsku: str, sku: str, what: Consignment) -> bool:
    return fnsku == what.fnsku if what.fnsku else sku == what.sku


def _finished(books: Books, found: Arrival) -> bool:
    what = found.consignment
    if what.status == CLOSED:
        return True
    last = books.receipts[what.shipment][-1].day if found.seen else found.delivered
    # What was never seen to change is only as fresh as its last receipt.
    changed = max(last, what.changed) if what.changed and what.changed != what.seen else last
    return books.today - changed >= STALE
