"""Fee changes that Amazon announced, which are not overcharges.

A preview from before such a change does not show the fee due after it. Sources: Amazon's pages on
FBA peak fulfilment fees (15 October to 14 January), on the yearly table of fees (on some day of
January), on the surcharge of 3.5 % since 2026-04-17, and on FBA rates for low prices."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

from connectors.amazon.claims.facts import Charge

NORTH_AMERICA = frozenset({"US", "CA"})
PEAK_BEGINS = (10, 15)
PEAK_ENDED = (1, 15)
DAY = timedelta(days=1)
SURCHARGED_SINCE = date(2026, 4, 17)
SURCHARGE = Decimal("1.035")
CENT = Decimal("0.01")

EUROPEAN_LOW_PRICES = tuple(Decimal(price) for price in (10, 11, 12, 20))
LOW_PRICES: Mapping[str, Sequence[Decimal]] = {"US": (Decimal("9.99"),), "JP": (Decimal(1_000),)}
"""The prices up to which a unit has a lower fulfilment fee. Those of Europe differ by country and
year."""


def may_have_changed(earlier: date, later: date, place: str) -> bool:
    """Whether an announced change of fulfilment fees can have taken effect after `earlier` and by
    `later`."""
    if place not in NORTH_AMERICA:
        return False
    changes = [(SURCHARGED_SINCE, SURCHARGED_SINCE)]
    for year in range(earlier.year, later.year + 1):
        changes.append((date(year, 1, 1), date(year, 1, 31)))  # the table, and the end of the peak
        changes.append((date(year, *PEAK_BEGINS), date(year, *PEAK_BEGINS)))
    return any(max(earlier + DAY, first) <= min(later, last) for first, last in changes)


def only_in_peak(before: date, charged: date, after: date, place: str) -> bool:
    """Whether a charge is from a peak period, and neither preview around it is."""
    peak = _peak(charged)
    if place not in NORTH_AMERICA or peak is None:
        return False
    return peak not in (_peak(before), _peak(after))


def _peak(day: date) -> int | None:
    """The year in which the peak period of a day began; None on other days."""
    if (day.month, day.day) >= PEAK_BEGINS:
        return day.year
    return day.year - 1 if (day.month, day.day) < PEAK_ENDED else None


def crosses(place: str, announced: Decimal | None, sold: Decimal | None) -> bool:
    """Whether a unit was sold above a limit for low prices, while its preview was for a price
    within the limit. False if a price is unknown."""
    if announced is None or sold is None:
        return False
    limits = LOW_PRICES.get(place, EUROPEAN_LOW_PRICES)
    return any(announced <= limit < sold for limit in limits)


def is_surcharged(charge: Charge, expected: Decimal) -> bool:
    """Whether a charge is just the expected fee with the surcharge, to the cent."""
    if charge.place not in NORTH_AMERICA or charge.at.date() < SURCHARGED_SINCE:
        return False
    return abs(charge.total / charge.units - expected * SURCHARGE) <= CENT
