"""Reimbursements: what was paid, net of what was taken back."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from connectors.amazon.cells import day, decimal, label, text, whole
from connectors.amazon.claims.books import Payment, Reversal
from connectors.amazon.claims.reading.rows import Rows, needed
from connectors.amazon.claims.warehouse import grouped


class PaymentRow(msgspec.Struct):
    """A row's cells."""

    approvaldate: Any = None
    reimbursementid: Any = None
    caseid: Any = None
    amazonorderid: Any = None
    reason: Any = None
    sku: Any = None
    fnsku: Any = None
    currencyunit: Any = None
    amountperunit: Any = None
    amounttotal: Any = None
    quantityreimbursedcash: Any = None
    quantityreimbursedinventory: Any = None
    quantityreimbursedtotal: Any = None
    originalreimbursementid: Any = None
    originalreimbursementtype: Any = None


class _Row(msgspec.Struct, frozen=True):
    """A row as it is, before payments and reversals are told apart."""

    day: date
    id: str
    number: str
    case: str
    order: str
    reason: str
    sku: str
    fnsku: str
    currency: str
    each: Decimal | None
    total: Decimal | None
    cash: int
    units: int | None
    original: str
    kind: str

    @property
    def takes_back(self) -> bool:
        signs = (self.total or 0, self.units or 0)
        return self.reason == "reimbursementreversal" or min(signs) < 0


def read_payments(rows: Rows) -> tuple[Sequence[Payment], Sequence[Reversal]]:
    """Payments less their reversals, and the reversals; a row that comes twice counts once."""
    found: dict[tuple[str, ...], _Row] = {}
    for row in rows.read("reimbursements", PaymentRow, _row):
        # One number may be for several orders.
        kind = ("back", row.original) if row.takes_back else ("paid", row.reason, row.order)
        natural = (row.number or row.id, row.sku, row.fnsku, *kind)
        if natural not in found or row.id < found[natural].id:
            found[natural] = row
    ordered = sorted(found.values(), key=lambda each: (each.day, each.id))
    return _netted(ordered)


def _row(record: str, row: PaymentRow) -> _Row:
    each, total = decimal(row.amountperunit), decimal(row.amounttotal)
    cash, inventory = whole(row.quantityreimbursedcash), whole(row.quantityreimbursedinventory)
    units = _all(whole(row.quantityreimbursedtotal), cash, inventory)
    if units is None and each and total:
        units = int(total / each)
    if each is None and total is not None and cash:
        each = total / cash
    found = _Row(
        day=needed(day(row.approvaldate)),
        id=record,
        number=text(row.reimbursementid),
        case=text(row.caseid),
        order=text(row.amazonorderid),
        reason=label(text(row.reason)),
        sku=text(row.sku),
        fnsku=text(row.fnsku),
        currency=text(row.currencyunit).upper(),
        each=each,
        total=total,
        cash=(units or 0) if cash is None else cash,
        units=units,
        original=text(row.originalreimbursementid),
        kind=label(text(row.originalreimbursementtype)),
    )
    if not found.takes_back:
        needed(units)
    return found


def _all(told: int | None, cash: int | None, inventory: int | None) -> int | None:
    """Units paid for in all; those in kind may be told only by themselves."""
    if told or (cash is None and inventory is None):
        return told
    return (cash or 0) + (inventory or 0)


def _netted(rows: Sequence[_Row]) -> tuple[Sequence[Payment], Sequence[Reversal]]:
    payments = {each.id: _payment(each) for each in rows if not each.takes_back}
    numbered = grouped(
        (each for each in payments.values() if each.number), lambda each: each.number
    )
    reversals: dict[tuple[str, ...], Reversal] = {}
    for row in rows:
        if not row.takes_back:
            continue
        originals = [each for each in numbered.get(row.original, ()) if _reverses(row, each)]
        originals.sort(key=lambda each: (each.reason != row.kind, each.day, each.id))
        found = _reversal(row, originals[0] if originals else None)
        natural = (found.number or found.id, found.sku, found.fnsku, found.names)
        if natural in reversals:
            continue  # the same again, this time with the product that it had left to its original
        reversals[natural] = found
        left = found.units
        for original in originals:
            now = payments[original.id]
            units = min(left, now.units)
            left -= units
            payments[original.id] = msgspec.structs.replace(
                now, units=now.units - units, cash=max(now.cash - units, 0)
            )
    taken = sorted(reversals.values(), key=lambda each: (each.day, each.id))
    return _in_order(payments.values()), taken


def _in_order(payments: Iterable[Payment]) -> Sequence[Payment]:
    return sorted(payments, key=lambda each: (each.day, each.id))


def _payment(row: _Row) -> Payment:
    return Payment(
        day=row.day,
        id=row.id,
        number=row.number,
        case=row.case,
        order=row.order,
        reason=row.reason,
        sku=row.sku,
        fnsku=row.fnsku,
        currency=row.currency,
        each=row.each,
        cash=row.cash,
        units=row.units or 0,
    )


def _reverses(row: _Row, payment: Payment) -> bool:
    """A reversal is of its own product only, as far as both rows name it."""
    pairs = ((row.fnsku, payment.fnsku), (row.sku, payment.sku))
    return all(not one or not other or one == other for one, other in pairs)


def _reversal(row: _Row, original: Payment | None) -> Reversal:
    """How many units it takes back: as it says, else as many as its amount is worth, else all."""
    units = abs(row.units) if row.units else None
    each = original.each if original else None
    if units is None and row.total and each:
        units = int(abs(row.total / each))
    if units is None:
        units = original.units if original else 1
    return Reversal(
        day=row.day,
        id=row.id,
        number=row.number,
        names=row.original,
        order=row.order or (original.order if original else ""),
        reason=original.reason if original else row.kind,
        sku=row.sku or (original.sku if original else ""),
        fnsku=row.fnsku or (original.fnsku if original else ""),
        currency=row.currency,
        amount=row.total,
        units=units,
        original=original,
    )
