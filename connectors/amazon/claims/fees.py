"""Fulfilment fees that were higher than Amazon's own preview of them."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

from connectors.amazon.claims.books import Books, Charge, Preview
from connectors.amazon.claims.cases import Case, evidence, key, units_of
from connectors.amazon.claims.values import Value, money
from connectors.amazon.claims.warehouse import grouped

LEAST = Decimal("0.05")
LEAST_SHARE = Decimal("0.02")
"""A difference is noise up to the larger of this, a unit, and this share of what was expected."""


def fba_fee_overcharge(books: Books) -> Iterator[Case]:
    """Fulfilment fees charged above what the newest preview from before the charge had foretold."""
    over = [
        (charge, preview, preview.expected)
        for charge in books.charges
        if (preview := expectation(books.previews.get(charge.sku, ()), charge))
        and preview.expected is not None
        and _too_much(charge.total / charge.units, preview.expected)
    ]
    groups = grouped(
        over,
        lambda each: (
            *(each[0].sku, each[0].place, each[0].currency),
            *(money(each[2]), money(each[0].total / each[0].units)),
        ),
    )
    for (sku, place, currency, expected, charged), charges in groups.items():
        days = timedelta(books.windows.of("R7", place).closes)
        live = [each for each in charges if each[0].at.date() + days >= books.today]
        counted = live or charges
        units = sum(charge.units for charge, _, _ in counted)
        amount = sum((one.total - hope * one.units for one, _, hope in counted), Decimal(0))
        first, last = (pick(one.at.date() for one, _, _ in counted) for pick in (min, max))
        yield Case(
            key=key(sku, place, currency, expected, charged),
            title=f"{units_of(units, sku)} charged {charged}, not {expected} {currency}",
            units=units,
            # The first charge that can still be disputed; once none can, the last one.
            base=first if live else last,
            place=place,
            value=Value(
                amount,
                currency,
                f"What was charged above the {expected} {currency} a unit that Amazon expected.",
            ),
            evidence=evidence(
                ("transactions", [charge.id for charge, _, _ in counted]),
                ("fees", [preview.id for _, preview, _ in counted]),
            ),
            details={
                "sku": sku,
                "place": place,
                "expected": expected,
                "charged": charged,
                "first": first.isoformat(),
                "last": last.isoformat(),
                "expiredUnits": str(sum(each[0].units for each in charges) - units),
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
