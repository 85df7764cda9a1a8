"""Scenarios of units damaged (R2) or disposed of (R3) in a warehouse."""

from connectors.amazon_sandbox.generator.goods.placement import Placement
from connectors.amazon_sandbox.generator.goods.removals import add_removal, removal
from connectors.amazon_sandbox.generator.journal import (
    DAMAGED,
    PlantedClaim,
)

_DISPOSITIONS = ("SELLABLE", "WAREHOUSE_DAMAGED", "EXPIRED")


def damaged(placement: Placement) -> None:
    """Damaged and not reimbursed, or reimbursed only when the claim window has nearly closed."""
    units = placement.rng.choice((1, 1, 2))
    paid = placement.add_reimbursement(DAMAGED, units, 52) if placement.reimbursed_late else 0
    _damage(placement, "E67"[placement.index % 3], units, paid=paid)
    if placement.reimbursed_late:
        placement.end_paid("R2", _key(placement), placement.reimbursement(DAMAGED, units, 52))


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
    placement.end_paid("R2", _key(placement), placement.reimbursement(DAMAGED, units, 4))


def damaged_then_paid_unreconciled(placement: Placement) -> None:
    """Reimbursed, although Amazon's unreconciled quantity stays the same."""
    paid = placement.add_reimbursement(DAMAGED, 2, 4)
    _damage(placement, "E", 2, paid=paid, figure=2, reason="already reimbursed")
    placement.end_paid("R2", _key(placement), placement.reimbursement(DAMAGED, 2, 4))


def damaged_then_partly_paid_unreconciled(placement: Placement) -> None:
    _damage(placement, "6", 3, paid=placement.add_reimbursement(DAMAGED, 1, 4), figure=3)


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
        placement.end("R2", _key(placement), "reconciled", 3)


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
    paid = placement.add_reimbursement(DAMAGED, units, 52) if placement.reimbursed_late else 0
    _dispose(placement, units, paid=paid)
    if placement.reimbursed_late:
        placement.end_paid("R3", _key(placement), placement.reimbursement(DAMAGED, units, 52))


def disposed_beside_a_return(placement: Placement) -> None:
    """The only removal order is a return to the seller, not a disposal."""
    add_removal(placement, removal(placement, "Return", 5, -3))
    _dispose(placement, 1)


def disposed_on_request(placement: Placement) -> None:
    add_removal(placement, removal(placement, "Disposal", 2, -5))
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
    placement.end_paid("R3", _key(placement), placement.reimbursement(DAMAGED, 1, 4))


def _damage(
    placement: Placement,
    code: str,
    units: int,
    *,
    restored: int = 0,
    paid: int = 0,
    filled: bool | None = None,
    figure: int | None = None,
    low: bool = False,
    reason: str = "",
) -> None:
    """Add the damage, the row that always follows it, and a claim for the open units.

    `filled`: the row has Amazon's own unreconciled quantity, by default the open units; `figure` is
    a higher one. `reason`: why nothing is open."""
    filled = placement.modern and (placement.rng.random() < 0.5 if filled is None else filled)
    open_units = units - restored - paid
    reimbursed = placement.journal.is_reimbursed("R2", _key(placement))
    unreconciled = (0 if reimbursed else open_units) if filled else None
    if figure is not None:
        unreconciled = figure if placement.modern else None
        low = placement.modern and figure != open_units
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
        key=_key(placement),
        product=placement.product,
        units=units,
        base=placement.at,
        by_unit=True,
        low=low,
        reference=placement.reference,
    )


def _key(placement: Placement) -> str:
    return f"{placement.reference}|{placement.product.fn_sku}"
