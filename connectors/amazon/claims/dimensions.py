"""R19: fulfilment fees of products that Amazon measured larger than before, or larger than the
seller did."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from connectors.amazon.cells import label
from connectors.amazon.claims.announced import crosses, is_surcharged, may_have_changed
from connectors.amazon.claims.facts import Charge, Facts, Preview
from connectors.amazon.claims.fees import fee_overcharges
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.measures import Measures, is_above, is_disputed, is_larger
from connectors.amazon.claims.overcharges import exceeds, open_part, units_of
from connectors.amazon.claims.rule import Case, evidence, key
from connectors.amazon.claims.values import Value, money, unknown

FEE_BY_DIMENSIONS = "R19"
"""The code of the rule, whose window decides which charges can still be disputed."""
ZERO = Decimal(0)

Series = Sequence[Preview]
"""The previews of a product for one country and currency, one for each moment, the oldest first."""


class Mismeasured(msgspec.Struct, frozen=True):
    """A charge for a product that Amazon measured larger."""

    charge: Charge
    #: The preview with the larger measures.
    large: Preview
    #: The preview with the fee for the smaller ones; None if none was kept.
    small: Preview | None
    #: The seller's own measures.
    own: Measures | None
    #: Whether Amazon raised its measures; if not, they are only above the seller's.
    raised: bool
    #: Whether no announced change of fees explains the higher fee.
    comparable: bool

    @property
    def excess(self) -> Decimal | None:
        """The overcharge for all units; None if it is unknown."""
        if self.small is None or self.small.expected is None or not self.comparable:
            return None
        return self.charge.total - self.small.expected * self.charge.units

    @property
    def kind(self) -> tuple[str, ...]:
        """The values that the charges of one case share. They stay the same when the seller enters
        measures, or when a later preview shows the fee for those measures."""
        charge, fee = self.charge, self.small.expected if self.small else None
        before = money(fee) if self.raised and fee is not None else "table"
        later = "" if self.comparable else "announced"
        charged = money(charge.total / charge.units)
        return charge.sku, charge.place, charge.currency, before, charged, later


def fee_by_dimensions(facts: Facts) -> Iterator[Case]:
    """R19. Fulfilment fees that rose because Amazon measured an unchanged product larger.

    Counts: the fee of each shipped unit above the fee of the last preview before Amazon raised a
    side, the weight or the size tier of the same ASIN and FNSKU, by more than 0.05 and more than
    2 %. Without the seller's own measures it has low confidence, because Amazon's measurement may
    be right. Also the fee of units that Amazon measured larger than the seller; its amount is
    unknown unless another preview shows the fee for the seller's measures. After an announced
    change of fees the earlier fee is not comparable: the amount is unknown.

    Does not count: charges of R7; a raise that the seller's own measures confirm; a raise without
    a higher fee, or between two previews of which only the later one is from after an announced
    change; differences from the seller's measures of at most 2 %, 0.5 cm or 10 g; charges that are
    too old to dispute, unless all of them are."""
    claimed = {overcharge.charge for overcharge in fee_overcharges(facts)}
    series = _AllSeries(facts)
    found = [
        mismeasured
        for charge in facts.sales.charges
        if charge not in claimed and (mismeasured := _mismeasured(series.of(charge), charge))
    ]
    for kind, group in grouped(found, lambda one: one.kind).items():
        part, base = open_part(facts, FEE_BY_DIMENSIONS, group)
        first, value = part[0], _value(part)
        yield Case(
            key=key(*kind),
            product=first.charge.sku,
            units=units_of(part),
            base=base,
            place=first.charge.place,
            value=value,
            evidence=evidence(
                ("transactions", [one.charge.id for one in part]),
                ("fees", [row.id for one in part for row in (one.small, one.large) if row]),
            ),
            details=_details(part, units_of(group)),
            low=first.own is None or value.amount is None,
        )


# Previews ---------------------------------------------------------------------------------------


class _Measurements(msgspec.Struct, frozen=True):
    """The measurements of a product by Amazon and by the seller."""

    own: Measures | None
    previews: Series
    #: For each preview, the last one before its measures were raised; None if they were not.
    before: Sequence[Preview | None]


class _AllSeries:
    """The previews of each product by country and currency, prepared once for all its charges."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._prepared: dict[tuple[str, str, str], _Measurements] = {}

    def of(self, charge: Charge) -> _Measurements:
        series = (charge.sku, charge.place, charge.currency)
        if series not in self._prepared:
            usable = [
                row
                for row in self._facts.products.previews.get(charge.sku, ())
                if (row.place, row.currency) == series[1:] and row.expected is not None
            ]
            # If several rows have the same time, the one with the highest fee counts.
            newest = {
                row.at: row
                for row in sorted(usable, key=lambda row: (row.expected or ZERO, row.id))
            }
            previews = [newest[at] for at in sorted(newest)]
            own = self._facts.measures(charge.sku)
            self._prepared[series] = _Measurements(own, previews, _before_raises(previews))
        return self._prepared[series]


