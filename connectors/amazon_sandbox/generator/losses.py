"""Scenarios of units lost in a warehouse (R1), reversed (R9) or underpaid reimbursements (R10)."""

import msgspec

from connectors.amazon_sandbox.generator.journal import (
    LEDGER_DAYS,
    LOST,
    NAMES,
    REVERSAL,
    PlantedClaim,
)
from connectors.amazon_sandbox.generator.placement import Placement

_OPENS, _CLOSES = 7, 60  # days after the loss, reversal or reimbursement


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


def lost_then_transferred(placement: Placement) -> None:
    """Found by a transfer of ownership, reason code N."""
    _lose(
        placement,
        2,
        restored=placement.adjust("N", 2, 4),
        reason="found, by the low-confidence code N",
    )


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


def lost_then_partly_reconciled(placement: Placement) -> None:
    """Amazon's unreconciled quantity is lower than the sum of the rows."""
    if placement.modern:
        reconciled = placement.journal.is_known(placement.moment(3))
        _lose(placement, 3, restored=2 * reconciled, filled=True, differs=reconciled)


def lost_then_paid_then_reversed(placement: Placement) -> None:
    """The reimbursement is reversed although nothing was found: the loss is open again."""
    paid = placement.add_reimbursement(LOST, 1, 3)
    _lose(placement, 1, paid=paid - _reverse(placement, LOST, 1, paid_after=3, after=20))


def lost_then_paid_then_disposed(placement: Placement) -> None:
    """A reimbursed unit belongs to Amazon, which may dispose of it."""
    _lose(placement, 1, paid=placement.add_reimbursement(LOST, 1, 3), reason="already reimbursed")
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
    if _reverse(placement, LOST, 1, paid_after=paid_after, after=0):
        since = placement.journal.days_since(placement.moment(paid_after)) + _OPENS
        _claim_reversal(placement, placement.product.cost, low=since > LEDGER_DAYS + 1)


def reversed_after_find(placement: Placement) -> None:
    restored = placement.adjust("F", 1, 17)
    paid = placement.add_reimbursement(LOST, 1, 3)
    taken = _reverse(placement, LOST, 1, paid_after=3, after=20)
    _lose(
        placement,
        1,
        restored=restored,
        paid=paid - taken,
        reason="found, and the reimbursement reversed",
    )
    if taken:
        placement.journal.add_decoy(
            "R9", f"{_reversal_id(placement, 20)}|{placement.product.sku}", "it was found"
        )


def paid_too_little(placement: Placement) -> None:
    """Reimbursed at 60 % of the cost. Only a client with the cost table detects it."""
    unit_cents = placement.product.cost * 6 // 10
    reimbursement = placement.reimbursement(LOST, 2, 3, unit_cents)
    paid = placement.journal.add_reimbursement(reimbursement)
    _lose(placement, 2, paid=paid, reason="already reimbursed")
    if paid:
        claim = PlantedClaim(
            rule="R10",
            name=NAMES["R10"],
            key=f"{reimbursement.id}|{placement.product.sku}",
            product=placement.product,
            units=2,
            base=reimbursement.at,
            opens=0,
            closes=_CLOSES,
            amount=2 * (placement.product.cost - unit_cents),
            valued_by="cost",
            reference=reimbursement.id,
        )
        placement.journal.claims.append(claim)


def _lose(
    placement: Placement,
    units: int,
    *,
    restored: int = 0,
    paid: int = 0,
    filled: bool | None = None,
    low: bool = False,
    differs: bool = False,
    reason: str = "",
) -> None:
    """Add the loss and a claim for the open units.

    `filled`: the row has Amazon's own unreconciled quantity. `differs`: that quantity is not what
    the rows leave open. `reason`: why nothing is open."""
    filled = placement.modern and (placement.rng.random() < 0.5 if filled is None else filled)
    open_units = max(0, units - restored - max(0, paid))
    reimbursed = placement.journal.is_reimbursed("R1", _key(placement))
    unreconciled = (0 if reimbursed else open_units) if filled else None
    code = "5" if placement.index % 3 == 2 else "M"
    if not placement.adjust(code, -units, unreconciled=unreconciled):
        return
    if not open_units and reason:
        placement.journal.add_decoy("R1", _key(placement), reason)
    claim = PlantedClaim(
        rule="R1",
        name=NAMES["R1"],
        key=_key(placement),
        product=placement.product,
        units=open_units,
        base=placement.at,
        opens=_OPENS,
        closes=_CLOSES,
        by_unit=True,
        low=differs or (low and not filled),
        reference=placement.reference,
    )
    placement.add_claim(claim, LOST)


def _reverse(placement: Placement, reason: str, units: int, paid_after: float, after: float) -> int:
    """Add the reversal of a reimbursement. Returns its units, or 0 if it is not visible yet."""
    original = placement.reimbursement(reason, units, paid_after)
    reversal = msgspec.structs.replace(
        placement.reimbursement(REVERSAL, -units, after),
        id=_reversal_id(placement, after),
        original=original.id,
        original_reason=reason,
    )
    return -placement.journal.add_reimbursement(reversal)


def _reversal_id(placement: Placement, after: float) -> str:
    return placement.reimbursement(REVERSAL, -1, after).id


def _claim_reversal(placement: Placement, amount: int, low: bool) -> None:
    id = _reversal_id(placement, 0)
    claim = PlantedClaim(
        rule="R9",
        name=NAMES["R9"],
        key=f"{id}|{placement.product.sku}",
        product=placement.product,
        units=1,
        base=placement.at,
        opens=_OPENS,
        closes=_CLOSES,
        amount=amount,
        valued_by="reversal",
        low=low,
        reference=id,
    )
    placement.journal.claims.append(claim)


def _key(placement: Placement) -> str:
    return f"{placement.product.fn_sku}|{placement.date}|{placement.reference}"
