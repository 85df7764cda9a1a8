"""Fulfilment fees per unit: charged, announced by previews, and overcharged (R7)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.journal import NAMES, Journal, PlantedClaim
from connectors.amazon_sandbox.generator.randomness import seeded_random
from connectors.amazon_sandbox.generator.times import DAY

Charge = tuple[int, Product, int]
"""Moment, product and units of a shipment."""

_CYCLE = 80 * DAY
_DEVIATION_SPAN = 40 * DAY  # how long in each cycle a product is charged a wrong fee
_PREVIEW_INTERVAL = 30 * DAY
_PREVIEW_RETENTION = 88 * DAY
_CLOSES = 90

# The anomaly of the first product in each of these twentieths of the catalogue.
_ANOMALIES = {
    2: "overcharged",
    5: "tolerated",
    8: "raised",
    11: "undercharged",
    14: "overcharged",
    17: "overcharged",
}
_DEVIATIONS = {"overcharged": 85, "tolerated": 4, "undercharged": -35}
_INCREASE = 45


class Fees(msgspec.Struct, frozen=True):
    """The fees of a seller's products at any moment."""

    root: str
    #: The number of products.
    count: int

    def anomaly(self, product: Product) -> str:
        """The anomaly in the product's fees; empty for most products."""
        twentieth, rest = divmod(product.number, self.count // 20)
        return _ANOMALIES.get(twentieth, "") if rest == 0 else ""

    def expected(self, product: Product, at: float) -> int:
        """The fee that a preview of that moment shows, in cents."""
        raised = self.anomaly(product) == "raised" and _is_high(at)
        return product.fee + (_INCREASE if raised else 0)

    def charged(self, product: Product, at: float, at_home: bool = True) -> int:
        """The fee of a unit shipped at that moment, in cents; wrong only at home."""
        deviation = _DEVIATIONS.get(self.anomaly(product), 0)
        if not deviation or not at_home:
            return self.expected(product, at)
        phase = (
            int(at) - seeded_random(self.root, "fees", product.number).randrange(_CYCLE)
        ) % _CYCLE
        return product.fee + (deviation if phase < _DEVIATION_SPAN else 0)


def _is_high(at: float) -> bool:
    """Fees change when a preview is made, so that no preview is out of date, and at midnight,
    so that a day has one fee."""
    return int(at) // (3 * _PREVIEW_INTERVAL) % 2 == 1


def previews(now: float) -> Iterator[int]:
    """When the previews that are still listed were made: one in thirty days, newest first."""
    newest = int(now) // _PREVIEW_INTERVAL * _PREVIEW_INTERVAL
    while newest >= now - _PREVIEW_RETENTION:
        yield newest
        newest -= _PREVIEW_INTERVAL


def overcharges(
    journal: Journal, fees: Fees, charges: Iterable[Charge], today: float, currency: str
) -> None:
    """Add the claims for fees above the last preview before the charge; `charges` in any order."""
    preview_times = sorted(previews(today))
    units: Counter[tuple[Product, int, int]] = Counter()
    since: dict[tuple[Product, int, int], int] = {}
    for at, product, count in charges:
        charged = fees.charged(product, at)
        expected = _expected_before(preview_times, fees, product, at)
        if expected is None:
            _add_undocumented(journal, product, charged)
        elif charged - expected > max(5, expected * 0.02):
            key = (product, expected, charged)
            units[key] += count
            since[key] = min(at, since.get(key, at))
        elif charged != expected or charged != product.fee:
            journal.add_decoy(
                "R7", product.sku, "within the tolerance, below it, or announced in time"
            )
    for key, count in units.items():
        journal.claims.append(_claim(*key, count, since[key], currency))


def _expected_before(
    preview_times: Sequence[int], fees: Fees, product: Product, at: int
) -> int | None:
    """The fee in the last preview before that moment; None without one."""
    earlier = [time for time in preview_times if time < at]
    return fees.expected(product, earlier[-1]) if earlier else None


def _add_undocumented(journal: Journal, product: Product, charged: int) -> None:
    if charged > product.fee:
        journal.add_decoy("R7", product.sku, "no preview from before the charge")


def _claim(
    product: Product, expected: int, charged: int, units: int, since: int, currency: str
) -> PlantedClaim:
    return PlantedClaim(
        rule="R7",
        name=NAMES["R7"],
        key=f"{product.sku}|{expected / 100:.2f}|{charged / 100:.2f}",
        product=product,
        units=units,
        base=since,
        opens=0,
        closes=_CLOSES,
        amount=units * (charged - expected),
        valued_by="fees",
        currency=currency,
    )
