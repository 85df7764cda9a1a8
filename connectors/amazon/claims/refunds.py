"""Determines how many units the refunds of an order item cover.

The principal decides, not the quantity: a refund may be goodwill for a unit that the customer
keeps, a part of the price of one unit, or repeat the quantity that was shipped."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec

from connectors.amazon.claims.facts import Refund, SoldItem
from connectors.amazon.claims.values import CENT

HALF = Decimal("0.5")
"""The share of a unit's price below which a refund is goodwill."""


class RefundedUnits(msgspec.Struct, frozen=True):
    """Refunds that together cover whole units; the last refund completes them."""

    refunds: tuple[Refund, ...]
    units: int
    #: Whether they refund the full price of the units, and not only most of it.
    full: bool = True

    @property
    def day(self) -> date:
        return self.refunds[-1].day

    @property
    def place(self) -> str:
        return next((refund.place for refund in self.refunds if refund.place), "")


def refunded_units(refunds: Sequence[Refund], sold: SoldItem | None) -> Sequence[RefundedUnits]:
    """The units that the refunds of one order item cover, by day; never more than were sold.

    If the sale is unknown, the quantities of the refunds decide; if only its amounts are unknown,
    the quantities up to the units sold."""
    if sold is None or sold.units <= 0:
        return [RefundedUnits((refund,), refund.units) for refund in refunds]
    if amounts := _amounts(refunds, sold):
        return _by_price(refunds, *amounts, sold.units)
    if sum(refund.units for refund in refunds) > sold.units:  # parts of the price of the same units
        return [RefundedUnits(tuple(refunds), sold.units)]
    return [RefundedUnits((refund,), refund.units) for refund in refunds]


def _amounts(refunds: Sequence[Refund], sold: SoldItem) -> tuple[Sequence[Decimal], Decimal] | None:
    """The amount of each refund and the price of a unit: the principals, or the totals if a
    principal is missing. None if the amounts cannot be compared."""
    if {refund.currency for refund in refunds} != {sold.currency}:
        return None
    principals = [-refund.principal for refund in refunds if refund.principal is not None]
    totals = [-refund.total for refund in refunds if refund.total is not None]
    for refunded, received in ((principals, sold.principal), (totals, sold.total)):
        if len(refunded) == len(refunds) and received is not None and received > 0:
            return refunded, received / sold.units
    return None


def _by_price(
    refunds: Sequence[Refund], amounts: Sequence[Decimal], price: Decimal, sold: int
) -> Sequence[RefundedUnits]:
    """Add up refunds until they reach the price of a unit. A rest of half the price or more is also
    a unit, but not a full one; a smaller rest is goodwill."""
    results: list[RefundedUnits] = []
    waiting: list[Refund] = []
    refunded, done, most = Decimal(0), 0, 0
    for refund, amount in zip(refunds, amounts, strict=True):
        waiting.append(refund)
        refunded += amount
        most = min(most + refund.units, sold)
        units = min(int((refunded + CENT) / price), most) - done
        if units > 0:
            results.append(RefundedUnits(tuple(waiting), units))
            done += units
            waiting = []
    if waiting and done < most and refunded - done * price >= price * HALF:
        results.append(RefundedUnits(tuple(waiting), 1, full=False))
    return results
