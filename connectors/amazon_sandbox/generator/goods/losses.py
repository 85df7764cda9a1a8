"""Scenarios of units lost in a warehouse (R1), reversed (R9) or underpaid reimbursements (R10)."""

import msgspec

from connectors.amazon_sandbox.generator.goods.placement import Placement
from connectors.amazon_sandbox.generator.journal import (
    LEDGER_DAYS,
    LOST,
    REVERSAL,
    PlantedClaim,
    Reimbursement,
    in_lines,
)

_FIND_DAYS = 7  # days after a reversal in which the unit may still be found


def lost(placement: Placement) -> None:
    """Lost and never found."""
    units = placement.rng.choice((1, 1, 2, 3))
    _lose(
        placement,
        units,
        paid=placement.add_reimbursement(LOST, units, 80) if placement.reimbursed_late else 0,
    )


def lost_then_found(placement: Placement) -> None:
    units = placement.rng.choice((1, 2, 3))
    _lose(placement, units, restored=placement.adjust("F", units, 4), reason="found again")
    placement.end("R1", _key(placement), "found", 4)


def lost_then_partly_found(placement: Placement) -> None:
    _lose(placement, 3, restored=placement.adjust("F", 1, 4))


def lost_then_paid(placement: Placement) -> None:
    units = placement.rng.choice((1, 2))
    _lose(
        placement,
        units,
        paid=placement.add_reimbursement(LOST, units, 3),
        reason="already reimbursed",
    )
    placement.end_paid("R1", _key(placement), placement.reimbursement(LOST, units, 3))


def lost_then_paid_in_lines(placement: Placement) -> None:
    """Reimbursed in two lines with the same id: one unit and two units."""
    lines = in_lines(placement.reimbursement(LOST, 3, 3), 1)
    paid = sum(placement.journal.add_reimbursement(line) for line in lines)
    _lose(placement, 3, paid=paid, filled=False, reason="reimbursed in two lines with one id")
    placement.end_paid("R1", _key(placement), *lines)


def lost_then_paid_unreconciled(placement: Placement) -> None:
    """Reimbursed, although Amazon's unreconciled quantity stays the same."""
    paid = placement.add_reimbursement(LOST, 2, 3)
    _lose(placement, 2, paid=paid, figure=2, reason="already reimbursed")
    placement.end_paid("R1", _key(placement), placement.reimbursement(LOST, 2, 3))


def lost_then_partly_paid_unreconciled(placement: Placement) -> None:
    _lose(placement, 3, paid=placement.add_reimbursement(LOST, 1, 3), figure=3)


def lost_then_reconciled_then_paid(placement: Placement) -> None:
    """Amazon's unreconciled quantity falls to 0 a week before the payment's row appears."""
    reconciled = placement.modern and placement.journal.is_known(placement.moment(9))
    paid = placement.add_reimbursement(LOST, 1, 12)
    reason = "Amazon's unreconciled quantity is 0"
    _lose(placement, 1, paid=paid, figure=0 if reconciled else 1, reason=reason)
    if placement.modern:
        placement.end("R1", _key(placement), "reconciled", 9)
    placement.end_paid("R1", _key(placement), placement.reimbursement(LOST, 1, 12))


def lost_then_partly_paid(placement: Placement) -> None:
    _lose(placement, 3, paid=placement.add_reimbursement(LOST, 1, 3))


def lost_then_replaced(placement: Placement) -> None:
    """Reimbursed in kind: Amazon replaces the unit."""
    reimbursement = msgspec.structs.replace(placement.reimbursement(LOST, 0, 3), stocked=1)
    _lose(
        placement,
        1,
        paid=placement.journal.add_reimbursement(reimbursement),
        reason="reimbursed in kind",
    )
    placement.end_paid("R1", _key(placement), reimbursement)


def lost_then_transferred(placement: Placement) -> None:
    """Found by a transfer of ownership, reason code N."""
    _lose(
        placement,
        2,
        restored=placement.adjust("N", 2, 4),
        reason="found, by the low-confidence code N",
    )
    placement.end("R1", _key(placement), "found", 4)


