"""Scenarios of inbound units that Amazon damaged, or whose receipt it took back (R14)."""

from connectors.amazon_sandbox.generator.goods.inbound_shipments import (
    CLOSES_AFTER,
    add_shipment,
    receipt,
    shipment_id,
    shipment_key,
)
from connectors.amazon_sandbox.generator.goods.placement import Placement
from connectors.amazon_sandbox.generator.journal import DAMAGED_INBOUND, SHORT, PlantedClaim

_BY_AMAZON = "WAREHOUSE_DAMAGED"
_MAYBE_BY_AMAZON = "DISTRIBUTOR_DAMAGED"  # or by the supplier
_TAKEN_BACK = "RECEIPT_TAKEN_BACK"


def received_damaged(placement: Placement) -> None:
    _receive(placement, damaged=placement.rng.choice((1, 2)))


def received_damaged_then_paid(placement: Placement) -> None:
    paid = placement.add_reimbursement(DAMAGED_INBOUND, 2, 12)
    _receive(placement, damaged=2, paid=paid, reason="already reimbursed")
    reimbursement = placement.reimbursement(DAMAGED_INBOUND, 2, 12)
    placement.end_paid("R14", shipment_key(placement), reimbursement)


def received_defective(placement: Placement) -> None:
    """The seller answers for goods that arrive defective."""
    _receive(placement, defective=2, reason="defective goods are not Amazon's fault")


def receipt_taken_back(placement: Placement) -> None:
    """Corrected downwards after the shipment was closed."""
    _receive(placement, correction=(9, placement.rng.choice((1, 3))))


def receipt_taken_back_then_paid(placement: Placement) -> None:
    paid = placement.add_reimbursement(SHORT, 2, 16)
    _receive(placement, correction=(9, 2), paid=paid, reason="already reimbursed")
    placement.end_paid("R14", shipment_key(placement), placement.reimbursement(SHORT, 2, 16))


def receipt_counted_twice(placement: Placement) -> None:
    """Corrected while receiving continues: more units had been counted than were sent."""
    _receive(placement, correction=(1, 2), counted=2, reason="corrected before it was closed")


def _receive(
    placement: Placement,
    *,
    damaged: int = 0,
    defective: int = 0,
    correction: tuple[int, int] = (0, 0),
    counted: int = 0,
    paid: int = 0,
    reason: str = "",
) -> None:
    """Add a shipment that arrives complete, its receipts, and a claim for the units that are lost
    to Amazon afterwards.

    `correction`: days after the delivery, and units. `counted`: units counted above the shipped
    ones. `reason`: why nothing is open."""
    journal, shipped = placement.journal, placement.rng.randrange(20, 60)
    bad = damaged + defective
    by = (_BY_AMAZON, _MAYBE_BY_AMAZON)[placement.index % 2]
    disposition = by if damaged else "DEFECTIVE"
    rows = [(0.0, shipped + counted - bad, "SELLABLE"), (0.0, bad, disposition)]
    rows.append((correction[0], -correction[1], "SELLABLE"))
    for after, units, condition in rows:
        if units:
            journal.add_movement(receipt(placement, after, units, condition))
    received = shipped if journal.is_known(placement.moment(CLOSES_AFTER)) else 0
    add_shipment(placement, CLOSES_AFTER, [(placement.product, shipped, received)])
    if not journal.is_known(placement.at):
        return
    lost = damaged + (0 if counted else correction[1])
    if correction[1] and not journal.is_known(placement.moment(correction[0])):
        journal.add_decoy("R14", shipment_key(placement), "nothing was taken back so far")
    elif lost > paid:
        low = disposition == _MAYBE_BY_AMAZON
        claim = _claim(placement, lost - paid, _TAKEN_BACK if correction[1] else "", low)
        placement.add_claim(claim, SHORT if correction[1] else DAMAGED_INBOUND)
    else:
        journal.add_decoy("R14", shipment_key(placement), reason)


def _claim(placement: Placement, units: int, name: str, low: bool) -> PlantedClaim:
    return PlantedClaim(
        rule="R14",
        name=name,
        low=low,
        key=shipment_key(placement),
        product=placement.product,
        units=units,
        base=placement.at,
        by_unit=True,
        shipment_id=shipment_id(placement),
    )
