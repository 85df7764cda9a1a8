"""A seller's products, and their stock in Amazon's warehouses."""

import msgspec

from connectors.amazon_sandbox.generator.randomness import alphanumeric_id, seeded_random
from connectors.amazon_sandbox.generator.times import DAY

_NOUNS = ("Kettle", "Lamp", "Mug", "Notebook", "Tripod", "Yoga Mat", "Charger", "Puzzle")
_ADJECTIVES = ("Compact", "Foldable", "Ceramic", "Travel", "Classic", "Recycled", "Junior", "Pro")

LOW_PRICED = 19
"""The twentieth of the catalogue whose first product is sold below and above Amazon's threshold for
low prices, 10.00 in the US."""
_LOW_PRICE, _OTHER_PRICE = 949, 1_049

# Characters that real SKUs contain and that break URLs which are not encoded, by the product's
# number modulo 25.
_SKUS = {
    3: "{noun} {number}",
    5: "{noun}/{number}",
    7: "{noun}+{number}",
    11: "{noun}&{number}",
    13: "Größe-{noun}-{number}",
    17: "青-{noun}#{number}",
    19: "{noun}%{number}",
}


class Product(msgspec.Struct, frozen=True):
    """A product. `price`, `fee` and `cost` are in cents per unit."""

    sku: str
    asin: str
    fn_sku: str
    title: str
    price: int
    #: The fulfilment fee of a unit.
    fee: int
    #: The referral fee, in percent of the price.
    commission: int
    cost: int
    #: Its position in the catalogue, from 0.
    number: int
    #: The price of some of its orders in the US; 0 if all have the usual one.
    other_price: int = 0


class Stock(msgspec.Struct, frozen=True):
    """Units of a product in Amazon's warehouses, by state."""

    product: Product
    #: None if the product was never in stock.
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


def catalogue(root: str, orders: int, cp1252: bool = False) -> tuple[Product, ...]:
    """One product for every twenty orders, at least twenty. `cp1252`: use no other characters.

    A seller of a thousand orders or more has enough products for every kind of scenario.
    """
    rng = seeded_random(root, "catalogue")
    start = rng.randrange(36**8)
    count = max(140 if orders >= 1_000 else 20, orders // 20)
    low_priced = LOW_PRICED * (count // 20)
    return tuple(
        _product(root, number, start, cp1252, number == low_priced) for number in range(count)
    )


def _product(root: str, number: int, start: int, cp1252: bool, low_priced: bool) -> Product:
    rng = seeded_random(root, "product", number)
    noun, adjective = rng.choice(_NOUNS), rng.choice(_ADJECTIVES)
    sku = _SKUS.get(number % 25, "{noun}-{number}")
    sku = sku.replace("青", "É") if cp1252 else sku
    inches = ' 12"' if number % 25 == 9 else ""  # an unbalanced quotation mark
    price = rng.randrange(799, 8_999, 50)
    if low_priced:
        price = _LOW_PRICE
    return Product(
        sku=sku.format(noun=noun.upper(), number=f"{number:05d}"),
        asin="B0" + alphanumeric_id(number, start, 8),
        fn_sku="X00" + alphanumeric_id(number, start, 7),
        title=f"{adjective} {noun}{inches}, No. {number}",
        price=price,
        fee=rng.randrange(306, 899),
        commission=rng.choice((8, 12, 15, 15, 15)),
        cost=price * seeded_random(root, "cost", number).randrange(25, 45) // 100,
        number=number,
        other_price=_OTHER_PRICE if low_priced else 0,
    )


def stock(root: str, horizon: int, products: tuple[Product, ...]) -> tuple[Stock, ...]:
    """The stock of all products at the horizon."""
    return tuple(_stock(root, horizon, number, product) for number, product in enumerate(products))


def _stock(root: str, horizon: int, number: int, product: Product) -> Stock:
    if number % 40 == 39:
        return Stock(product, updated=None)
    rng = seeded_random(root, "stock", number, horizon)
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
