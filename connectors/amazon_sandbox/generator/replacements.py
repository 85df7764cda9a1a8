"""Replaced orders: the customer keeps the original unit (R15), or it is returned, paid or refunded.

Their outcomes are those of `sales.OUTCOMES`.
"""

from collections.abc import Callable

import msgspec

from connectors.amazon_sandbox.generator.goods.placement import CENTERS
from connectors.amazon_sandbox.generator.journal import (
    RETURNED,
    Ending,
    PlantedClaim,
    Reimbursement,
    SentReplacement,
    reimbursement,
)
from connectors.amazon_sandbox.generator.randomness import decimal_id
from connectors.amazon_sandbox.generator.returns import RefundCase, add_return, claim_damage, emit
from connectors.amazon_sandbox.generator.times import DAY

UNREFUNDED = frozenset({"replaced", "replaced_returned_late", "replaced_paid", "damaged_replaced"})
"""Outcomes whose base is the replacement; no refund follows."""

_BEFORE_REFUND = 2 * DAY  # from the sale until the replacement of a unit that is refunded later


def emit_replacement(case: RefundCase, net: int) -> None:
    """Add the replacement and the outcome of the original. `net`: the net proceeds of a unit, in
    cents. Amazon replaces only goods that it shipped."""
    outcome = case.sale.outcome
    if not case.sale.by_amazon:
        emit(case)
        return
    sent = case.base if outcome in UNREFUNDED else case.sold + _BEFORE_REFUND
    if case.journal.is_known(sent):
        case.journal.replacements.append(_replacement(case, sent))
    _EMITTERS[outcome](case, net)


def _replacement(case: RefundCase, sent: int) -> SentReplacement:
    number = decimal_id(case.sale.serial, 43, 14)
    return SentReplacement(
        at=sent,
        order_id=f"115-{number[:7]}-{number[7:]}",
        original=case.sale.id,
        product=case.line.product,
        quantity=case.units,
        center=CENTERS[case.sale.serial % len(CENTERS)],
        original_center=CENTERS[(case.sale.serial + 2) % len(CENTERS)],
    )


def _replaced(case: RefundCase, net: int) -> None:
    _claim(case, net)
    case.journal.add_decoy("R4", case.key, "replaced, not refunded")


def _returned_late(case: RefundCase, net: int) -> None:
    """The original comes back after the first day of the claim window."""
    late = 70 * DAY
    if add_return(case, late, "SELLABLE", late=False):
        case.journal.add_decoy("R15", case.key, "the original came back late")
        case.journal.add_ending(Ending("R15", case.key, "found", case.base + late))
    else:
        _claim(case, net)


def _paid(case: RefundCase, net: int) -> None:
    paid = reimbursement(
        decimal_id(case.sale.serial, 47, 11),
        case.base + 25 * DAY,
        RETURNED,
        case.line.product,
        case.units,
        unit_cents=max(0, net),
        order_id=case.sale.id,
    )
    if case.journal.add_reimbursement(paid):
        case.journal.add_decoy("R15", case.key, "already reimbursed")
        case.journal.add_ending(Ending("R15", case.key, "reimbursed", paid.visible_at, (paid,)))
    else:
        _claim(case, net)


def _damaged(case: RefundCase, net: int) -> None:
    """Returned before the replacement, and damaged by Amazon."""
    if add_return(case, -2 * DAY, "DAMAGED"):
        claim_damage(case)
        case.journal.add_decoy("R15", case.key, "the original came back")
    else:
        _claim(case, net)


def _refunded(case: RefundCase, net: int) -> None:
    """Replaced and later also refunded: one claim for the refund."""
    emit(case)
    if case.refund:
        case.journal.add_decoy("R15", case.key, "also refunded: it is claimed as a refund")
    elif case.journal.is_known(case.sold + _BEFORE_REFUND):
        _claim(case, net, case.sold + _BEFORE_REFUND)


_EMITTERS: dict[str, Callable[[RefundCase, int], None]] = {
    "replaced": _replaced,
    "replaced_returned_late": _returned_late,
    "replaced_paid": _paid,
    "replaced_refunded": _refunded,
    "damaged_replaced": _damaged,
}

OUTCOMES = frozenset(_EMITTERS)


def _claim(case: RefundCase, net: int, sent: int | None = None) -> None:
    at = case.base if sent is None else sent
    if not case.journal.is_known(at):
        return
    claim = PlantedClaim(
        rule="R15",
        key=case.key,
        product=case.line.product,
        units=case.units,
        base=at,
        country=case.marketplace.country,
        amount=max(0, net * case.units),
        valued_by="sale",
        currency=case.marketplace.currency,
        order_id=case.sale.id,
    )
    case.journal.add_claim(claim, _on_demand(case, net))


def _on_demand(case: RefundCase, net: int) -> Reimbursement:
    return msgspec.structs.replace(
        reimbursement(
            decimal_id(case.sale.serial, 53, 11),
            0,
            RETURNED,
            case.line.product,
            case.units,
            unit_cents=max(0, net),
        ),
        order_id=case.sale.id,
    )
