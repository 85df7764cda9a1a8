"""What a seller has sold: orders that age, and their lines."""

from collections.abc import Iterator, Sequence

import msgspec

from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.draw import DAY, HOUR, dice, digest, digits
from connectors.amazon_sandbox.generator.marketplaces import ELSEWHERE, Marketplace

SPAN = 85 * DAY

_ENDS = ("SHIPPED", "CANCELLED", "PARTIALLY_SHIPPED", "UNSHIPPED", "PENDING")
_ODDS = (925, 45, 15, 10, 5)

# What becomes of refunded orders, in turn; `replaced` ones were not refunded at all.
FATES = (
    "returned",
    "kept",
    "returned",
    "returned_later",
    "damaged",
    "customer_damaged",
    "kept_paid",
    "returned",
    "unstocked",
    "replaced",
    "unstocked",
    "kept_part_paid",
    "carrier_paid",
    "returned_later",
    "defective",
    "returned",
    "kept",
    "carrier_damaged",
    "damaged_replaced",
    "returned",
)
_HARMLESS = ("returned",) * 24 + ("returned_later",) * 12


class Sale(msgspec.Struct, frozen=True, gc=False):
    """An order; moments in seconds since 1970. `serial` is what everything else is drawn from.

    `fate` says what became of an order that will be refunded, or replaced; see `returns.py`.
    """

    serial: int
    id: str
    created: int
    updated: int
    status: str
    shipped: int | None
    by_amazon: bool
    business: bool
    marketplace: str
    fate: str = ""


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
        yield _sale(root, orders, slot, turn, second, start, horizon, marketplaces)


def earlier(
    root: str, orders: int, horizon: int, marketplaces: Sequence[Marketplace]
) -> Iterator[Sale]:
    """The refunded orders of the round before, which are no longer listed themselves."""
    rng = dice(root, "sales")
    start = rng.randrange(10**14)
    for slot in range(orders):
        second = rng.randrange(SPAN)
        turn = (horizon - second) // SPAN - 1
        if fate(root, orders, slot, turn):
            yield _sale(root, orders, slot, turn, second, start, horizon, marketplaces)


def fate(root: str, orders: int, slot: int, turn: int) -> str:
    """What becomes of the order in that slot. One in sixteen is refunded, each in another way."""
    if slot % 16 != 5:
        return ""
    fates = FATES if orders < 5_000 else FATES + _HARMLESS
    return fates[(slot // 16 + turn * 7) % len(fates)]


def _sale(
    root: str,
    orders: int,
    slot: int,
    turn: int,
    second: int,
    start: int,
    horizon: int,
    marketplaces: Sequence[Marketplace],
) -> Sale:
    serial, created = turn * orders + slot, turn * SPAN + second
    rng = dice(root, "sale", serial)
    end = rng.choices(_ENDS, _ODDS)[0]
    paid = created + (SPAN if end == "PENDING" else rng.randrange(300, 3 * HOUR))
    ended = paid + rng.randrange(4 * HOUR, 40 * HOUR)
    history = ((created, "PENDING"), (paid, "UNSHIPPED"), (ended, end))
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
        fate=fate(root, orders, slot, turn),
    )


def elsewhere(root: str, orders: int, horizon: int) -> Iterator[Sale]:
    """Orders of another shop that Amazon only ships: one for fifty orders of its own."""
    for slot in range(orders // 50):
        second = dice(root, "elsewhere", slot).randrange(SPAN)
        turn = (horizon - second) // SPAN
        serial, created = -1 - (turn * (orders // 50) + slot), turn * SPAN + second
        shipped = created + 20 * HOUR
        if shipped <= horizon:
            yield Sale(
                serial=serial,
                id=f"S01-{digits(-serial, 5, 7)}-{digits(-serial, 9, 7)}",
                created=created,
                updated=shipped,
                status="SHIPPED",
                shipped=shipped,
                by_amazon=True,
                business=False,
                marketplace=ELSEWHERE.id,
            )


def bygone(root: str, horizon: int, home: Marketplace) -> Iterator[Sale]:
    """Two orders from before those that are listed, returned and paid for: with them no report on
    goods is ever without a row. (One that is says nothing: neither that there is none.)"""
    half = SPAN // 2
    second = dice(root, "bygone").randrange(half)
    newest = (horizon - SPAN - second) // half
    for turn in (newest - 1, newest):
        created = turn * half + second
        yield Sale(
            serial=-(10**9) - turn,
            id=f"111-{digits(turn, 3, 7)}-{digits(turn, second, 7)}",
            created=created,
            updated=created + 20 * HOUR,
            status="SHIPPED",
            shipped=created + 20 * HOUR,
            by_amazon=True,
            business=False,
            marketplace=home.id,
            fate="carrier_paid",
        )


def count_lines(root: str, sale: Sale) -> int:
    """How many items the order has, without making them."""
    return dice(root, "lines", sale.serial).choices((1, 2, 3), (80, 15, 5))[0]


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
        if at == 0 and sale.fate == "kept_part_paid":
            quantity = max(2 + missing, quantity)
        line = Line(
            id=digits(sale.serial * 3 + at, start, 14),
            product=product,
            quantity=quantity,
            fulfilled=0 if sale.shipped is None else quantity - missing,
            tax=product.price * rng.randrange(60, 100) // 1_000,
        )
        result.append(line)
    return result
