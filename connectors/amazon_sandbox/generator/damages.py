"""Scenarios of units damaged (R2) or disposed of (R3) in a warehouse."""

from connectors.amazon_sandbox.generator.journal import (
    DAMAGED,
    NAMES,
    Movement,
    PlantedClaim,
    RemovalOrder,
)
from connectors.amazon_sandbox.generator.placement import Placement
from connectors.amazon_sandbox.generator.randomness import decimal_id

_OPENS, _CLOSES = 7, 60  # days after the damage
_DISPOSITIONS = ("SELLABLE", "WAREHOUSE_DAMAGED", "EXPIRED")


def damaged(placement: Placement) -> None:
    """Damaged and not reimbursed, or reimbursed only when the claim window has nearly closed."""
    units = placement.rng.choice((1, 1, 2))
    paid = placement.add_reimbursement(DAMAGED, units, 52) if placement.reimbursed_late else 0
    _damage(placement, "E67"[placement.index % 3], units, paid=paid)


def damaged_by_others(placement: Placement) -> None:
    """Reason codes of damage that may not be Amazon's fault."""
    _damage(placement, "HKU"[placement.index % 3], 1, low=True)


def damaged_then_paid(placement: Placement) -> None:
    units = placement.rng.choice((1, 2))
    _damage(
        placement,
        "E",
        units,
        paid=placement.add_reimbursement(DAMAGED, units, 4),
        reason="already reimbursed",
    )


def damaged_then_partly_paid(placement: Placement) -> None:
    _damage(placement, "E", 3, paid=placement.add_reimbursement(DAMAGED, 1, 4))


def damaged_then_disposed(placement: Placement) -> None:
    """One unit is damaged and later disposed of. It is claimed once, as damaged."""
    _damage(placement, "E", 1)
    if placement.adjust("D", -1, 10, disposition="WAREHOUSE_DAMAGED"):
        placement.journal.add_decoy("R3", _key(placement), "the same unit is claimed as damaged")


def damaged_then_reconciled(placement: Placement) -> None:
    if placement.modern:
        restored = 2 * placement.journal.is_known(placement.moment(3))
        reason = "Amazon's unreconciled quantity is 0"
        _damage(placement, "E", 2, restored=restored, filled=True, reason=reason)


def moved(placement: Placement) -> None:
    """A pair of rows that only changes the disposition."""
    if placement.adjust("Q", -1):
        placement.adjust("P", 1, disposition="DEFECTIVE")
        placement.journal.add_decoy(
            "R2", _key(placement), "a pair of Q and P changes the disposition only"
        )


def disposed(placement: Placement) -> None:
    """Disposed of without a removal order."""
    units = placement.rng.choice((1, 1, 2))
    _dispose(
        placement,
        units,
        paid=placement.add_reimbursement(DAMAGED, units, 52) if placement.reimbursed_late else 0,
    )


def disposed_beside_a_return(placement: Placement) -> None:
    """The only removal order is a return to the seller, not a disposal."""
    _add_removal(placement, "Return", 5, -3)
    _dispose(placement, 1)


def fetched_back(placement: Placement) -> None:
    """The seller ordered the return of a unit."""
    _add_removal(placement, "Return", 1, -3)


def disposed_on_request(placement: Placement) -> None:
    _add_removal(placement, "Disposal", 2, -5)
    if placement.adjust("D", -2, disposition="SELLABLE"):
        placement.journal.add_decoy("R3", _key(placement), "a removal order requested it")


def disposed_as_unsellable(placement: Placement) -> None:
    disposition = ("CUSTOMER_DAMAGED", "DEFECTIVE")[placement.index % 2]
    if placement.adjust("D", -1, disposition=disposition):
        placement.journal.add_decoy("R3", _key(placement), f"{disposition} is not Amazon's fault")


def disposed_then_paid(placement: Placement) -> None:
    _dispose(
        placement, 1, paid=placement.add_reimbursement(DAMAGED, 1, 4), reason="already reimbursed"
    )


def _damage(
    placement: Placement,
    code: str,
    units: int,
    *,
    restored: int = 0,
    paid: int = 0,
    filled: bool | None = None,
    low: bool = False,
    reason: str = "",
) -> None:
    """Add the damage, the row that always follows it, and a claim for the open units.

    `filled`: the row has Amazon's own unreconciled quantity. `reason`: why nothing is open."""
    filled = placement.modern and (placement.rng.random() < 0.5 if filled is None else filled)
    open_units = units - restored - paid
    reimbursed = placement.journal.is_reimbursed("R2", _key(placement))
    unreconciled = (0 if reimbursed else open_units) if filled else None
    if not placement.adjust(code, -units, unreconciled=unreconciled):
        return
    placement.adjust("P", units, disposition="WAREHOUSE_DAMAGED")
    if not open_units and reason:
        placement.journal.add_decoy("R2", _key(placement), reason)
    placement.add_claim(_claim(placement, "R2", open_units, low), DAMAGED)


def _dispose(placement: Placement, units: int, paid: int = 0, reason: str = "") -> None:
    disposition = _DISPOSITIONS[placement.index % 3]
    if not placement.adjust("D", -units, disposition=disposition):
        return
    if not units - paid and reason:
        placement.journal.add_decoy("R3", _key(placement), reason)
    placement.add_claim(_claim(placement, "R3", units - paid, low=False), DAMAGED)


def _claim(placement: Placement, rule: str, units: int, low: bool) -> PlantedClaim:
    return PlantedClaim(
        rule=rule,
        name=NAMES[rule],
        key=_key(placement),
        product=placement.product,
        units=units,
        base=placement.at,
        opens=_OPENS,
        closes=_CLOSES,
        by_unit=True,
        low=low,
        reference=placement.reference,
    )


def _add_removal(placement: Placement, kind: str, quantity: int, after: float) -> None:
    if placement.journal.is_known(placement.moment(after)):
        id = decimal_id(int(placement.reference), 3, 10)
        order = RemovalOrder(
            placement.moment(after), id, kind, placement.product, "SELLABLE", quantity
        )
        placement.journal.removals.append(order)
        if kind == "Return":
            _add_vendor_return(placement, order)


def _add_vendor_return(placement: Placement, order: RemovalOrder) -> None:
    row = Movement(
        at=placement.moment(0),
        product=order.product,
        event="VendorReturns",
        reference=order.id,
        quantity=-order.quantity,
        center=placement.center,
        disposition=order.disposition,
    )
    placement.journal.add_movement(row)


def _key(placement: Placement) -> str:
    return f"{placement.reference}|{placement.product.fn_sku}"