def lost_then_partly_transferred(placement: Placement) -> None:
    _lose(
        placement,
        3,
        restored=placement.adjust("N", 1, 4),
        low=placement.journal.is_known(placement.moment(4)),
    )


def lost_then_reconciled(placement: Placement) -> None:
    """Amazon's unreconciled quantity is 0, though no row accounts for the units."""
    if placement.modern:
        reason = "Amazon's unreconciled quantity is 0"
        _lose(
            placement,
            2,
            restored=2 * placement.journal.is_known(placement.moment(3)),
            filled=True,
            reason=reason,
        )
        placement.end("R1", _key(placement), "reconciled", 3)


def lost_then_partly_reconciled(placement: Placement) -> None:
    """Amazon's unreconciled quantity is lower than the sum of the rows."""
    if placement.modern:
        reconciled = placement.journal.is_known(placement.moment(3))
        _lose(placement, 3, restored=2 * reconciled, filled=True, differs=reconciled)


def lost_then_paid_then_reversed(placement: Placement) -> None:
    """The reimbursement is reversed although nothing was found: the loss is open again."""
    paid = placement.add_reimbursement(LOST, 1, 3)
    taken = _reverse(placement, placement.reimbursement(LOST, 1, 3), after=20)
    _lose(placement, 1, paid=paid - taken)
    if not taken:
        placement.end_paid("R1", _key(placement), placement.reimbursement(LOST, 1, 3))


def lost_then_paid_then_disposed(placement: Placement) -> None:
    """A reimbursed unit belongs to Amazon, which may dispose of it."""
    _lose(placement, 1, paid=placement.add_reimbursement(LOST, 1, 3), reason="already reimbursed")
    placement.end_paid("R1", _key(placement), placement.reimbursement(LOST, 1, 3))
    if placement.adjust("D", -1, 15):
        placement.journal.add_decoy(
            "R3", _key(placement), "it was reimbursed as lost, so it belongs to Amazon"
        )


def reversed_without_find(placement: Placement) -> None:
    """The reimbursement is reversed. The loss stays closed, by Amazon's unreconciled quantity or
    because it is too old to be read."""
    lost_after, paid_after = (-25, -20) if placement.modern else (-98, -94)
    loss = msgspec.structs.replace(placement, at=placement.moment(lost_after))
    paid = placement.add_reimbursement(LOST, 1, paid_after)
    _lose(loss, 1, paid=paid, filled=True, reason="already reimbursed")
    placement.end_paid("R1", _key(loss), placement.reimbursement(LOST, 1, paid_after))
    if _reverse(placement, placement.reimbursement(LOST, 1, paid_after), after=0):
        placement.end("R1", _key(loss), "reversed", 4)
        since = placement.journal.days_since(placement.moment(paid_after)) + _FIND_DAYS
        _claim_reversal(placement, placement.product.cost, low=since > LEDGER_DAYS + 1)


def reversed_after_find(placement: Placement) -> None:
    restored = placement.adjust("F", 1, 17)
    paid = placement.add_reimbursement(LOST, 1, 3)
    taken = _reverse(placement, placement.reimbursement(LOST, 1, 3), after=20)
    _lose(
        placement,
        1,
        restored=restored,
        paid=paid - taken,
        reason="found, and the reimbursement reversed",
    )
    placement.end_paid("R1", _key(placement), placement.reimbursement(LOST, 1, 3))
    placement.end("R1", _key(placement), "found", 17)
    if taken:
        placement.journal.add_decoy(
            "R9", f"{_reversal_id(placement, 20)}|{placement.product.sku}", "it was found"
        )


def paid_too_little(placement: Placement) -> None:
    """Reimbursed at 60 % of the cost. Only a client with the cost table detects it."""
    reimbursement = _low_reimbursement(placement)
    paid = placement.journal.add_reimbursement(reimbursement)
    _lose(placement, 2, paid=paid, reason="already reimbursed")
    placement.end_paid("R1", _key(placement), reimbursement)
    if paid:
        placement.journal.claims.append(_underpaid(placement, reimbursement))


