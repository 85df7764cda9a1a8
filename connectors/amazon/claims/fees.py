"""R7: fulfilment fees above Amazon's own fee previews."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from connectors.amazon.claims.announced import (
    crosses,
    is_surcharged,
    may_have_changed,
    only_in_peak,
)
from connectors.amazon.claims.facts import Charge, Facts, Preview
from connectors.amazon.claims.once import once
from connectors.amazon.claims.overcharges import Overcharge, exceeds, nearest, overcharge_cases
from connectors.amazon.claims.rule import Case

FULFILMENT_FEE = "R7"
"""The code of the rule, whose window decides which charges can still be disputed."""


def fba_fee_overcharge(facts: Facts) -> Iterator[Case]:
    """R7. Fulfilment fees above the fee that Amazon itself had announced.

    Counts: the fee of each shipped unit, without tax, above the nearest fee preview from before the
    charge and above the first one after it, of the same country and in the same currency, by more
    than 0.05 and more than 2 %. Until there is a preview after it, the charge has low confidence.
    Equal charges of a product are one case; certain and uncertain charges are separate claims.

    Does not count: charges with no earlier preview, because then nothing was announced; charges
    that Amazon announced otherwise, unless a preview from after the change shows less (the peak fee
    and its end, the yearly table, the surcharge, a price above the limit for low prices); orders of
    other channels that Amazon fulfils, because they have fees of their own; charges that are too
    old to dispute, unless all of them are."""
    yield from overcharge_cases(facts, FULFILMENT_FEE, fee_overcharges(facts))


@once
def fee_overcharges(facts: Facts) -> Sequence[Overcharge]:
    """The charges that the rule claims, each with its excess."""
    return [
        overcharge
        for charge in facts.sales.charges
        if (overcharge := _overcharge(facts.products.previews.get(charge.sku, ()), charge))
    ]


def _overcharge(previews: Sequence[Preview], charge: Charge) -> Overcharge | None:
    before, after = nearest(previews, charge, _fee)
    if before is None or before.expected is None:
        return None
    expected = max(preview.expected for preview in (before, after) if preview and preview.expected)
    if not exceeds(charge.total / charge.units, expected) or is_surcharged(charge, expected):
        return None
    after_at_price = after if after and _is_for_price(after, charge) else None
    if _is_announced(before, after_at_price, charge):
        return None
    return Overcharge(charge, before, after, before.expected, expected, after_at_price is not None)


def _fee(preview: Preview) -> Decimal | None:
    return preview.expected


def _is_announced(before: Preview, after: Preview | None, charge: Charge) -> bool:
    """Whether Amazon announced a fee that neither of these previews shows."""
    first, day = before.at.date(), charge.at.date()
    if after is None:
        changed = may_have_changed(first, day, charge.place)
        return changed or not _is_for_price(before, charge)
    return only_in_peak(first, day, after.at.date(), charge.place)


def _is_for_price(preview: Preview, charge: Charge) -> bool:
    price = charge.price / charge.units if charge.price is not None else None
    return not crosses(charge.place, preview.price, price)
