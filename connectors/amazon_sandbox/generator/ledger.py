"""The everyday rows of the ledger: what was shipped to customers, and moved between warehouses."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from connectors.amazon_sandbox.generator.book import Movement
from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.draw import DAY, HOUR, dice, digits
from connectors.amazon_sandbox.generator.sales import Line, Sale
from connectors.amazon_sandbox.generator.spot import CENTERS

_MOVES = 30 * DAY
_HISTORY = 4


def everyday(
    root: str,
    products: Sequence[Product],
    sold: Iterable[Sale],
    lines: Callable[[Sale], list[Line]],
    horizon: int,
) -> Iterator[Movement]:
    """The rows known at the horizon, in no order."""
    return chain(
        chain.from_iterable(_shipped(sale, lines) for sale in sold),
        chain.from_iterable(_transferred(root, each, len(products), horizon) for each in products),
    )


def _shipped(sale: Sale, lines: Callable[[Sale], list[Line]]) -> Iterator[Movement]:
    if sale.shipped is None or not sale.by_amazon:
        return
    for at, line in enumerate(lines(sale)):
        # Some are entered unit by unit: rows that look the same, and are not.
        rows = line.fulfilled if sale.serial % 3 == 0 else min(1, line.fulfilled)
        for _ in range(rows):
            yield Movement(
                at=sale.shipped,
                product=line.product,
                event="Shipments",
                reference=digits(sale.serial * 3 + at, 23, 12),
                quantity=-line.fulfilled // rows,
                center=CENTERS[sale.serial % len(CENTERS)],
            )


def _transferred(root: str, product: Product, count: int, horizon: int) -> Iterator[Movement]:
    """A pair of rows every month: out of one warehouse, into another a day later. The `count`
    products take turns, so that no day is without a row."""
    offset = product.number * _MOVES // count
    offset += dice(root, "transfer", product.number).randrange(3 * HOUR)
    now = (horizon - DAY - offset) // _MOVES
    for turn in range(now - _HISTORY, now + 1):
        at, units = turn * _MOVES + offset, 1 + (product.number + turn) % 7
        reference = digits(turn * 100_000 + product.number, 29, 12)
        source, target = CENTERS[turn % 5], CENTERS[(turn + 2) % 5]
        yield Movement(at, product, "WhseTransfers", reference, -units, source)
        yield Movement(at + 20 * HOUR, product, "WhseTransfers", reference, units, target)
