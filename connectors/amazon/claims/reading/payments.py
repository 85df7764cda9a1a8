"""Reads reimbursements: payments net of their reversals, and the reversals."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from connectors.amazon.cells import day, decimal, label, text, whole
from connectors.amazon.claims.codes import REVERSED
from connectors.amazon.claims.facts import Payment, Reversal
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.reading.reader import DatasetReader, needed

Number = TypeVar("Number", int, Decimal)
Dated = TypeVar("Dated", Payment, Reversal)


class ReimbursementRow(msgspec.Struct):
    """A row of the reimbursements report."""

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


class _Entry(msgspec.Struct, frozen=True):
    """A row with its cells as values: a payment or a reversal."""

    day: date
    id: str
    number: str
    case: str
    order: str
    reason: str
    sku: str
    fnsku: str
    currency: str
    per_unit: Decimal | None
    total: Decimal | None
    cash: int
    units: int | None
    original_number: str
    original_reason: str
    #: The records of all its lines.
    records: tuple[str, ...]

    @property
    def is_reversal(self) -> bool:
        signs = (self.total or 0, self.units or 0)
        return self.reason == REVERSED or min(signs) < 0


def read_payments(reader: DatasetReader) -> tuple[Sequence[Payment], Sequence[Reversal]]:
    """The payments less the amounts taken back, and the reversals.

    One reimbursement id may have several lines, also equal ones (Seller Central help 200732720).
    Every line is a payment; the lines of a reversal are added up."""
    rows = reader.read("reimbursements", ReimbursementRow, _entry)
    entries = sorted(rows, key=lambda entry: (entry.day, entry.id))
    return _net(
        [entry for entry in entries if not entry.is_reversal],
        _add_up_lines(entry for entry in entries if entry.is_reversal),
    )


def _add_up_lines(reversals: Iterable[_Entry]) -> Sequence[_Entry]:
    lines = grouped(
        reversals,
        lambda entry: (entry.number or entry.id, entry.sku, entry.fnsku, entry.original_number),
    )
    return [
        msgspec.structs.replace(
            group[0],
            total=_sum([entry.total for entry in group]),
            units=_sum([entry.units for entry in group]),
            records=tuple(entry.id for entry in group),
        )
        for group in lines.values()
    ]


def _sum(values: Sequence[Number | None]) -> Number | None:
    """The sum; None if a value is missing."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return None
    return sum(numbers[1:], numbers[0])


def _entry(record: str, row: ReimbursementRow) -> _Entry:
    per_unit, total = decimal(row.amountperunit), decimal(row.amounttotal)
    cash, inventory = whole(row.quantityreimbursedcash), whole(row.quantityreimbursedinventory)
    units = _units_in_all(whole(row.quantityreimbursedtotal), cash, inventory)
    if units is None and per_unit and total:
        units = int(total / per_unit)
    if per_unit is None and total is not None and cash:
        per_unit = total / cash
    entry = _Entry(
        day=needed(day(row.approvaldate)),
        id=record,
        number=text(row.reimbursementid),
        case=text(row.caseid),
        order=text(row.amazonorderid),
        reason=label(text(row.reason)),
        sku=text(row.sku),
        fnsku=text(row.fnsku),
        currency=text(row.currencyunit).upper(),
        per_unit=per_unit,
        total=total,
        cash=(units or 0) if cash is None else cash,
        units=units,
        original_number=text(row.originalreimbursementid),
        original_reason=label(text(row.originalreimbursementtype)),
        records=(record,),
    )
    if not entry.is_reversal:
        needed(units)
    return entry


def _units_in_all(total: int | None, cash: int | None, inventory: int | None) -> int | None:
    """Units in money and in inventory. The total may leave out those in inventory."""
    if total or (cash is None and inventory is None):
        return total
    return (cash or 0) + (inventory or 0)


