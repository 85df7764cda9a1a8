"""Inbound shipments: complete ones, and scenarios in which units are missing (R8)."""

from collections.abc import Sequence

from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.goods.placement import CENTERS, Placement
from connectors.amazon_sandbox.generator.journal import (
    SHORT,
    InboundShipment,
    InboundShipmentItem,
    Journal,
    Movement,
    PlantedClaim,
)
from connectors.amazon_sandbox.generator.randomness import digest, seeded_random
from connectors.amazon_sandbox.generator.times import DAY, HOUR

_TOO_YOUNG = "too young: it may still be received"
_STALLED = 21  # days without a receipt after which the missing units are claimed
CLOSES_AFTER = 3
"""Days from the delivery until the shipment is closed."""

# Complete shipments: each product is sent once per cycle; the newest four rounds are listed.
_CYCLE = 70 * DAY
_ROUNDS = 4


def short(placement: Placement) -> None:
    """Closed although some units never arrived."""
    shipped, missing = _quantities(placement)
    _add_receipts(placement, ((0, shipped - missing - 1), (2, 1)))
    _add_single_product_shipment(placement, shipped, shipped - missing, CLOSES_AFTER)
    _claim_closed(placement, missing)


def short_then_paid(placement: Placement) -> None:
    shipped, missing = _quantities(placement)
    _add_receipts(placement, ((0, shipped - missing),))
    _add_single_product_shipment(placement, shipped, shipped - missing, CLOSES_AFTER)
    paid = placement.add_reimbursement(SHORT, missing, 20)
    _claim_closed(placement, missing - paid, reason="already reimbursed")
    placement.end_paid("R8", shipment_key(placement), placement.reimbursement(SHORT, missing, 20))


def short_then_received(placement: Placement) -> None:
    """The missing units arrive after the shipment is closed. Only the ledger shows it."""
    shipped, missing = _quantities(placement)
    _add_receipts(placement, ((0, shipped - missing), (25, missing)))
    _add_single_product_shipment(placement, shipped, shipped - missing, CLOSES_AFTER)
    late = missing * placement.journal.is_known(placement.moment(25))
    _claim_closed(placement, missing - late, reason="received later")
    placement.end("R8", shipment_key(placement), "found", 25)


def short_and_stuck(placement: Placement) -> None:
    """Receiving began and has stalled for weeks."""
    shipped, missing = _quantities(placement)
    _add_receipts(placement, ((0, shipped - missing - 2), (3, 2)))
    _add_single_product_shipment(placement, shipped, shipped - missing, None)
    if placement.journal.days_since(placement.moment(3)) >= _STALLED:
        _claim(placement, missing)
    elif placement.journal.is_known(placement.at):
        placement.journal.add_decoy("R8", shipment_key(placement), _TOO_YOUNG)


def short_and_going_on(placement: Placement) -> None:
    """Receiving is slow but still continues."""
    steps = tuple((after, 2) for after in range(0, 95, 10))
    received = _add_receipts(placement, steps)
    _add_single_product_shipment(placement, sum(units for _, units in steps), received, None)
    if placement.journal.is_known(placement.at):
        placement.journal.add_decoy("R8", shipment_key(placement), "receiving continues")


def _quantities(placement: Placement) -> tuple[int, int]:
    return placement.rng.randrange(20, 60), placement.rng.choice((1, 2, 3, 5))


def _add_receipts(placement: Placement, steps: Sequence[tuple[int, int]]) -> int:
    """Add the receipts, by days after the delivery. Returns the units received so far."""
    return sum(
        placement.journal.add_movement(receipt(placement, after, units)) for after, units in steps
    )


def receipt(
    placement: Placement, after: float, units: int, disposition: str = "SELLABLE"
) -> Movement:
    """A receipt in the ledger, `after` days after the start of the placement."""
    at, product = placement.moment(after), placement.product
    shipment, center = shipment_id(placement), placement.center
    return Movement(at, product, "Receipts", shipment, units, center, disposition)


def _add_single_product_shipment(
    placement: Placement, shipped: int, received: int, closed: int | None
) -> None:
    """Add a shipment of one product in its current status."""
    visible = received if placement.journal.is_known(placement.moment(CLOSES_AFTER)) else 0
    add_shipment(placement, closed, [(placement.product, shipped, visible)])


def add_shipment(
    placement: Placement, closed: int | None, items: Sequence[tuple[Product, int, int]]
) -> None:
    """Add the placement's shipment in its current status, with products, units shipped and
    received."""
    id, center = shipment_id(placement), placement.center
    _add_shipment(placement.journal, id, placement.at, closed, center, items)


def _add_shipment(
    journal: Journal,
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
    past = [step for step in steps if journal.is_known(step[0])]
    if past:
        updated, status = past[-1]
        inbound_items = tuple(InboundShipmentItem(*item) for item in items)
        journal.inbound_shipments.append(
            InboundShipment(id, steps[0][0], updated, status, center, inbound_items)
        )


def _claim_closed(placement: Placement, units: int, reason: str = "") -> None:
    if placement.journal.is_known(placement.moment(CLOSES_AFTER)):
        _claim(placement, units, reason)
    elif placement.journal.is_known(placement.at):
        placement.journal.add_decoy("R8", shipment_key(placement), _TOO_YOUNG)


def _claim(placement: Placement, units: int, reason: str = "") -> None:
    if not units and reason:
        placement.journal.add_decoy("R8", shipment_key(placement), reason)
    claim = PlantedClaim(
        rule="R8",
        key=shipment_key(placement),
        product=placement.product,
        units=units,
        base=placement.at,
        by_unit=True,
        shipment_id=shipment_id(placement),
    )
    placement.add_claim(claim, SHORT)


def shipment_id(placement: Placement) -> str:
    return "FBA" + digest("shipment", placement.name)[:9].upper()


def shipment_key(placement: Placement) -> str:
    return f"{shipment_id(placement)}|{placement.product.sku}"


def routine_shipments(root: str, journal: Journal, products: Sequence[Product]) -> None:
    """Add the complete shipments: each product is sent once every ten weeks."""
    for first in range(0, len(products), 3):
        offset = seeded_random(root, "supply", first).randrange(_CYCLE)
        # The newest shipment may still be in transit.
        latest = (journal.horizon + 9 * DAY - offset) // _CYCLE
        for turn in range(latest - _ROUNDS + 1, latest + 1):
            _send(root, journal, turn * _CYCLE + offset, products[first : first + 3])


def _send(root: str, journal: Journal, delivered: int, products: Sequence[Product]) -> None:
    rng = seeded_random(root, "send", products[0].number, delivered)
    id = "FBA" + digest(root, "supply", products[0].number, delivered)[:9].upper()
    center, items = rng.choice(CENTERS), []
    for product in products:
        shipped = rng.randrange(12, 120)
        extra = rng.choice((0, 0, 0, 0, 1))  # some shipments contain more than was announced
        row = Movement(delivered, product, "Receipts", id, shipped + extra, center)
        items.append((product, shipped, journal.add_movement(row)))
    _add_shipment(journal, id, delivered, CLOSES_AFTER, center, items)
