"""Parcels of removal orders: scenarios in which one is lost on its way to the seller (R12)."""

from collections.abc import Iterable, Sequence

import msgspec

from connectors.amazon_sandbox.generator.goods.placement import Placement
from connectors.amazon_sandbox.generator.goods.removals import (
    add_removal,
    fetch,
    parcel,
    removal,
)
from connectors.amazon_sandbox.generator.journal import (
    LOST_OUTBOUND,
    Journal,
    Parcel,
    PlantedClaim,
    Reimbursement,
    RemovalOrder,
)
from connectors.amazon_sandbox.generator.times import DAY, day

_TRANSIT = 6 * DAY  # of a parcel that arrives
_OVERDUE = 15  # days within which a parcel may still arrive


class Receipt(msgspec.Struct, frozen=True, rename="camel"):
    """The seller's report on a parcel."""

    order_id: str
    sku: str
    fnsku: str
    tracking_number: str
    quantity_received: int
    #: The day of the arrival; empty if nothing arrived.
    date: str


# Scenarios --------------------------------------------------------------------------------------


def parcel_lost(placement: Placement) -> None:
    order = removal(placement, "Return", placement.rng.choice((1, 2, 4)))
    add_removal(placement, order, [parcel(order, order.quantity, 0)])


def parcel_partly_lost(placement: Placement) -> None:
    order = removal(placement, "Return", 5)
    add_removal(placement, order, [parcel(order, 5, 3)])


def parcel_without_answer(placement: Placement) -> None:
    """The seller does not report whether it arrived."""
    order = removal(placement, "Return", 3)
    add_removal(placement, order, [parcel(order, 3, 0, reported=False)])


def second_parcel_lost(placement: Placement) -> None:
    """Sent on two days; one of the two parcels of the second day is lost."""
    order = removal(placement, "Return", 6)
    sent = [parcel(order, 2, 2), parcel(order, 3, 0, 4.2), parcel(order, 1, 1, 4.4)]
    add_removal(placement, order, sent)


def parcel_lost_then_paid(placement: Placement) -> None:
    order = removal(placement, "Return", 2)
    add_removal(placement, order, [parcel(order, 2, 0)])
    payment, _ = _payment(placement, order, 2)
    placement.end_paid("R12", _key(parcel(order, 2, 0)), payment)


def parcel_lost_then_partly_paid(placement: Placement) -> None:
    order = removal(placement, "Return", 3)
    add_removal(placement, order, [parcel(order, 3, 0)])
    _payment(placement, order, 1)


def order_short_and_parcel_lost(placement: Placement) -> None:
    """One unit is missing when the order is completed and was paid for; the others are lost in
    transit."""
    order = removal(placement, "Return", 4, missing=1)
    payment, paid = _payment(placement, order, 1, 9)
    fetch(placement, order, paid, "already reimbursed", [parcel(order, 3, 0)])
    placement.end_paid("R11", f"{order.id}|{order.product.fn_sku}", payment)


def _payment(
    placement: Placement, order: RemovalOrder, units: int, after: float = 24
) -> tuple[Reimbursement, int]:
    """A payment that names the order, and its units; 0 if it is not visible yet."""
    payment = placement.reimbursement(LOST_OUTBOUND, units, after)
    payment = msgspec.structs.replace(payment, order_id=order.id)
    return payment, placement.journal.add_reimbursement(payment)


# Claims -----------------------------------------------------------------------------------------


def parcel_claims(known: Journal, with_answers: bool) -> Journal:
    """A journal of the claims and decoys of parcels. `with_answers`: as detected by a client that
    has the seller's reports."""
    journal = Journal(known.horizon, {})
    paid = _paid(known.reimbursements)
    groups: dict[str, list[Parcel]] = {}
    for sent in sorted(known.parcels, key=lambda sent: sent.at):
        groups.setdefault(_key(sent), []).append(sent)
    for parcels in groups.values():
        order = parcels[0].order
        reported = with_answers and all(sent.reported for sent in parcels)
        lost = sum(sent.units - (sent.arrived if reported else 0) for sent in parcels)
        left = max(0, paid.get(_product(order), 0) - order.missing)
        open_units = max(0, lost - left)
        paid[_product(order)] = order.missing + left - (lost - open_units)
        _add(journal, parcels, open_units, reported, arrived=lost == 0)
    return journal


def receipts(journal: Journal) -> Sequence[Receipt]:
    """The seller's reports on overdue parcels."""
    return [
        Receipt(
            order_id=sent.order.id,
            sku=sent.order.product.sku,
            fnsku=sent.order.product.fn_sku,
            tracking_number=sent.tracking,
            quantity_received=sent.arrived,
            date=day(sent.at + _TRANSIT).isoformat() if sent.arrived else "",
        )
        for sent in journal.parcels
        if sent.reported and journal.days_since(sent.at) >= _OVERDUE
    ]


def _add(
    journal: Journal, parcels: Sequence[Parcel], units: int, reported: bool, *, arrived: bool
) -> None:
    first = parcels[0]
    if journal.days_since(first.at) < _OVERDUE:
        journal.add_decoy("R12", _key(first), "too young: it may still arrive")
    elif units == 0:
        reason = "it arrived" if arrived else "already reimbursed"
        journal.add_decoy("R12", _key(first), reason)
    else:
        claim = PlantedClaim(
            rule="R12",
            key=_key(first),
            product=first.order.product,
            units=units,
            base=first.at,
            by_unit=True,
            low=not reported,
            reference=first.order.id,
        )
        journal.claims.append(claim)


def _paid(reimbursements: Iterable[Reimbursement]) -> dict[tuple[str, str], int]:
    """Units that were paid for as lost outbound, by order and product."""
    paid: dict[tuple[str, str], int] = {}
    for row in reimbursements:
        if row.reason == LOST_OUTBOUND:
            product = (row.order_id, row.product.fn_sku)
            paid[product] = paid.get(product, 0) + row.units + row.stocked
    return paid


def _product(order: RemovalOrder) -> tuple[str, str]:
    return order.id, order.product.fn_sku


def _key(sent: Parcel) -> str:
    return f"{sent.order.id}|{sent.order.product.fn_sku}|{day(sent.at).isoformat()}"
