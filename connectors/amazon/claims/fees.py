"""Fulfilment fees that were higher than Amazon's own preview of them."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from connectors.amazon.claims.books import Books, Charge, Preview
from connectors.amazon.claims.cases import Case, evidence, key, units_of
from connectors.amazon.claims.values import Value, money
from connectors.amazon.claims.warehouse import grouped

LEAST = Decimal("0.05")
LEAST_SHARE = Decimal("0.02")
"""A difference is noise up to the larger of this, a unit, and this share of what was expected."""
ZERO = Decimal(0)

Same = tuple[str, str, str, str, str]
"""What charges have in common: SKU, place, currency, what was expected and charged for a unit."""


class Over(msgspec.Struct, frozen=True):
    """A charge that is too high, and the preview that says what it had to be."""

    charge: Charge
    preview: Preview
    expected: Decimal

    @property
    def same(self) -> Same:
        each = money(self.charge.total / self.charge.units)
        charge = self.charge
        return charge.sku, charge.place, charge.currency, money(self.expected), each

    @property
    def day(self) -> date:
        return self.charge.at.date()


def fba_fee_overcharge(books: Books) -> Iterator[Case]:
    """Fulfilment fees charged above what the newest preview from before the charge had foretold."""
    over = [
        Over(charge, preview, preview.expected)
        for charge in books.charges
        if (preview := expectation(books.previews.get(charge.sku, ()), charge))
        and preview.expected is not None
        and _too_much(charge.total / charge.units, preview.expected)
    ]
    for same, charges in grouped(over, lambda each: each.same).items():
        days = timedelta(books.windows.of("R7", same[1]).closes)
        live = [each for each in charges if each.day + days >= books.today]
        # From the first charge that can still be disputed; once none can, from the last one.
        base = min(each.day for each in live) if live else max(each.day for each in charges)
        counted = live or charges
        yield _case(same, counted, base, sum(each.charge.units for each in charges))


def _case(same: Same, counted: Sequence[Over], base: date, charged_in_all: int) -> Case:
    """Of charges alike, those that are `counted`: expired ones only if no others are left."""
    sku, place, currency, expected, charged = same
    units = sum(each.charge.units for each in counted)
    amount = sum((each.charge.total - each.expected * each.charge.units for each in counted), ZERO)
    return Case(
        key=key(*same),
        title=f"{units_of(units, sku)} charged {charged}, not {expected} {currency}",
        units=units,
        base=base,
        place=place,
        value=Value(
            amount,
            currency,
            f"What was charged above the {expected} {currency} a unit that Amazon expected.",
        ),
        evidence=evidence(
            ("transactions", [each.charge.id for each in counted]),
            ("fees", [each.preview.id for each in counted]),
        ),
        details={
            "sku": sku,
            "place": place,
            "expected": expected,
            "charged": charged,
            "first": min(each.day for each in counted).isoformat(),
            "last": max(each.day for each in counted).isoformat(),
            "expiredUnits": str(charged_in_all - units),
        },
    )


def expectation(previews: Sequence[Preview], charge: Charge) -> Preview | None:
    """The preview nearest before a charge, of the same marketplace and in the same currency. One
    preview may list a product several times, for marketplaces that it does not tell apart: then
    the highest fee is what was expected."""
    before = [
        each
        for each in previews
        if each.at < charge.at
        and each.expected is not None
        and (each.place, each.currency) == (charge.place, charge.currency)
    ]
    nearest = [each for each in before if each.at == before[-1].at]
    return max(nearest, key=lambda each: (each.expected, each.id), default=None)


def _too_much(charged: Decimal, expected: Decimal) -> bool:
    return charged - expected > max(LEAST, expected * LEAST_SHARE)
