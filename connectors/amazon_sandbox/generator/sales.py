"""A seller's orders, which grow older from day to day, and their lines."""

from collections.abc import Iterator, Sequence

import msgspec

from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.marketplaces import (
    NON_AMAZON,
    MarketplaceInfo,
    marketplace,
)
from connectors.amazon_sandbox.generator.randomness import decimal_id, digest, seeded_random
from connectors.amazon_sandbox.generator.times import DAY, HOUR

SPAN = 85 * DAY
"""All listed orders were created in the span before the horizon."""

_FINAL_STATUSES = ("SHIPPED", "CANCELLED", "PARTIALLY_SHIPPED", "UNSHIPPED", "PENDING")
_WEIGHTS = (925, 45, 15, 10, 5)

# Outcomes of refunded and of replaced orders, in rotation. See `returns.py` and `replacements.py`.
# Their number shares no factor with the step of a round, so that each order has all of them.
OUTCOMES = (
    "returned",
    "kept",
    "replaced_returned_late",
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
    "replaced_paid",
    "kept",
    "carrier_damaged",
    "damaged_replaced",
    "kept_in_parts",
    "goodwill",
    "kept_underpaid",
    "returned_fee_kept",
    "kept_repeated",
    "refunded_too_much",
    "damaged_in_parts",
    "kept_paid_in_lines",
    "kept_mostly",
    "returned_in_parts",
    "replaced_refunded",
)
_TAXED_APART = ("US", "CA")  # elsewhere the price contains the tax
_LEAST_UNITS = {"kept_part_paid": 2, "kept_repeated": 3, "kept_paid_in_lines": 3}
ONE_UNIT = frozenset(
    {
        "goodwill",
        "kept_in_parts",
        "kept_mostly",
        "returned_in_parts",
        "returned_fee_kept",
        "damaged_in_parts",
        "refunded_too_much",
    }
)
_HARMLESS = ("returned",) * 24 + ("returned_later",) * 12


