"""R16: referral fees above Amazon's own fee previews."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

from connectors.amazon.claims.facts import Charge, Facts, Preview
from connectors.amazon.claims.overcharges import Overcharge, exceeds, nearest, overcharge_cases
from connectors.amazon.claims.rule import Case
from connectors.amazon.claims.values import WITHOUT_DECIMALS

REFERRAL_FEE = "R16"
"""The code of the rule, whose window decides which charges can still be disputed."""
LEAST = Decimal("0.30")
"""The lowest referral fee for a unit, whatever its price."""
STEPS = (Decimal(10), Decimal(15), Decimal(20))
"""Prices above which some categories have a higher share."""
MINOR_UNITS = 100


def referral_overcharge(facts: Facts) -> Iterator[Case]:
    """R16. Referral fees above the share of the price that Amazon itself had announced.

    Counts: the referral fee of each sold unit, without tax, above its price times the share that
    the nearest fee preview before the sale states, and the first one after it, by more than 0.05
    and more than 2 %. Until there is a preview after it, the charge has low confidence. The price
    includes shipping and gift wrap, and tax except in the United States and Canada.

    Does not count: sales with no earlier preview; the lowest fee for a unit; sales at a price for
    which some categories have a higher share, if no preview is for such a price."""
    overcharges = [
        overcharge
        for charge in facts.sales.commissions
        if (overcharge := _overcharge(facts.products.previews.get(charge.sku, ()), charge))
    ]
    yield from overcharge_cases(facts, REFERRAL_FEE, overcharges)


def _overcharge(previews: Sequence[Preview], charge: Charge) -> Overcharge | None:
    if charge.price is None:
        return None
    fee = _fee_of(charge, charge.price / charge.units)
    before, after = nearest(previews, charge, fee)
    announced = fee(before) if before else None
    if before is None or announced is None:
        return None
    expected = max(announced, (fee(after) if after else None) or announced)
    if not exceeds(charge.total / charge.units, expected):
        return None
    after_at_price = after if after and _is_for_price(after, charge) else None
    if after_at_price is None and not _is_for_price(before, charge):
        return None
    return Overcharge(charge, before, after, announced, expected, after_at_price is not None)


def _fee_of(charge: Charge, price: Decimal) -> Callable[[Preview], Decimal | None]:
    """The referral fee of a unit of the charge, by a preview."""
    least = LEAST * _scale(charge.currency)

    def fee(preview: Preview) -> Decimal | None:
        share = preview.referral_share
        return None if share is None else max(share * price, least)

    return fee


def _is_for_price(preview: Preview, charge: Charge) -> bool:
    if preview.price is None or charge.price is None:
        return True
    price, scale = charge.price / charge.units, _scale(charge.currency)
    return not any(preview.price <= step * scale < price for step in STEPS)


def _scale(currency: str) -> int:
    return MINOR_UNITS if currency in WITHOUT_DECIMALS else 1
