"""Units that were sent to Amazon's warehouses and not all received."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from connectors.amazon.claims.books import Books, Consignment, Payment
from connectors.amazon.claims.cases import Case, drawn_from, evidence, key, units_of
from connectors.amazon.claims.credits import Credit, Draw, draw, total
from connectors.amazon.claims.values import unit_value
from connectors.amazon.claims.warehouse import BEFORE, grouped

CLOSED = "closed"
ARRIVED = frozenset({CLOSED, "receiving", "delivered", "checkedin"})
STALE = timedelta(days=21)
"""Without a change for so long, a shipment that is not closed will not be received any further."""
SHIPMENT = re.compile(r"FBA[0-9A-Z]{5,}")


class Short(msgspec.Struct, frozen=True):
    """A consignment of a shipment that arrived on `delivered`, with the units that are open."""

    consignment: Consignment
    delivered: date
    received: int
    open: int
    drawn: tuple[Draw, ...]
    receipts: Sequence[str]


def inbound_short(books: Books) -> Iterator[Case]:
    """Units of a shipment that Amazon has finished receiving, neither received nor paid for."""
    for each in short(books):
        paid = total(each.drawn)
        if not _finished(books, each.consignment) or (each.open == 0 and paid == 0):
            continue
        what = each.consignment
        product = what.sku or what.fnsku
        place = books.receipts[what.shipment][0].place
        yield Case(
            key=key(what.shipment, what.fnsku or what.sku),
            title=f"{units_of(each.open, product)} missing from shipment {what.shipment}",
            units=each.open,
            base=each.delivered,
            place=place,
            value=unit_value(books, what.fnsku, what.sku, place).times(each.open),
            evidence=evidence(
                ("shipments", what.ids), ("ledger", each.receipts), *drawn_from(each.drawn)
            ),
            details={
                "shipment": what.shipment,
                "fnsku": what.fnsku,
                "sku": what.sku,
                "shipped": str(what.shipped),
                "received": str(each.received),
                "paid": str(paid),
                "delivered": each.delivered.isoformat(),
            },
        )


def short(books: Books) -> Sequence[Short]:
    """Every consignment that arrived, the oldest first, with what makes up for what is missing. A
    payment that names its shipment is for that one; others are for the product."""
    arrived = [
        (books.receipts[each.shipment][0].day, each)
        for each in books.shipments
        if each.status in ARRIVED and each.shipment in books.receipts
    ]
    named, others = _payments(books)
    found = []
    for day, each in sorted(arrived, key=lambda one: (one[0], one[1].shipment, one[1].fnsku)):
        receipts = [
            one for one in books.receipts[each.shipment] if _is_of(one.fnsku, one.sku, each)
        ]
        # The shipment's own figure may lag behind the ledger, the ledger may not reach back so far.
        received = max(each.received, sum(one.units for one in receipts))
        missing = max(each.shipped - received, 0)
        drawn = draw(
            [*named.get((each.shipment, each.fnsku), ()), *named.get((each.shipment, ""), ())],
            missing,
            lambda _: True,
        )
        if each.fnsku:
            drawn += draw(
                others.get(each.fnsku, ()),
                missing - total(drawn),
                _since(day - BEFORE),
            )
        proof = [books.receipts[each.shipment][0].id, *(one.id for one in receipts)]
        found.append(Short(each, day, received, missing - total(drawn), drawn, proof))
    return found


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


def _finished(books: Books, what: Consignment) -> bool:
    if what.status == CLOSED:
        return True
    last = books.receipts[what.shipment][-1].day
    # What was never seen to change is only as fresh as its last receipt.
    changed = max(last, what.changed) if what.changed and what.changed != what.seen else last
    return books.today - changed >= STALE
