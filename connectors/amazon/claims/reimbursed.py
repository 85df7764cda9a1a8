"""Reimbursements that were taken back for no visible reason, or that paid too little."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property

from connectors.amazon.claims import cells
from connectors.amazon.claims.books import Books, Key, Payment, Reversal
from connectors.amazon.claims.cases import Case, drawn_from, evidence, key, units_of
from connectors.amazon.claims.credits import Credit, Draw, draw, total
from connectors.amazon.claims.inbound import Short, short
from connectors.amazon.claims.places import place
from connectors.amazon.claims.returns import damaged, unreturned
from connectors.amazon.claims.values import SOURCING_COST, Value
from connectors.amazon.claims.warehouse import BEFORE, Outcome, Warehouse, grouped, reconciled

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
        units = max(each.units - again.claimed(each), 0)
        if units == 0 or _turned_up(books, each):
            continue
        paid = again.paid(each, units)
        still = units - total(paid)
        original = each.original
        amount = None if each.amount is None else abs(each.amount) * still / each.units
        proof = [each.id, *([original.id] if original else [])]
        yield Case(
            key=key(each.number or each.id, each.fnsku, each.sku, each.names),
            title=f"{units_of(still, each.sku or each.fnsku)}: reimbursement taken back",
            units=still,
            base=each.day,
            place=place(currency=each.currency),
            value=Value(amount, each.currency or None, "What was taken back for these units."),
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


class _Again:
    """What else bears on a reversed unit: whether another rule claims it again as the loss that it
    is, and whether it was paid for again. What is used up here is not used twice. Each is reckoned
    when a reversal first asks for it."""

    def __init__(self, books: Books) -> None:
        self._books = books

    @cached_property
    def _warehouse(self) -> Warehouse:
        return reconciled(self._books)

    @cached_property
    def _open(self) -> Mapping[str, Mapping[str, Sequence[Credit]]]:
        return {
            "lostwarehouse": _opened(self._warehouse.lost),
            "damagedwarehouse": _opened(self._warehouse.damaged),
        }

    @cached_property
    def _orders(self) -> Mapping[Key, Sequence[Credit]] | None:
        return _open_orders(self._books) if self._books.known >= ORDERS else None

    @cached_property
    def _short(self) -> Sequence[Short]:
        return short(self._books)

    @cached_property
    def _shipments(self) -> Mapping[str, Sequence[Credit]] | None:
        return _open_shipments(self._short) if self._books.known >= SHIPMENTS else None

    @cached_property
    def _payments(self) -> Mapping[tuple[str, str, str], Sequence[Credit]]:
        return _unused(self._books, self._short)

    def claimed(self, reversal: Reversal) -> int:
        """How many of its units are open under another rule, or may be: then they are not ours."""
        original = reversal.original
        if reversal.reason in WAREHOUSE:
            credits = self._open[reversal.reason].get(reversal.fnsku, ())
            return _drawn(
                credits, reversal, lambda each: not original or each.day - BEFORE <= original.day
            )
        if reversal.reason == "lostinbound":
            if self._shipments is None:
                return reversal.units
            return _drawn(self._shipments.get(reversal.fnsku, ()), reversal, lambda _: True)
        if reversal.order:
            if self._orders is None:
                return reversal.units
            where = (reversal.order, reversal.sku)
            return _drawn(self._orders.get(where, ()), reversal, lambda _: True)
        return 0

    def paid(self, reversal: Reversal, units: int) -> tuple[Draw, ...]:
        """Payments since the reversal that nothing else needed."""
        if reversal.reason in WAREHOUSE:
            credits = self._warehouse.left.get(reversal.fnsku, ())
        else:
            credits = self._payments.get((reversal.reason, reversal.fnsku, reversal.order), ())
        return draw(credits, units, lambda each: each.day >= reversal.day)


def _drawn(credits: Sequence[Credit], reversal: Reversal, fits: Callable[[Credit], bool]) -> int:
    return total(draw(credits, reversal.units, fits))


def _opened(outcomes: Iterable[Outcome]) -> Mapping[str, Sequence[Credit]]:
    groups = grouped(outcomes, lambda each: each.event.fnsku)
    return {
        fnsku: [Credit(each.event.day, "ledger", each.event.id, each.open) for each in group]
        for fnsku, group in groups.items()
    }


def _open_orders(books: Books) -> Mapping[Key, Sequence[Credit]]:
    units: Counter[Key] = Counter()
    for where, refunds in unreturned(books).items():
        units[where] += refunds.open
    for where, returns in damaged(books).items():
        units[where] += returns.open
    return {where: [Credit(books.today, "", "", count)] for where, count in units.items()}


def _open_shipments(found: Sequence[Short]) -> Mapping[str, Sequence[Credit]]:
    groups = grouped(found, lambda each: each.consignment.fnsku)
    return {
        fnsku: [
            Credit(each.arrival.delivered, "shipments", each.consignment.shipment, each.open)
            for each in group
        ]
        for fnsku, group in groups.items()
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
