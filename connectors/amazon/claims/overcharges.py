"""Charges above what Amazon's fee previews expect."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Protocol, TypeVar

import msgspec

from connectors.amazon.claims.facts import Charge, Facts, Preview
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.rule import Case, evidence, key
from connectors.amazon.claims.values import Value, money

TOLERANCE = Decimal("0.05")
TOLERANCE_SHARE = Decimal("0.02")
"""A difference per unit is noise up to the larger of TOLERANCE and this share of what was
expected."""
ZERO = Decimal(0)

Kind = tuple[str, str, str, str, str]
"""The values that the charges of one case share: SKU, place, currency, expected and charged per
unit."""


class OfCharge(Protocol):
    """A value that belongs to a charge."""

    @property
    def charge(self) -> Charge: ...


Part = TypeVar("Part", bound=OfCharge)


class Overcharge(msgspec.Struct, frozen=True):
    """A charge that is too high, and the previews around it."""

    charge: Charge
    before: Preview
    after: Preview | None
    #: The fee of a unit that the preview before the charge expects: a part of the case's key, so it
    #: must not change when a preview after it appears.
    announced: Decimal
    #: The higher of the two previews' fees for a unit.
    expected: Decimal
    #: Whether a preview from after the charge shows that it is too high.
    certain: bool

    @property
    def charged(self) -> Decimal:
        return self.charge.total / self.charge.units

    @property
    def excess(self) -> Decimal:
        """The overcharge for all units."""
        return self.charge.total - self.expected * self.charge.units

    @property
    def kind(self) -> Kind:
        # Cents in every currency, so that the ids of claims do not change.
        charge = self.charge
        return charge.sku, charge.place, charge.currency, money(self.announced), money(self.charged)

    @property
    def day(self) -> date:
        return self.charge.at.date()


def overcharge_cases(facts: Facts, code: str, overcharges: Sequence[Overcharge]) -> Iterator[Case]:
    """The cases of a rule on fees: one for each kind of charge, and one for its uncertain ones."""
    groups = grouped(overcharges, lambda overcharge: (overcharge.kind, overcharge.certain))
    for ((sku, place, *amounts), certain), group in groups.items():
        natural = key(sku, place, *amounts, "" if certain else "weak")
        yield _case(natural, *open_part(facts, code, group), units_of(group))


def open_part(facts: Facts, code: str, group: Sequence[Part]) -> tuple[Sequence[Part], date]:
    """The charges that can still be disputed and the day of the first one. If none can, all of them
    and the day of the last one."""
    days = timedelta(facts.windows.of(code, group[0].charge.place).closes)
    open_ones = [one for one in group if one.charge.at.date() + days >= facts.today]
    dates = [one.charge.at.date() for one in open_ones or group]
    return (open_ones, min(dates)) if open_ones else (group, max(dates))


def units_of(group: Sequence[OfCharge]) -> int:
    return sum(one.charge.units for one in group)


def _case(natural: str, group: Sequence[Overcharge], base: date, units_in_all: int) -> Case:
    """The case of charges of one kind; `units_in_all` includes those too old to dispute."""
    first = group[0]
    charge, currency = first.charge, first.charge.currency
    # The highest: several previews may follow charges of one kind.
    expected = money(max(over.expected for over in group), currency)
    units = units_of(group)
    previews = [preview for over in group for preview in (over.before, over.after) if preview]
    return Case(
        key=natural,
        product=charge.sku,
        units=units,
        base=base,
        place=charge.place,
        value=Value(
            sum((over.excess for over in group), ZERO),
            currency,
            f"The charge above the {expected} {currency} per unit that Amazon expected.",
        ),
        evidence=evidence(
            ("transactions", [over.charge.id for over in group]),
            ("fees", [preview.id for preview in previews]),
        ),
        details={
            "sku": charge.sku,
            "place": charge.place,
            "expected": expected,
            "charged": money(first.charged, currency),
            "first": min(over.day for over in group).isoformat(),
            "last": max(over.day for over in group).isoformat(),
            "expiredUnits": str(units_in_all - units),
        },
        low=not first.certain,
    )


def nearest(
    previews: Sequence[Preview], charge: Charge, fee: Callable[[Preview], Decimal | None]
) -> tuple[Preview | None, Preview | None]:
    """The newest preview before a charge and the first one after it, of the same country and
    currency.

    A preview may list a product several times, for marketplaces that it does not name. Then the
    highest fee counts."""
    usable = [
        (amount, preview)
        for preview in previews
        if (preview.place, preview.currency) == (charge.place, charge.currency)
        and (amount := fee(preview)) is not None
    ]
    earlier = [pair for pair in usable if pair[1].at < charge.at]
    later = usable[len(earlier) :]  # previews are sorted by time
    return (
        _highest([pair for pair in earlier if pair[1].at == earlier[-1][1].at]),
        _highest([pair for pair in later if pair[1].at == later[0][1].at]),
    )


def _highest(pairs: Sequence[tuple[Decimal, Preview]]) -> Preview | None:
    best = max(pairs, key=lambda pair: (pair[0], pair[1].id), default=None)
    return best[1] if best else None


def exceeds(charged: Decimal, expected: Decimal) -> bool:
    return charged - expected > max(TOLERANCE, expected * TOLERANCE_SHARE)