def _net(
    paid: Sequence[_Entry], reversed_: Sequence[_Entry]
) -> tuple[Sequence[Payment], Sequence[Reversal]]:
    """Subtract each reversal from the payments that it names."""
    payments = {entry.id: _payment(entry) for entry in paid}
    by_number = grouped(
        (payment for payment in payments.values() if payment.number),
        lambda payment: payment.number,
    )
    reversals: dict[tuple[str, ...], Reversal] = {}
    undoing = _undoing(reversed_)
    for entry in reversed_:
        if entry in undoing.get(entry.original_number, ()):
            continue
        originals = _originals(entry, by_number.get(entry.original_number, ()))
        reversal = _reversal(entry, originals[0] if originals else None)
        reversal = _undone(reversal, undoing.get(reversal.number, ()))
        natural = (
            reversal.number or reversal.id,
            reversal.sku,
            reversal.fnsku,
            reversal.original_number,
        )
        if natural in reversals:
            continue  # the same reversal, once with its product and once without
        reversals[natural] = reversal
        left = reversal.units
        for original in originals:
            payment = payments[original.id]
            units = min(left, payment.units)
            left -= units
            payments[original.id] = msgspec.structs.replace(
                payment, units=payment.units - units, cash=max(payment.cash - units, 0)
            )
    return _by_day(payments.values()), _by_day(reversals.values())


def _undoing(reversals: Sequence[_Entry]) -> Mapping[str, Sequence[_Entry]]:
    """Rows that take back a reversal, by its number. They are reversals whose original is a
    reversal, and they pay money."""
    numbers = {entry.number for entry in reversals if entry.number}
    undoing = [
        entry
        for entry in reversals
        if entry.original_number in numbers - {entry.number}
        and (entry.total or 0) > 0
        and (entry.units or 0) >= 0
    ]
    return grouped(undoing, lambda entry: entry.original_number)


def _undone(reversal: Reversal, undoing: Sequence[_Entry]) -> Reversal:
    """The reversal, less the part that was taken back."""
    for entry in undoing:
        if not _is_same_product(entry, reversal) or not reversal.units:
            continue
        per_unit = abs(reversal.amount or Decimal(0)) / reversal.units
        units = entry.units or reversal.units
        if not entry.units and entry.total and per_unit:
            units = int(entry.total / per_unit)
        left = max(reversal.units - units, 0)
        reversal = msgspec.structs.replace(
            reversal,
            units=left,
            amount=reversal.amount and reversal.amount * left / reversal.units,
            records=(*reversal.records, *entry.records),
        )
    return reversal


def _originals(entry: _Entry, payments: Iterable[Payment]) -> Sequence[Payment]:
    """The payments that a reversal may take back, those with its reason first."""
    return sorted(
        (payment for payment in payments if _is_same_product(entry, payment)),
        key=lambda payment: (payment.reason != entry.original_reason, payment.day, payment.id),
    )


def _by_day(rows: Iterable[Dated]) -> Sequence[Dated]:
    return sorted(rows, key=lambda row: (row.day, row.id))


def _payment(entry: _Entry) -> Payment:
    return Payment(
        day=entry.day,
        id=entry.id,
        number=entry.number,
        case=entry.case,
        order=entry.order,
        reason=entry.reason,
        sku=entry.sku,
        fnsku=entry.fnsku,
        currency=entry.currency,
        per_unit=entry.per_unit,
        cash=entry.cash,
        units=entry.units or 0,
    )


def _is_same_product(entry: _Entry, row: Payment | Reversal) -> bool:
    """Whether the product is the same, as far as both rows name it."""
    pairs = ((entry.fnsku, row.fnsku), (entry.sku, row.sku))
    return all(not one or not other or one == other for one, other in pairs)


def _reversal(entry: _Entry, original: Payment | None) -> Reversal:
    """A reversal. Its units are those that it states, else those that its amount is worth, else
    all."""
    units = abs(entry.units) if entry.units else None
    per_unit = original.per_unit if original else None
    if units is None and entry.total and per_unit:
        units = int(abs(entry.total / per_unit))
    if units is None:
        units = original.units if original else 1
    return Reversal(
        day=entry.day,
        id=entry.id,
        records=entry.records,
        number=entry.number,
        original_number=entry.original_number,
        order=entry.order or (original.order if original else ""),
        reason=original.reason if original else entry.original_reason,
        sku=entry.sku or (original.sku if original else ""),
        fnsku=entry.fnsku or (original.fnsku if original else ""),
        currency=entry.currency,
        amount=entry.total,
        units=units,
        original=original,
    )
