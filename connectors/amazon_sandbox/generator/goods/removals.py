"""Removal orders and their parcels, and scenarios in which a completed order lacks units (R11)."""

from collections.abc import Sequence

import msgspec

from connectors.amazon_sandbox.generator.goods.placement import Placement
from connectors.amazon_sandbox.generator.journal import (
    LOST_OUTBOUND,
    Movement,
    Parcel,
    PlantedClaim,
    RemovalOrder,
)
from connectors.amazon_sandbox.generator.randomness import decimal_id
from connectors.amazon_sandbox.generator.times import DAY


def fetched_back(placement: Placement) -> None:
    """The seller ordered the return of a unit."""
    add_removal(placement, removal(placement, "Return", 1, -3))


def fetched_short(placement: Placement) -> None:
    """A completed removal order shipped fewer units than it should have."""
    missing = placement.rng.choice((1, 2))
    fetch(placement, removal(placement, "Return", 4 + missing, missing=missing))


def fetched_short_beside_cancelled(placement: Placement) -> None:
    fetch(placement, removal(placement, "Return", 6, cancelled=2, missing=1))


def fetched_after_cancellation(placement: Placement) -> None:
    """All units that were not shipped were cancelled."""
    fetch(placement, removal(placement, "Return", 5, cancelled=2), reason="cancelled, not missing")


def fetched_short_then_paid(placement: Placement) -> None:
    order = removal(placement, "Return", 5, missing=2)
    reimbursement = msgspec.structs.replace(
        placement.reimbursement(LOST_OUTBOUND, 2, 9), order_id=order.id
    )
    paid = placement.journal.add_reimbursement(reimbursement)
    fetch(placement, order, paid=paid, reason="already reimbursed")
    placement.end_paid("R11", _key(order), reimbursement)


def removal(
    placement: Placement,
    kind: str,
    quantity: int,
    after: float = 0,
    *,
    cancelled: int = 0,
    missing: int = 0,
) -> RemovalOrder:
    return RemovalOrder(
        at=placement.moment(after),
        id=decimal_id(int(placement.reference), 3, 10),
        kind=kind,
        product=placement.product,
        disposition="SELLABLE",
        quantity=quantity,
        cancelled=cancelled,
        missing=missing,
    )


def add_removal(
    placement: Placement, order: RemovalOrder, parcels: Sequence[Parcel] | None = None
) -> bool:
    """Add the order; for units returned to the seller, also the row of the ledger and the parcels
    (by default one, which arrives). Returns whether the order is known."""
    if not placement.journal.is_known(order.at):
        return False
    placement.journal.removals.append(order)
    if order.kind == "Return":
        if parcels is None:
            shipped = order.quantity - order.cancelled - order.missing
            parcels = [parcel(order, shipped, shipped)]
        for sent in parcels:
            if placement.journal.is_known(sent.visible_at):
                placement.journal.parcels.append(sent)
        row = Movement(
            at=order.at + 3 * DAY,
            product=order.product,
            event="VendorReturns",
            reference=order.id,
            quantity=order.cancelled + order.missing - order.quantity,
            center=placement.center,
            disposition=order.disposition,
        )
        placement.journal.add_movement(row)
    return True


def parcel(
    order: RemovalOrder, units: int, arrived: int, after: float = 3, *, reported: bool = True
) -> Parcel:
    """A parcel that is sent `after` days after the request. The report shows it when the order is
    completed."""
    at = order.at + int(after * DAY)
    tracking = f"1Z{decimal_id(int(order.id), int(after * 10) + 7, 16)}"
    return Parcel(at, max(at, order.completed), order, units, tracking, arrived, reported)


def fetch(
    placement: Placement,
    order: RemovalOrder,
    paid: int = 0,
    reason: str = "",
    parcels: Sequence[Parcel] | None = None,
) -> None:
    """Add the order and, once it is completed, a claim for its missing units. `reason`: why
    nothing is open."""
    if not add_removal(placement, order, parcels):
        return
    if not placement.journal.is_known(order.completed):
        reason = "in process: it may still be shipped"
    elif order.missing > paid:
        placement.add_claim(_claim(placement, order, order.missing - paid), LOST_OUTBOUND, order.id)
        return
    placement.journal.add_decoy("R11", _key(order), reason)


def _claim(placement: Placement, order: RemovalOrder, units: int) -> PlantedClaim:
    return PlantedClaim(
        rule="R11",
        key=_key(order),
        product=placement.product,
        units=units,
        base=order.completed,
        by_unit=True,
        reference=order.id,
    )


def _key(order: RemovalOrder) -> str:
    return f"{order.id}|{order.product.fn_sku}"
