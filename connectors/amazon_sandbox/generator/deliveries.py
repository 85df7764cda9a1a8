"""Stories of inbound shipments: complete ones, and those in which units went missing (R8)."""

from collections.abc import Sequence

from connectors.amazon_sandbox.generator.book import (
    NAMES,
    SHORT,
    Book,
    Delivery,
    Finding,
    Item,
    Movement,
)
from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.draw import DAY, HOUR, dice, digest
from connectors.amazon_sandbox.generator.spot import CENTERS, Spot

_SETTLES, _CLOSES = 15, 270
_STALE = 21
_CLOSED = 3  # days from the delivery to the end of receiving

_CYCLE = 70 * DAY
_HISTORY = 4


def short(spot: Spot) -> None:
    """Closed, and some units never arrived."""
    shipped, missing = _quantities(spot)
    _receive(spot, ((0, shipped - missing - 1), (2, 1)))
    _deliver(spot, shipped, shipped - missing, _CLOSED)
    _claim_closed(spot, missing)


def short_then_paid(spot: Spot) -> None:
    shipped, missing = _quantities(spot)
    _receive(spot, ((0, shipped - missing),))
    _deliver(spot, shipped, shipped - missing, _CLOSED)
    paid = spot.pay(SHORT, missing, 20)
    _claim_closed(spot, missing - paid, why="already reimbursed")


def short_then_received(spot: Spot) -> None:
    """The rest came later, and only the ledger tells."""
    shipped, missing = _quantities(spot)
    _receive(spot, ((0, shipped - missing), (25, missing)))
    _deliver(spot, shipped, shipped - missing, _CLOSED)
    late = missing * spot.book.knows(spot.moment(25))
    _claim_closed(spot, missing - late, why="received later")


def short_and_stuck(spot: Spot) -> None:
    """Receiving has begun and not gone on for weeks."""
    shipped, missing = _quantities(spot)
    _receive(spot, ((0, shipped - missing - 2), (3, 2)))
    _deliver(spot, shipped, shipped - missing, None)
    if spot.book.days_since(spot.moment(3)) >= _STALE:
        _claim(spot, missing)
    elif spot.book.knows(spot.at):
        spot.book.dismiss("R8", _key(spot), "too young: it may still be received")


def short_and_going_on(spot: Spot) -> None:
    """Receiving is slow, but it goes on."""
    steps = tuple((after, 2) for after in range(0, 95, 10))
    received = _receive(spot, steps)
    _deliver(spot, sum(units for _, units in steps), received, None)
    if spot.book.knows(spot.at):
        spot.book.dismiss("R8", _key(spot), "receiving goes on")


def _quantities(spot: Spot) -> tuple[int, int]:
    return spot.rng.randrange(20, 60), spot.rng.choice((1, 2, 3, 5))


def _receive(spot: Spot, steps: Sequence[tuple[int, int]]) -> int:
    """Enter the receipts, by days after the delivery; the units that are known of."""
    return sum(
        spot.book.move(_receipt(spot.moment(after), spot.product, _id(spot), units, spot.center))
        for after, units in steps
    )


def _receipt(at: int, product: Product, shipment: str, units: int, center: str) -> Movement:
    return Movement(at, product, "Receipts", shipment, units, center)


def _deliver(spot: Spot, shipped: int, received: int, closed: int | None) -> None:
    """Enter the shipment, as far as it is by now."""
    known = received if spot.book.knows(spot.moment(_CLOSED)) else 0
    _enter(spot.book, _id(spot), spot.at, closed, spot.center, [(spot.product, shipped, known)])


def _enter(
    book: Book,
    id: str,
    delivered: int,
    closed: int | None,
    center: str,
    items: Sequence[tuple[Product, int, int]],
) -> None:
    steps = [
        (delivered - 9 * DAY, "WORKING"),
        (delivered - 7 * DAY, "SHIPPED"),
        (delivered - 5 * DAY, "IN_TRANSIT"),
        (delivered - 3 * HOUR, "DELIVERED"),
        (delivered - 2 * HOUR, "CHECKED_IN"),
        (delivered, "RECEIVING"),
        *([(delivered + closed * DAY, "CLOSED")] if closed is not None else []),
    ]
    known = [step for step in steps if book.knows(step[0])]
    if known:
        updated, status = known[-1]
        goods = tuple(Item(*item) for item in items)
        book.deliveries.append(Delivery(id, steps[0][0], updated, status, center, goods))


def _claim_closed(spot: Spot, units: int, why: str = "") -> None:
    if spot.book.knows(spot.moment(_CLOSED)):
        _claim(spot, units, why)
    elif spot.book.knows(spot.at):
        spot.book.dismiss("R8", _key(spot), "too young: it may still be received")


def _claim(spot: Spot, units: int, why: str = "") -> None:
    if not units and why:
        spot.book.dismiss("R8", _key(spot), why)
    finding = Finding(
        rule="R8",
        name=NAMES["R8"],
        key=_key(spot),
        product=spot.product,
        units=units,
        base=spot.at,
        opens=_SETTLES,
        closes=_CLOSES,
        by_unit=True,
        shipment_id=_id(spot),
    )
    spot.claims(finding, SHORT)


def _id(spot: Spot) -> str:
    return "FBA" + digest("shipment", spot.name)[:9].upper()


def _key(spot: Spot) -> str:
    return f"{_id(spot)}|{spot.product.sku}"


def supply(root: str, book: Book, products: Sequence[Product]) -> None:
    """The shipments in which nothing is missing: each product is sent in every ten weeks."""
    for first in range(0, len(products), 3):
        offset = dice(root, "supply", first).randrange(_CYCLE)
        now = (book.horizon + 9 * DAY - offset) // _CYCLE  # the next one may be on its way
        for turn in range(now - _HISTORY + 1, now + 1):
            _send(root, book, turn * _CYCLE + offset, products[first : first + 3])


def _send(root: str, book: Book, delivered: int, products: Sequence[Product]) -> None:
    rng = dice(root, "send", products[0].number, delivered)
    id = "FBA" + digest(root, "supply", products[0].number, delivered)[:9].upper()
    center, items = rng.choice(CENTERS), []
    for each in products:
        shipped = rng.randrange(12, 120)
        extra = rng.choice((0, 0, 0, 0, 1))  # now and then more arrives than was announced
        receipt = _receipt(delivered, each, id, shipped + extra, center)
        items.append((each, shipped, book.move(receipt)))
    _enter(book, id, delivered, _CLOSED, center, items)