class Sale(msgspec.Struct, frozen=True, gc=False):
    """An order. Moments are in seconds since 1970."""

    #: Seeds everything else about the order.
    serial: int
    id: str
    created: int
    updated: int
    status: str
    shipped: int | None
    by_amazon: bool
    business: bool
    marketplace: str
    #: One of OUTCOMES if the order is refunded or replaced.
    outcome: str = ""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One item of an order."""

    id: str
    product: Product
    quantity: int
    #: Units shipped.
    fulfilled: int
    #: The price in cents per unit.
    price: int
    #: The tax in cents per unit.
    tax: int


def sales(
    root: str, orders: int, horizon: int, marketplaces: Sequence[MarketplaceInfo]
) -> Iterator[Sale]:
    """Yield exactly `orders` orders, created in the 85 days before the horizon.

    Each order has a fixed second in a round of 85 days. It stays the same and grows older from day
    to day, until a new order takes its place in the next round.
    """
    rng = seeded_random(root, "sales")
    start = rng.randrange(10**14)
    for slot in range(orders):
        second = rng.randrange(SPAN)
        turn = (horizon - second) // SPAN
        yield _sale(root, orders, slot, turn, second, start, horizon, marketplaces)


def previous_round(
    root: str, orders: int, horizon: int, marketplaces: Sequence[MarketplaceInfo]
) -> Iterator[Sale]:
    """The refunded orders of the previous round, which are no longer listed."""
    rng = seeded_random(root, "sales")
    start = rng.randrange(10**14)
    for slot in range(orders):
        second = rng.randrange(SPAN)
        turn = (horizon - second) // SPAN - 1
        if outcome(root, orders, slot, turn):
            yield _sale(root, orders, slot, turn, second, start, horizon, marketplaces)


def outcome(root: str, orders: int, slot: int, turn: int) -> str:
    """The outcome of the order in that slot. One order in sixteen is refunded."""
    if slot % 16 != 5:
        return ""
    outcomes = OUTCOMES if orders < 5_000 else OUTCOMES + _HARMLESS
    return outcomes[(slot // 16 + turn * 7) % len(outcomes)]


def _sale(
    root: str,
    orders: int,
    slot: int,
    turn: int,
    second: int,
    start: int,
    horizon: int,
    marketplaces: Sequence[MarketplaceInfo],
) -> Sale:
    serial, created = turn * orders + slot, turn * SPAN + second
    rng = seeded_random(root, "sale", serial)
    final = rng.choices(_FINAL_STATUSES, _WEIGHTS)[0]
    paid = created + (SPAN if final == "PENDING" else rng.randrange(300, 3 * HOUR))
    finished = paid + rng.randrange(4 * HOUR, 40 * HOUR)
    history = ((created, "PENDING"), (paid, "UNSHIPPED"), (finished, final))
    updated, status = [step for step in history if step[0] <= horizon][-1]
    number = decimal_id(serial, start, 14)
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
        outcome=outcome(root, orders, slot, turn),
    )


def multichannel_sales(root: str, orders: int, horizon: int) -> Iterator[Sale]:
    """Orders of another shop that Amazon only ships: one for every fifty orders of the seller."""
    for slot in range(orders // 50):
        second = seeded_random(root, "elsewhere", slot).randrange(SPAN)
        turn = (horizon - second) // SPAN
        serial, created = -1 - (turn * (orders // 50) + slot), turn * SPAN + second
        shipped = created + 20 * HOUR
        if shipped <= horizon:
            yield Sale(
                serial=serial,
                id=f"S01-{decimal_id(-serial, 5, 7)}-{decimal_id(-serial, 9, 7)}",
                created=created,
                updated=shipped,
                status="SHIPPED",
                shipped=shipped,
                by_amazon=True,
                business=False,
                marketplace=NON_AMAZON.id,
            )


def historic_sales(root: str, horizon: int, home: MarketplaceInfo) -> Iterator[Sale]:
    """Two older orders, returned and reimbursed, so that no report on goods is ever empty.

    An empty report proves nothing, not even that a seller has no rows.
    """
    half = SPAN // 2
    second = seeded_random(root, "bygone").randrange(half)
    newest = (horizon - SPAN - second) // half
    for turn in (newest - 1, newest):
        created = turn * half + second
        yield Sale(
            serial=-(10**9) - turn,
            id=f"111-{decimal_id(turn, 3, 7)}-{decimal_id(turn, second, 7)}",
            created=created,
            updated=created + 20 * HOUR,
            status="SHIPPED",
            shipped=created + 20 * HOUR,
            by_amazon=True,
            business=False,
            marketplace=home.id,
            outcome="carrier_paid",
        )


def historic_replacement(root: str, horizon: int, home: MarketplaceInfo) -> Iterator[Sale]:
    """An older order whose item was replaced, so that the report on replacements is never empty."""
    third = SPAN // 3
    second = seeded_random(root, "bygone replacement").randrange(third)
    turn = (horizon - SPAN - second) // third
    created = turn * third + second
    yield Sale(
        serial=-(2 * 10**9) - turn,
        id=f"111-{decimal_id(turn, 7, 7)}-{decimal_id(turn, second + 1, 7)}",
        created=created,
        updated=created + 20 * HOUR,
        status="SHIPPED",
        shipped=created + 20 * HOUR,
        by_amazon=True,
        business=False,
        marketplace=home.id,
        outcome="replaced_returned_late",
    )


def count_lines(root: str, sale: Sale) -> int:
    """How many items the order has, without generating them."""
    return seeded_random(root, "lines", sale.serial).choices((1, 2, 3), (80, 15, 5))[0]


def lines(root: str, sale: Sale, products: Sequence[Product]) -> list[Line]:
    """One to three items, generated on each call."""
    rng = seeded_random(root, "lines", sale.serial)
    start = int(digest(root)[:11], 16)
    count = rng.choices((1, 2, 3), (80, 15, 5))[0]
    result = []
    for at, product in enumerate(rng.sample(products, count)):
        # A partially shipped order lacks one unit of its first item.
        missing = int(at == 0 and sale.status == "PARTIALLY_SHIPPED")
        quantity = rng.choices((1, 2, 3), (85, 11, 4))[0] + missing
        if at == 0 and sale.outcome:
            quantity = _refundable(sale.outcome, quantity - missing) + missing
        country = marketplace(sale.marketplace).country
        price = product.price
        if product.other_price and country == "US":
            price = (price, product.other_price)[sale.serial % 2]
        tax = price * rng.randrange(60, 100) // 1_000
        line = Line(
            id=decimal_id(sale.serial * 3 + at, start, 14),
            product=product,
            quantity=quantity,
            fulfilled=0 if sale.shipped is None else quantity - missing,
            price=price,
            tax=tax if country in _TAXED_APART else 0,
        )
        result.append(line)
    return result


def _refundable(outcome: str, units: int) -> int:
    """The units of an order that its outcome needs."""
    if outcome in ONE_UNIT:
        return 1
    return max(units, _LEAST_UNITS.get(outcome, 1))
