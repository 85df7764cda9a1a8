"""What a seller has sold: orders that age, and their lines."""

from collections.abc import Iterator, Sequence

import msgspec

from connectors.amazon.sandbox.generator.catalogue import Product
from connectors.amazon.sandbox.generator.draw import DAY, HOUR, dice, digest, digits
from connectors.amazon.sandbox.generator.marketplaces import Marketplace

SPAN = 85 * DAY

_FATES = ("SHIPPED", "CANCELLED", "PARTIALLY_SHIPPED", "UNSHIPPED", "PENDING")
_ODDS = (925, 45, 15, 10, 5)


class Sale(msgspec.Struct, frozen=True, gc=False):
    """An order; moments in seconds since 1970. `serial` is what everything else is drawn from."""

    serial: int
    id: str
    created: int
    updated: int
    status: str
    shipped: int | None
    by_amazon: bool
    business: bool
    marketplace: str


class Line(msgspec.Struct, frozen=True, gc=False):
    """One item of an order; `tax` in cents for a unit."""

    id: str
    product: Product
    quantity: int
    fulfilled: int
    tax: int


def sales(
    root: str, orders: int, horizon: int, marketplaces: Sequence[Marketplace]
) -> Iterator[Sale]:
    """Exactly `orders` of them, created in the 85 days before the horizon.

    Each order has a fixed second in a round of 85 days. As the days go by it stays what it is and
    grows older, until its second comes round again and a new order takes its place.
    """
    rng = dice(root, "sales")
    start = rng.randrange(10**14)
    for slot in range(orders):
        second = rng.randrange(SPAN)
        turn = (horizon - second) // SPAN
        yield _sale(root, turn * orders + slot, start, turn * SPAN + second, horizon, marketplaces)


def _sale(
    root: str,
    serial: int,
    start: int,
    created: int,
    horizon: int,
    marketplaces: Sequence[Marketplace],
) -> Sale:
    rng = dice(root, "sale", serial)
    fate = rng.choices(_FATES, _ODDS)[0]
    paid = created + (SPAN if fate == "PENDING" else rng.randrange(300, 3 * HOUR))
    ended = paid + rng.randrange(4 * HOUR, 40 * HOUR)
    history = ((created, "PENDING"), (paid, "UNSHIPPED"), (ended, fate))
    updated, status = [step for step in history if step[0] <= horizon][-1]
    number = digits(serial, start, 14)
    return Sale(
        serial=serial,
        id=f"{rng.randrange(111, 115)}-{number[:7]}-{number[7:]}",
        created=created,
        updated=updated,
        status=status,
        shipped=updated if status in ("SHIPPED", "PARTIALLY_SHIPPED") else None,
        by_amazon=rng.random() < 0.9,
        business=rng.random() < 0.05,
        marketplace=rng.choice(marketplaces).id,
    )


def lines(root: str, sale: Sale, products: Sequence[Product]) -> list[Line]:
    """One to three items, drawn anew when they are asked for: kept, they would fill the memory."""
    rng = dice(root, "lines", sale.serial)
    start = int(digest(root)[:11], 16)
    count = rng.choices((1, 2, 3), (80, 15, 5))[0]
    result = []
    for at, product in enumerate(rng.sample(products, count)):
        # Of a partially shipped order, one unit of the first item is still to come.
        missing = int(at == 0 and sale.status == "PARTIALLY_SHIPPED")
        quantity = rng.choices((1, 2, 3), (85, 11, 4))[0] + missing
        line = Line(
            id=digits(sale.serial * 3 + at, start, 14),
            product=product,
            quantity=quantity,
            fulfilled=0 if sale.shipped is None else quantity - missing,
            tax=product.price * rng.randrange(60, 100) // 1_000,
        )
        result.append(line)
    return result
