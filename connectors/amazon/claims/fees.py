"""R7: fulfilment fees above Amazon's own preview of them."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from connectors.amazon.claims.facts import Charge, Facts, Preview
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.rule import Case, evidence, key
from connectors.amazon.claims.values import Value, money

FULFILMENT_FEE = "R7"
"""The code of the rule, whose window decides which charges can still be disputed."""
TOLERANCE = Decimal("0.05")
TOLERANCE_SHARE = Decimal("0.02")
"""A difference per unit is noise up to the larger of TOLERANCE and this share of what was
expected."""
ZERO = Decimal(0)

Kind = tuple[str, str, str, str, str]
"""What charges of one case have in common: SKU, place, currency, expected and charged per unit."""


class Overcharge(msgspec.Struct, frozen=True):
    """A charge that is too high, and the preview with the fee that was expected."""

    charge: Charge
    preview: Preview
    expected: Decimal

    @property
    def kind(self) -> Kind:
        charge = self.charge
        charged = money(charge.total / charge.units)
        return charge.sku, charge.place, charge.currency, money(self.expected), charged

    @property
    def day(self) -> date:
        return self.charge.at.date()


def fba_fee_overcharge(facts: Facts) -> Iterator[Case]:
    """R7. Fulfilment fees above the fee that Amazon itself had announced.

    Counts: the fee of each shipped unit, without tax, above the newest fee preview from before the
    charge, of the same marketplace and in the same currency, by more than 0.05 and more than 2 %.
    Equal charges of a product are one case.

    Does not count: charges with no earlier preview, because then nothing was announced; orders of
    other channels that Amazon fulfils, because they have fees of their own; charges that are too
    old to dispute, unless all of them are."""
    overcharges = [
        Overcharge(charge, preview, preview.expected)
        for charge in facts.sales.charges
        if (preview := _preview_before(facts.products.previews.get(charge.sku, ()), charge))
        and preview.expected is not None
        and _is_too_high(charge.total / charge.units, preview.expected)
    ]
    for kind, group in grouped(overcharges, lambda overcharge: overcharge.kind).items():
        days = timedelta(facts.windows.of(FULFILMENT_FEE, kind[1]).closes)
        open_ones = [over for over in group if over.day + days >= facts.today]
        # From the first charge that can still be disputed; once none can, from the last one.
        base = min(over.day for over in open_ones) if open_ones else max(over.day for over in group)
        yield _case(kind, open_ones or group, base, sum(over.charge.units for over in group))


def _case(kind: Kind, group: Sequence[Overcharge], base: date, units_in_all: int) -> Case:
    """The case of charges of one kind; `units_in_all` includes those too old to dispute."""
    sku, place, currency = kind[:3]
    # The key keeps its cents in every currency, so that the ids of claims do not change.
    expected, charged = (money(Decimal(text), currency) for text in kind[3:])
    units = sum(over.charge.units for over in group)
    amount = sum((over.charge.total - over.expected * over.charge.units for over in group), ZERO)
    return Case(
        key=key(*kind),
        product=sku,
        units=units,
        base=base,
        place=place,
        value=Value(
            amount,
            currency,
            f"What was charged above the {expected} {currency} per unit that Amazon expected.",
        ),
        evidence=evidence(
            ("transactions", [over.charge.id for over in group]),
            ("fees", [over.preview.id for over in group]),
        ),
        details={
            "sku": sku,
            "place": place,
            "expected": expected,
            "charged": charged,
            "first": min(over.day for over in group).isoformat(),
            "last": max(over.day for over in group).isoformat(),
            "expiredUnits": str(units_in_all - units),
        },
    )


def _preview_before(previews: Sequence[Preview], charge: Charge) -> Preview | None:
    """The newest preview from before a charge, of the same marketplace and currency.

    A preview may list a product several times, for marketplaces that it does not name. Then the
    highest fee is the expected one."""
    earlier = [
        preview
        for preview in previews
        if preview.at < charge.at
        and preview.expected is not None
        and (preview.place, preview.currency) == (charge.place, charge.currency)
    ]
    newest = [preview for preview in earlier if preview.at == earlier[-1].at]
    return max(newest, key=lambda preview: (preview.expected, preview.id), default=None)


def _is_too_high(charged: Decimal, expected: Decimal) -> bool:
    return charged - expected > max(TOLERANCE, expected * TOLERANCE_SHARE)
