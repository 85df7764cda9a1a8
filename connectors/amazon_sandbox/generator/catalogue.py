"""What a seller offers, and how much of it lies in Amazon's warehouses."""

import msgspec

from connectors.amazon_sandbox.generator.draw import DAY, dice, letters

_THINGS = ("Kettle", "Lamp", "Mug", "Notebook", "Tripod", "Yoga Mat", "Charger", "Puzzle")
_KINDS = ("Compact", "Foldable", "Ceramic", "Travel", "Classic", "Recycled", "Junior", "Pro")

# What sellers really put into their SKUs: each of these has broken a URL somewhere.
_SKUS = {
    3: "{thing} {number}",
    5: "{thing}/{number}",
    7: "{thing}+{number}",
    11: "{thing}&{number}",
    13: "Größe-{thing}-{number}",
    17: "青-{thing}#{number}",
    19: "{thing}%{number}",
}


class Product(msgspec.Struct, frozen=True):
    """`price`, `cost`, and `fee` for the fulfilment of a unit, in cents; `commission` in percent.

    `number` is its place in the catalogue, from 0.
    """

    sku: str
    asin: str
    fn_sku: str
    title: str
    price: int
    fee: int
    commission: int
    cost: int
    number: int


class Stock(msgspec.Struct, frozen=True):
    """Units of a product in Amazon's network; `updated` is None if there never were any."""

    product: Product
    updated: int | None
    fulfillable: int = 0
    working: int = 0
    shipped: int = 0
    receiving: int = 0
    ordered: int = 0
    moving: int = 0
    processing: int = 0
    researching: int = 0
    customer_damaged: int = 0
    warehouse_damaged: int = 0
    defective: int = 0


def catalogue(root: str, orders: int, western: bool = False) -> tuple[Product, ...]:
    """One product for every twenty orders, twenty at the least; `western`: all fits into Cp1252.

    From a thousand orders on there are enough for one story of every kind.
    """
    rng = dice(root, "catalogue")
    start = rng.randrange(36**8)
    count = max(120 if orders >= 1_000 else 20, orders // 20)
    return tuple(_product(root, number, start, western) for number in range(count))


def _product(root: str, number: int, start: int, western: bool) -> Product:
    rng = dice(root, "product", number)
    thing, kind = rng.choice(_THINGS), rng.choice(_KINDS)
    sku = _SKUS.get(number % 25, "{thing}-{number}")
    sku = sku.replace("青", "É") if western else sku
    inches = ' 12"' if number % 25 == 9 else ""  # a quote that opens nothing
    price = rng.randrange(799, 8_999, 50)
    return Product(
        sku=sku.format(thing=thing.upper(), number=f"{number:05d}"),
        asin="B0" + letters(number, start, 8),
        fn_sku="X00" + letters(number, start, 7),
        title=f"{kind} {thing}{inches}, No. {number}",
        price=price,
        fee=rng.randrange(306, 899),
        commission=rng.choice((8, 12, 15, 15, 15)),
        cost=price * dice(root, "cost", number).randrange(25, 45) // 100,
        number=number,
    )


def stock(root: str, horizon: int, products: tuple[Product, ...]) -> tuple[Stock, ...]:
    """The stock of every product at the horizon."""
    return tuple(_stock(root, horizon, number, each) for number, each in enumerate(products))


def _stock(root: str, horizon: int, number: int, product: Product) -> Stock:
    if number % 40 == 39:
        return Stock(product, updated=None)
    rng = dice(root, "stock", number, horizon)
    return Stock(
        product,
        updated=horizon - rng.randrange(80 * DAY),
        fulfillable=rng.randrange(250),
        working=rng.choice((0, 0, 0, 40)),
        shipped=rng.choice((0, 0, 24, 60)),
        receiving=rng.choice((0, 0, 0, 12)),
        ordered=rng.randrange(6),
        moving=rng.randrange(10),
        processing=rng.randrange(3),
        researching=rng.choice((0, 0, 0, 2)),
        customer_damaged=rng.choice((0, 0, 1)),
        warehouse_damaged=rng.choice((0, 0, 0, 1)),
        defective=rng.choice((0, 0, 0, 3)),
    )