def _before_raises(previews: Series) -> Sequence[Preview | None]:
    before: list[Preview | None] = []
    for number, row in enumerate(previews):
        last, lowest = (previews[number - 1], before[number - 1]) if number else (None, None)
        if lowest and _measures_grew(lowest, row):
            before.append(lowest)
        else:
            before.append(last if last and _raised(last, row) else None)
    return before


def _raised(earlier: Preview, later: Preview) -> bool:
    """Whether larger measures alone explain a higher fee."""
    return (
        _measures_grew(earlier, later)
        and exceeds(later.expected or ZERO, earlier.expected or ZERO)
        and not may_have_changed(earlier.at.date(), later.at.date(), later.place)
        and not crosses(later.place, earlier.price, later.price)
    )


def _measures_grew(earlier: Preview, later: Preview) -> bool:
    if earlier.item != later.item:
        return False
    return is_larger(later.measures, earlier.measures) or _other_tier(earlier, later)


def _other_tier(earlier: Preview, later: Preview) -> bool:
    one, other = label(earlier.tier), label(later.tier)
    return bool(one and other) and one != other


# Charges ----------------------------------------------------------------------------------------


def _mismeasured(series: _Measurements, charge: Charge) -> Mismeasured | None:
    own, previews = series.own, series.previews
    later = bisect_left(previews, charge.at, key=lambda row: row.at)
    around = [number for number in (later - 1, later) if 0 <= number < len(previews)]
    for number in around:
        small, large = series.before[number], previews[number]
        if small is None or small.at >= charge.at or not _is_higher(charge, small):
            continue
        if own is None or _supports(own, small, large):
            comparable = _is_comparable(small, charge)
            return Mismeasured(charge, large, small, own, True, comparable)
    return _above_own(previews, previews[around[0]], charge, own) if own and around else None


def _supports(own: Measures, small: Preview, large: Preview) -> bool:
    """Whether the seller's measures match the smaller ones. If only the tier was raised, they must
    not exceed Amazon's."""
    if not is_larger(large.measures, small.measures):
        return not is_above(own, large.measures)
    disputed = is_disputed(large.measures, small.measures, own)
    return disputed and not is_above(own, small.measures)


def _above_own(
    previews: Series, large: Preview, charge: Charge, own: Measures
) -> Mismeasured | None:
    """The charge, if Amazon measured the product larger than the seller. The fee due is that of a
    comparable preview with the seller's measures: the last one before the charge, or else the first
    one."""
    if not is_above(large.measures, own):
        return None
    fitting = [
        row
        for row in previews
        if row.item == large.item
        and not is_above(row.measures, own)
        and not is_above(own, row.measures)
        and _is_comparable(row, charge)
    ]
    earlier = [row for row in fitting if row.at < charge.at]
    small = next(iter((*earlier[-1:], *fitting)), None)
    if small and not _is_higher(charge, small):
        return None
    return Mismeasured(charge, large, small, own, raised=False, comparable=True)


def _is_higher(charge: Charge, small: Preview) -> bool:
    fee = small.expected or ZERO
    return exceeds(charge.total / charge.units, fee) and not is_surcharged(charge, fee)


def _is_comparable(small: Preview, charge: Charge) -> bool:
    """Whether no announced change and no limit for low prices is between a preview and a charge."""
    first, last = sorted((small.at.date(), charge.at.date()))
    price = charge.price / charge.units if charge.price is not None else None
    return not (
        may_have_changed(first, last, charge.place) or crosses(charge.place, small.price, price)
    )


# Cases ------------------------------------------------------------------------------------------


def _value(group: Sequence[Mismeasured]) -> Value:
    first, amounts = group[0], [one.excess for one in group]
    known = [amount for amount in amounts if amount is not None]
    if len(known) == len(amounts) and first.small and first.small.expected is not None:
        currency = first.charge.currency
        fee = money(first.small.expected, currency)
        basis = f"The charge above the {fee} {currency} per unit for the smaller measures."
        return Value(sum(known, ZERO), currency, basis)
    if first.small is None:
        return unknown("no fee preview of that time shows the fee for your measures.")
    return unknown("Amazon announced other fees since the preview with the smaller measures.")


def _details(group: Sequence[Mismeasured], units_in_all: int) -> Mapping[str, str]:
    first, charge = group[0], group[0].charge
    days = [one.charge.at.date() for one in group]
    fee = first.small.expected if first.small else None
    return {
        "sku": charge.sku,
        "place": charge.place,
        "charged": money(charge.total / charge.units, charge.currency),
        "feeBefore": money(fee, charge.currency) if fee is not None else "",
        "smallerMeasures": _words(first.small) if first.small else "",
        "largerMeasures": _words(first.large),
        "yourMeasures": str(first.own) if first.own else "",
        "first": min(days).isoformat(),
        "last": max(days).isoformat(),
        "expiredUnits": str(units_in_all - units_of(group)),
    }


def _words(preview: Preview) -> str:
    return ", ".join(filter(None, (str(preview.measures), preview.tier)))