def paid_too_little_then_reversed(placement: Placement) -> None:
    """Amazon reverses the low reimbursement: the loss is open again, and nothing is underpaid."""
    reimbursement = _low_reimbursement(placement)
    paid = placement.journal.add_reimbursement(reimbursement)
    taken = _reverse(placement, reimbursement, after=20)
    _lose(placement, 2, paid=paid - taken, filled=False)
    if not taken:
        placement.end_paid("R1", _key(placement), reimbursement)
    if paid and not taken:
        placement.journal.claims.append(_underpaid(placement, reimbursement))
    if taken:
        key = _underpaid(placement, reimbursement).key
        placement.journal.add_decoy("R10", key, "the payment was reversed")
        placement.end("R10", key, "reversed", 24)


def _low_reimbursement(placement: Placement) -> Reimbursement:
    return placement.reimbursement(LOST, 2, 3, placement.product.cost * 6 // 10)


def _underpaid(placement: Placement, reimbursement: Reimbursement) -> PlantedClaim:
    return PlantedClaim(
        rule="R10",
        key=f"{reimbursement.id}|{placement.product.sku}",
        product=placement.product,
        units=2,
        base=reimbursement.at,
        amount=2 * (placement.product.cost - reimbursement.unit_cents),
        valued_by="cost",
        reference=reimbursement.id,
    )


def _lose(
    placement: Placement,
    units: int,
    *,
    restored: int = 0,
    paid: int = 0,
    filled: bool | None = None,
    figure: int | None = None,
    low: bool = False,
    differs: bool = False,
    reason: str = "",
) -> None:
    """Add the loss and a claim for the open units.

    `filled`: the row has an unreconciled quantity; the open units, unless `figure` is given.
    `differs`: the rows leave more units open than that quantity. `reason`: why no unit is open."""
    filled = placement.modern and (placement.rng.random() < 0.5 if filled is None else filled)
    open_units = max(0, units - restored - max(0, paid))
    reimbursed = placement.journal.is_reimbursed("R1", _key(placement))
    unreconciled = (0 if reimbursed else open_units) if filled else None
    if figure is not None:
        filled, unreconciled = placement.modern, figure if placement.modern else None
        differs = placement.modern and figure != open_units
        open_units = min(figure, open_units) if placement.modern else open_units
    code = "5" if placement.index % 3 == 2 else "M"
    if not placement.adjust(code, -units, unreconciled=unreconciled):
        return
    if not open_units and reason:
        placement.journal.add_decoy("R1", _key(placement), reason)
    claim = PlantedClaim(
        rule="R1",
        key=_key(placement),
        product=placement.product,
        units=open_units,
        base=placement.at,
        by_unit=True,
        low=differs or (low and not filled),
        reference=placement.reference,
    )
    placement.add_claim(claim, LOST)


def _reverse(placement: Placement, original: Reimbursement, after: float) -> int:
    """Add the reversal of a reimbursement. Returns its units, or 0 if it is not visible yet."""
    reversal = msgspec.structs.replace(
        placement.reimbursement(REVERSAL, -original.units, after, original.unit_cents),
        id=_reversal_id(placement, after),
        original=original.id,
        original_reason=original.reason,
    )
    return -placement.journal.add_reimbursement(reversal)


def _reversal_id(placement: Placement, after: float) -> str:
    return placement.reimbursement(REVERSAL, -1, after).id


def _claim_reversal(placement: Placement, amount: int, low: bool) -> None:
    id = _reversal_id(placement, 0)
    claim = PlantedClaim(
        rule="R9",
        key=f"{id}|{placement.product.sku}",
        product=placement.product,
        units=1,
        base=placement.at,
        amount=amount,
        valued_by="reversal",
        low=low,
        reference=id,
    )
    placement.journal.claims.append(claim)


def _key(placement: Placement) -> str:
    return f"{placement.product.fn_sku}|{placement.date}|{placement.reference}"
