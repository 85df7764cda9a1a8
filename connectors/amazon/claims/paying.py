"""Computes the payment for a settled case."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from connectors.amazon.claims.facts import Payment
from connectors.amazon.claims.rule import Case
from connectors.amazon.claims.values import money
from connectors.claims import Paid


def paid_for(case: Case, payments: Mapping[str, Payment]) -> Paid | None:
    """The amount, day and reimbursement ids of the payments that settled a case; None if its
    evidence names none. `payments` are all of the account's, by record id.

    A payment may be for more units than those of the case: only the paid units of the case count,
    the oldest payments first. Units replaced by inventory add no amount."""
    ids = case.evidence.get("reimbursements", ())
    lines = [payments[record] for record in ids if record in payments]
    lines = sorted((line for line in lines if line.units > 0), key=lambda line: (line.day, line.id))
    if not lines:
        return None
    stated = case.details.get("paid", "")
    left = int(stated) if stated.isdecimal() else sum(line.units for line in lines)
    used = []
    for line in lines:
        if (units := min(left, line.units)) > 0:
            used.append((line, units))
            left -= units
    if not used:
        return None
    amount, currency = _amount(used)
    numbers = dict.fromkeys(line.number for line, _ in used if line.number)
    return Paid(
        amount=money(amount, currency) if amount is not None else None,
        currency=currency if amount is not None else None,
        at=used[-1][0].day,
        reimbursement_id=", ".join(numbers) or None,
    )


def _amount(used: Sequence[tuple[Payment, int]]) -> tuple[Decimal | None, str]:
    """The amount for these units; None if nothing was paid in money, a line states no amount, or
    the lines are in several currencies."""
    in_money = [(line, min(units, line.cash)) for line, units in used if line.cash > 0]
    currencies = {line.currency for line, _ in in_money}
    if len(currencies) != 1 or any(line.per_unit is None for line, _ in in_money):
        return None, ""
    amounts = [line.per_unit * units for line, units in in_money if line.per_unit is not None]
    currency = currencies.pop()
    return (sum(amounts, Decimal(0)), currency) if currency else (None, "")
