"""What Amazon charges for the fulfilment of a unit, and what it announces (R7)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from connectors.amazon_sandbox.generator.book import NAMES, Book, Finding
from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.draw import DAY, dice

Charge = tuple[int, Product, int]
"""When, for what, and how many units."""

_CYCLE = 80 * DAY
_WRONG = 40 * DAY  # of each cycle, the time in which a product is charged wrongly
_EVERY = 30 * DAY
_KEPT = 88 * DAY
_CLOSES = 90

# The stories of fees, by twentieths of the catalogue; all other products are charged rightly.
_STORIES = {
    2: "overcharged",
    5: "tolerated",
    8: "raised",
    11: "undercharged",
    14: "overcharged",
    17: "overcharged",
}
_WRONGS = {"overcharged": 85, "tolerated": 4, "undercharged": -35}
_RAISE = 45


class Fees(msgspec.Struct, frozen=True):
    """The fees of a seller's products (so many they are) at any moment."""

    root: str
    count: int

    def story(self, product: Product) -> str:
        """What is odd about the fees of a product; empty for nearly all."""
        twentieth, rest = divmod(product.number, self.count // 20)
        return _STORIES.get(twentieth, "") if rest == 0 else ""

    def expected(self, product: Product, at: float) -> int:
        """What a preview made at that moment says, in cents."""
        raised = self.story(product) == "raised" and _is_high(at)
        return product.fee + (_RAISE if raised else 0)

    def charged(self, product: Product, at: float, at_home: bool = True) -> int:
        """What a unit shipped at that moment costs. Only at home is anything charged wrongly."""
        wrong = _WRONGS.get(self.story(product), 0)
        if not wrong or not at_home:
            return self.expected(product, at)
        off = (int(at) - dice(self.root, "fees", product.number).randrange(_CYCLE)) % _CYCLE
        return product.fee + (wrong if off < _WRONG else 0)


def _is_high(at: float) -> bool:
    """Prices change at the very moment of a preview, so that none is ever out of date; and when a
    day begins, so that there is one price a day."""
    return int(at) // (3 * _EVERY) % 2 == 1


def previews(now: float) -> Iterator[int]:
    """When the previews still kept were made: one in thirty days, the newest first."""
    newest = int(now) // _EVERY * _EVERY
    while newest >= now - _KEPT:
        yield newest
        newest -= _EVERY


def overcharges(
    book: Book, fees: Fees, charges: Iterable[Charge], today: float, currency: str
) -> None:
    """Enter the claims to what was charged above the preview before; `charges` in any order."""
    known = sorted(previews(today))
    units: Counter[tuple[Product, int, int]] = Counter()
    since: dict[tuple[Product, int, int], int] = {}
    for at, product, count in charges:
        charged = fees.charged(product, at)
        expected = _before(known, fees, product, at)
        if expected is None:
            _dismiss(book, product, charged)
        elif charged - expected > max(5, expected * 0.02):
            group = (product, expected, charged)
            units[group] += count
            since[group] = min(at, since.get(group, at))
        elif charged != expected or charged != product.fee:
            book.dismiss("R7", product.sku, "within the tolerance, below it, or announced in time")
    for group, count in units.items():
        book.findings.append(_finding(*group, count, since[group], currency))


def _before(known: Sequence[int], fees: Fees, product: Product, at: int) -> int | None:
    """What the last preview before that moment says."""
    made = [each for each in known if each < at]
    return fees.expected(product, made[-1]) if made else None


def _dismiss(book: Book, product: Product, charged: int) -> None:
    if charged > product.fee:
        book.dismiss("R7", product.sku, "no preview from before the charge")


def _finding(
    product: Product, expected: int, charged: int, units: int, since: int, currency: str
) -> Finding:
    return Finding(
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
