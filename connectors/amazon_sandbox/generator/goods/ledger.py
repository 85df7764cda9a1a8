"""The routine rows of the ledger: shipments to customers and transfers between warehouses."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.goods.placement import CENTERS
from connectors.amazon_sandbox.generator.journal import Movement
from connectors.amazon_sandbox.generator.randomness import decimal_id, seeded_random
from connectors.amazon_sandbox.generator.sales import Line, Sale
from connectors.amazon_sandbox.generator.times import DAY, HOUR

_INTERVAL = 30 * DAY
_ROUNDS = 4


def routine_rows(
    root: str,
    products: Sequence[Product],
    sold: Iterable[Sale],
    lines: Callable[[Sale], Sequence[Line]],
    horizon: int,
) -> Iterator[Movement]:
    """The rows of shipments and transfers up to the horizon, not sorted."""
    return chain(
        chain.from_iterable(_shipped(sale, lines) for sale in sold),
        chain.from_iterable(
            _transferred(root, product, len(products), horizon) for product in products
        ),
    )


def _shipped(sale: Sale, lines: Callable[[Sale], Sequence[Line]]) -> Iterator[Movement]:
    if sale.shipped is None or not sale.by_amazon:
        return
    for at, line in enumerate(lines(sale)):
        # Some sales have one row per unit: the rows are equal but separate events.
        rows = line.fulfilled if sale.serial % 3 == 0 else min(1, line.fulfilled)
        for _ in range(rows):
            yield Movement(
                at=sale.shipped,
                product=line.product,
                event="Shipments",
                reference=decimal_id(sale.serial * 3 + at, 23, 12),
                quantity=-line.fulfilled // rows,
                center=CENTERS[sale.serial % len(CENTERS)],
            )


def _transferred(root: str, product: Product, count: int, horizon: int) -> Iterator[Movement]:
    """Two rows for each monthly transfer: out of one warehouse, and into another 20 hours later.
    The transfers of the `count` products are spread over the month, so that every day has a
    row."""
    offset = product.number * _INTERVAL // count
    offset += seeded_random(root, "transfer", product.number).randrange(3 * HOUR)
    latest = (horizon - DAY - offset) // _INTERVAL
    for turn in range(latest - _ROUNDS, latest + 1):
        at, units = turn * _INTERVAL + offset, 1 + (product.number + turn) % 7
        reference = decimal_id(turn * 100_000 + product.number, 29, 12)
        source, target = CENTERS[turn % 5], CENTERS[(turn + 2) % 5]
        yield Movement(at, product, "WhseTransfers", reference, -units, source)
        yield Movement(at + 20 * HOUR, product, "WhseTransfers", reference, units, target)
