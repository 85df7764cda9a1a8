"""The refunds of an order: of whole units, in parts, as goodwill, or with a wrong fee."""

from collections.abc import Mapping, Sequence

import msgspec

from connectors.amazon_sandbox.generator.sales import Line
from connectors.amazon_sandbox.generator.times import DAY

_RETAINED_SHARE = 5  # Amazon keeps a fifth of the referral fee that it gives back
_LEAST_SECOND_PART = 50  # percent; a smaller second refund comes on top of the whole price

# Refunds of one unit in parts: days after the first refund, and percent of the unit's price.
_PARTS: Mapping[str, Sequence[tuple[int, int]]] = {
    "goodwill": ((0, 5),),
    "kept_mostly": ((0, 70),),
    "kept_in_parts": ((0, 25), (6, 75)),
    "returned_in_parts": ((0, 30), (3, 70)),
    "damaged_in_parts": ((0, 40), (5, 60)),
    "refunded_too_much": ((0, 100), (4, 15)),
}

JUDGED_BY_PRICE = frozenset({*_PARTS, "kept_repeated"})
"""Outcomes whose refunded units cannot be known without the price of the sale."""


class RefundPart(msgspec.Struct, frozen=True, gc=False):
    """One refund. Amounts are in cents and positive."""

    #: Counts the refunds of its order, from 0.
    number: int
    posted: int
    #: The quantity that its posting states, which may be that of the shipment.
    quantity: int
    #: The part of the price.
    principal: int
    tax: int
    #: The referral fee that Amazon gives back, and what it keeps of it.
    commission: int
    retained: int

    @property
    def cents(self) -> int:
        """The amount of its posting, negative. Tax cancels out."""
        return self.commission - self.principal - self.retained


class Refunded(msgspec.Struct, frozen=True):
    """The refunds of one item that are known."""

    parts: tuple[RefundPart, ...]
    #: The units whose price is refunded; goodwill refunds none.
    units: int

    @property
    def cents(self) -> int:
        """The amount that they took from the seller, negative."""
        return sum(part.cents for part in self.parts)

    @property
    def principal(self) -> int:
        return sum(part.principal for part in self.parts)


def refunds_of(
    outcome: str, line: Line, refunded: int, rate: int, *, keeps_fee: bool
) -> Sequence[RefundPart]:
    """The refunds of an item, the first one at the moment `refunded`.

    `rate`: the referral fee that was charged, in percent. `keeps_fee`: Amazon may keep it all."""
    if outcome in _PARTS:
        return [
            _part(line, number, refunded + after * DAY, percent, rate)
            for number, (after, percent) in enumerate(_PARTS[outcome])
        ]
    units = 1 if outcome == "kept_repeated" else line.fulfilled
    commission = line.price * rate // 100
    keeps_all = keeps_fee and outcome == "returned_fee_kept"
    return [
        RefundPart(
            number=0,
            posted=refunded,
            quantity=line.fulfilled,
            principal=line.price * units,
            tax=line.tax * units,
            commission=commission * units,
            retained=(commission if keeps_all else commission // _RETAINED_SHARE) * units,
        )
    ]


def refunded_so_far(line: Line, parts: Sequence[RefundPart]) -> Refunded:
    """The refunds by now, and the units that they cover: half of the price counts as a unit."""
    principal = sum(part.principal for part in parts)
    units, rest = divmod(principal, line.price)
    return Refunded(tuple(parts), min(line.fulfilled, units + (2 * rest >= line.price)))


def _part(line: Line, number: int, posted: int, percent: int, rate: int) -> RefundPart:
    """A part of the price of one unit. Amounts refunded beyond the price return no fee."""
    beyond = number > 0 and percent < _LEAST_SECOND_PART
    # The second part is the rest, so that both add up to the price.
    rest = line.price - line.price * (100 - percent) // 100
    commission = 0 if beyond else line.price * rate // 100 * percent // 100
    return RefundPart(
        number=number,
        posted=posted,
        quantity=1,
        principal=rest if number and not beyond else line.price * percent // 100,
        tax=0 if beyond else line.tax * percent // 100,
        commission=commission,
        retained=commission // _RETAINED_SHARE,
    )
