"""Fulfilment and referral fees per unit, as charged and as announced by previews."""

from collections.abc import Iterator, Sequence
from datetime import date

import msgspec

from connectors.amazon_sandbox.generator.catalogue import LOW_PRICED, Product
from connectors.amazon_sandbox.generator.randomness import seeded_random
from connectors.amazon_sandbox.generator.sizes import HARMLESS, Size, is_mismeasured, measured
from connectors.amazon_sandbox.generator.times import DAY, day

_CYCLE = 80 * DAY
_DEVIATION_SPAN = 40 * DAY  # how long in each cycle a product is charged a wrong fee
_PREVIEW_INTERVAL = 30 * DAY
_PREVIEW_RETENTION = 88 * DAY
_PREVIEW_AGE = 4 * DAY  # Amazon makes a new one every three days

# The anomaly of the first product in each of these twentieths of the catalogue.
_ANOMALIES = {
    1: "remeasured_1",
    2: "overcharged",
    3: HARMLESS,
    4: "referral_overcharged",
    5: "tolerated",
    7: "remeasured_3",
    8: "raised",
    10: "referral_raised",
    11: "undercharged",
    12: "remeasured_5",
    13: "referral_overcharged",
    14: "overcharged",
    17: "overcharged",
    LOW_PRICED: "low_priced",
}
_DEVIATIONS = {"overcharged": 85, "tolerated": 4, "undercharged": -35}
_INCREASE = 45
_FOR_SIZE = 64
_REFERRAL_DEVIATION = 3  # percentage points
_REFERRAL_INCREASE = 2
_ABROAD = 60  # a unit that is fulfilled in another country than the seller's own

# Amazon's announced changes, in the countries that have them.
_SCHEDULED = ("US", "CA")
_YEARLY = 8  # cents, every 15th of January
_FIRST_YEAR = 2024
_PEAK = 21  # cents, from 15 October to 14 January
_SURCHARGE_PERMILLE, _SURCHARGE_SINCE = 35, date(2026, 4, 17)

# Below this price, units have a lower fee.
_LOW_PRICE, _LOW_PRICE_DISCOUNT = 1_000, 77


class Fees(msgspec.Struct, frozen=True):
    """The fees of a seller's products at any moment."""

    root: str
    #: The number of products.
    count: int
    #: The country of the seller's home marketplace.
    home: str

    def anomaly(self, product: Product) -> str:
        """The anomaly in the product's fees; empty for most products."""
        twentieth, rest = divmod(product.number, self.count // 20)
        return _ANOMALIES.get(twentieth, "") if rest == 0 else ""

    def expected(self, product: Product, at: float, country: str = "") -> int:
        """The fulfilment fee that a preview of that moment shows, in cents; at home by default."""
        country = country or self.home
        fee = product.fee + (0 if country == self.home else _ABROAD)
        if self.anomaly(product) == "raised" and _is_high(at):
            fee += _INCREASE
        if is_mismeasured(self.anomaly(product), at):
            fee += _FOR_SIZE
        return _scheduled(fee, day(at)) if country in _SCHEDULED else fee

    def size(self, product: Product, at: float) -> Size:
        """How Amazon has measured the product by that moment."""
        return measured(self.anomaly(product), at)

    def charged(self, product: Product, at: float, country: str = "", price: int = 0) -> int:
        """The fulfilment fee of a unit that is sold at that price (by default the usual one) and
        shipped at that moment, in cents; wrong only at home."""
        country = country or self.home
        fee = self.expected(product, at, country)
        if product.price < _LOW_PRICE <= price and country == "US":
            fee += _LOW_PRICE_DISCOUNT
        deviation = _DEVIATIONS.get(self.anomaly(product), 0)
        wrong = deviation and country == self.home and self._deviates(product, at)
        return fee + (deviation if wrong else 0)

    def referral_rate(self, product: Product, at: float) -> int:
        """The referral fee that a preview of that moment shows, in percent of the price."""
        raised = self.anomaly(product) == "referral_raised" and _is_high(at)
        return product.commission + (_REFERRAL_INCREASE if raised else 0)

    def charged_rate(self, product: Product, at: float, country: str = "") -> int:
        """The referral fee that is charged at that moment; wrong only at home."""
        rate = self.referral_rate(product, at)
        at_home = (country or self.home) == self.home
        wrong = self.anomaly(product) == "referral_overcharged" and self._deviates(product, at)
        return rate + (_REFERRAL_DEVIATION if wrong and at_home else 0)

    def referral(self, product: Product, at: float, price: int = 0) -> int:
        """The referral fee of a unit as a preview of that moment shows it, in cents."""
        return (price or product.price) * self.referral_rate(product, at) // 100

    def _deviates(self, product: Product, at: float) -> bool:
        start = seeded_random(self.root, "fees", product.number).randrange(_CYCLE)
        return (int(at) - start) % _CYCLE < _DEVIATION_SPAN


def _is_high(at: float) -> bool:
    """Whether fees are high at that moment. They change when a preview is made, so that no preview
    is out of date, and at midnight, so that a day has one fee."""
    return int(at) // (3 * _PREVIEW_INTERVAL) % 2 == 1


def _scheduled(fee: int, today: date) -> int:
    """The fee with every change that Amazon has announced for that day."""
    in_force = today.year if (today.month, today.day) >= (1, 15) else today.year - 1
    fee += _YEARLY * max(0, in_force - _FIRST_YEAR)
    fee += _PEAK if not (1, 15) <= (today.month, today.day) < (10, 15) else 0
    surcharge = _SURCHARGE_PERMILLE if today >= _SURCHARGE_SINCE else 0
    return (fee * (1_000 + surcharge) + 500) // 1_000


def may_be_announced(earlier: float, later: float, country: str) -> bool:
    """Whether Amazon may have changed its fees between two moments, as far as is public: only the
    month of the yearly table is."""
    if country not in _SCHEDULED:
        return False
    first, last = day(earlier), day(later)
    begins = [_SURCHARGE_SINCE]
    for year in range(first.year, last.year + 1):
        begins += [date(year, 10, 15), *(date(year, 1, number) for number in range(1, 32))]
    return any(first < begin <= last for begin in begins)


def previews(now: float) -> Iterator[int]:
    """When the previews that are still listed were made: one in thirty days, newest first. All are
    old enough that a client must request another one today."""
    newest = int(now - _PREVIEW_AGE) // _PREVIEW_INTERVAL * _PREVIEW_INTERVAL
    while newest >= now - _PREVIEW_RETENTION:
        yield newest
        newest -= _PREVIEW_INTERVAL


def previews_around(listed: Sequence[int], at: int, today: int) -> tuple[int, int] | None:
    """The last preview before that moment and the first one after it, which is made today if none
    is listed. Returns None if no preview is earlier."""
    earlier = [made for made in listed if made < at]
    later = [made for made in listed if made >= at]
    return (max(earlier), min(later, default=today)) if earlier else None
