"""Reimbursements that were taken back for no visible reason, or that paid too little."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cached_property

import msgspec

from connectors.amazon import cells
from connectors.amazon.claims.books import Books, Key, Payment, Reversal
from connectors.amazon.claims.cases import Case, drawn_from, evidence, key, units_of
from connectors.amazon.claims.credits import Credit, Draw, draw, total
from connectors.amazon.claims.inbound import Short, named_shipment, short
from connectors.amazon.claims.returns import damaged, unreturned
from connectors.amazon.claims.values import SOURCING_COST, Value, unit_value
from connectors.amazon.claims.warehouse import (
    BEFORE,
    Outcome,
    Warehouse,
    grouped,
    is_old,
    reconciled,
)
from connectors.amazon.marketplaces import place

ENOUGH = Decimal("0.95")
"""Of the cost; what is paid below it is too little."""
KINDS = ("lost", "damaged")
WAREHOUSE = frozenset({"lostwarehouse", "damagedwarehouse"})
ORDERS = frozenset({"transactions", "returns"})
SHIPMENTS = frozenset({"shipments"})


def reversal_without_find(books: Books) -> Iterator[Case]:
    """Reimbursements taken back although nothing was found, received or returned meanwhile."""
    again = _Again(books)
    for each in books.reversals:
        units, paid = (0, ()) if _turned_up(books, each) else again.owed(each)
        if units == 0:
            continue
        still = units - total(paid)
        original = each.original
        proof = [each.id, *([original.id] if original else [])]
        yield Case(
            key=key(each.number or each.id, each.fnsku, each.sku, each.names),
            title=f"{units_of(still, each.sku or each.fnsku)}: reimbursement taken back",
            units=still,
            base=each.day,
            place=place(currency=each.currency),
            value=_taken_back(books, each, still),
            evidence=evidence(("reimbursements", proof), *drawn_from(paid)),
            details={
                "fnsku": each.fnsku,
                "sku": each.sku,
                "reversal": each.number,
                "reimbursement": each.names,
                "reason": each.reason,
            },
            low=_reaches_too_short(books, each),
        )


def _taken_back(books: Books, reversal: Reversal, units: int) -> Value:
    """The share of its amount; if units were taken back, and no money, what they are worth."""
    if reversal.amount:
        amount = abs(reversal.amount) * units / reversal.units
        return Value(amount, reversal.currency or None, "What was taken back for these units.")
    where = place(currency=reversal.currency)
    return unit_value(books, reversal.fnsku, reversal.sku, where).times(units)


def under_reimbursed(books: Books) -> Iterator[Case]:
    """Lost or damaged units that Amazon paid for with less than they cost the seller."""
    for each in books.payments:
        if not each.reason.startswith(KINDS) or each.cash <= 0 or each.day < SOURCING_COST:
            continue
        lack, sku = _lack(books, each), _sku(books, each)
        if lack is None:
            continue
        yield Case(
            key=key(each.number or each.id, each.fnsku, each.sku, each.reason),
            title=f"{units_of(each.cash, sku)} paid below cost",
            units=each.cash,
            base=each.day,
            place=place(currency=each.currency),
            value=Value(lack * each.cash, each.currency, "Your cost less what was paid."),
            evidence=evidence(("reimbursements", (each.id,))),
            details={
                "reimbursement": each.number,
                "fnsku": each.fnsku,
                "sku": sku,
                "reason": each.reason,
            },
        )


def _sku(books: Books, payment: Payment) -> str:
    return payment.sku or books.skus.get(payment.fnsku, "")


def _lack(books: Books, payment: Payment) -> Decimal | None:
    """What is missing to the cost, a unit; None where it is enough or cannot be compared."""
    sku = _sku(books, payment)
    given = books.cost(sku) if sku else None
    cost = cells.decimal(given.amount) if given else None
    if given is None or cost is None or payment.each is None:
        return None
    if given.currency != payment.currency or payment.each < 0:
        return None
    return cost - payment.each if payment.each < cost * ENOUGH else None


def _turned_up(books: Books, reversal: Reversal) -> bool:
    since = reversal.original.day - BEFORE if reversal.original else None
    return any(
        (since is None or since <= each.day) and each.day <= reversal.day + BEFORE
        for each in books.finds.get(reversal.fnsku, ())
    )


def _reaches_too_short(books: Books, reversal: Reversal) -> bool:
    """Whether the time in which a find would explain the reversal was not read from its start."""
    if reversal.original is None or books.ledger_since is None:
        return True
    return books.ledger_since > reversal.original.day - BEFORE


class _Loss(msgspec.Struct, frozen=True):
    """What may be the loss behind a reimbursement: `gap` are its units that nothing made up for and
    no other rule claims, `paid` what was paid for it."""

    day: date
    gap: Credit
    paid: Sequence[Credit]
    shipment: str = ""


class _Again:
    """What else bears on a reversed unit: whether its loss is seen, is claimed again by another
    rule, was made up for by something else, or was paid for again. What is used up here is not used
    twice. Each is reckoned when a reversal first asks for it."""

    def __init__(self, books: Books) -> None:
        self._books = books

    @cached_property
    def _warehouse(self) -> Warehouse:
        return reconciled(self._books)

    @cached_property
    def _outcomes(self) -> Mapping[str, Mapping[str, Sequence[_Loss]]]:
        return {
            "lostwarehouse": _by_product(self._books, self._warehouse.lost),
            "damagedwarehouse": _by_product(self._books, self._warehouse.damaged),
        }

    @cached_property
    def _short(self) -> Sequence[Short]:
        return short(self._books)

    @cached_property
    def _shipments(self) -> Mapping[str, Sequence[_Loss]]:
        found = grouped(self._short, lambda each: each.consignment.fnsku)
        return {
            fnsku: [_shortage(each) for each in group if each.open or each.drawn]
            for fnsku, group in found.items()
        }

    @cached_property
    def _orders(self) -> Mapping[Key, Sequence[_Loss]]:
        return _orders(self._books)

    @cached_property
    def _payments(self) -> Mapping[tuple[str, str, str], Sequence[Credit]]:
        return _unused(self._books, self._short)

    def owed(self, reversal: Reversal) -> tuple[int, tuple[Draw, ...]]:
        """How many of its units are nobody else's, and those payments since that were for them.

        Where the loss behind the reimbursement is seen, no more is owed than is missing of it: a
        second payment for one loss may be taken back, and what is open is claimed as that loss."""
        losses = self._losses(reversal)
        if losses is None:
            return 0, ()
        if not losses:
            return reversal.units, self._paid(reversal)
        missing = total(draw([each.gap for each in losses], reversal.units, lambda _: True))
        since = [credit for each in losses for credit in each.paid]
        paid = draw(since, reversal.units - missing, lambda each: each.day >= reversal.day)
        return missing + total(paid), paid

    def _losses(self, reversal: Reversal) -> Sequence[_Loss] | None:
        """Those that the reimbursement can have been for; None if that is not known."""
        original = reversal.original
        latest = original.day + BEFORE if original else reversal.day
        shipment = named_shipment(original) if original else ""
        if reversal.reason in WAREHOUSE:
            found = self._outcomes[reversal.reason].get(reversal.fnsku, ())
        elif reversal.reason == "lostinbound":
            if not self._books.known >= SHIPMENTS:
                return None
            found = self._shipments.get(reversal.fnsku, ())
        elif reversal.order:
            if not self._books.known >= ORDERS:
                return None
            return self._orders.get((reversal.order, reversal.sku), ())
        else:
            return ()
        return [
            each
            for each in found
            if each.day <= latest and (not shipment or each.shipment == shipment)
        ]

    def _paid(self, reversal: Reversal) -> tuple[Draw, ...]:
        """Payments since the reversal that nothing else needed."""
        if reversal.reason in WAREHOUSE:
            credits = self._warehouse.left.get(reversal.fnsku, ())
        else:
            credits = self._payments.get((reversal.reason, reversal.fnsku, reversal.order), ())
        return draw(credits, reversal.units, lambda each: each.day >= reversal.day)


def _by_product(books: Books, outcomes: Iterable[Outcome]) -> Mapping[str, Sequence[_Loss]]:
    recent = [each for each in outcomes if not is_old(books, each.event)]
    groups = grouped(recent, lambda each: each.event.fnsku)
    return {
        fnsku: [_loss(each.event.day, -each.event.units - each.open, each.drawn) for each in group]
        for fnsku, group in groups.items()
    }


def _shortage(found: Short) -> _Loss:
    arrival = found.arrival
    day = arrival.delivered if arrival.seen else date.min  # or at some time before it
    return _loss(day, total(found.drawn), found.drawn, found.consignment.shipment)


def _loss(day: date, closed: int, drawn: Sequence[Draw], shipment: str = "") -> _Loss:
    """`closed` are the units that are not open; some of them were `drawn` from something."""
    paid = [
        Credit(each.day, each.dataset, each.id, each.units)
        for each in drawn
        if each.dataset == "reimbursements"
    ]
    return _Loss(day, Credit(day, "", "", closed - total(drawn)), paid, shipment)


def _orders(books: Books) -> Mapping[Key, Sequence[_Loss]]:
    """Orders of which it is seen what became of their units."""
    paid: dict[Key, Sequence[Payment]] = dict.fromkeys(
        ((each.order, each.sku) for each in books.returns), ()
    )
    paid |= {where: each.paid for where, each in unreturned(books).items()}
    paid |= {where: each.paid for where, each in damaged(books).items()}
    return {
        where: [
            _Loss(
                date.min,
                Credit(date.min, "", "", 0),
                [Credit(each.day, "reimbursements", each.id, each.units) for each in payments],
            )
        ]
        for where, payments in paid.items()
    }


def _unused(
    books: Books, found: Sequence[Short]
) -> Mapping[tuple[str, str, str], Sequence[Credit]]:
    """Payments by reason, FNSKU and order, less what shipments have needed of them."""
    used: Counter[str] = Counter()
    for each in found:
        for one in each.drawn:
            used[one.id] += one.units
    return {
        where: [
            Credit(each.day, "reimbursements", each.id, each.units - used[each.id])
            for each in group
        ]
        for where, group in grouped(
            books.payments, lambda each: (each.reason, each.fnsku, each.order)
        ).items()
    }
