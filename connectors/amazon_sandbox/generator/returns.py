"""Refunded orders: returned, not returned (R4), damaged in transit (R5) or not restocked (R6).

Their outcomes are those of `sales.OUTCOMES`.
"""

import random
from collections.abc import Callable

import msgspec

from connectors.amazon_sandbox.generator.goods.placement import CENTERS
from connectors.amazon_sandbox.generator.journal import (
    LEDGER_DAYS,
    RETURNED,
    CustomerReturn,
    Ending,
    Journal,
    Movement,
    PlantedClaim,
    Reimbursement,
    in_lines,
    reimbursement,
)
from connectors.amazon_sandbox.generator.marketplaces import MarketplaceInfo
from connectors.amazon_sandbox.generator.randomness import decimal_id, digest
from connectors.amazon_sandbox.generator.refunds import Refunded
from connectors.amazon_sandbox.generator.sales import Line, Sale
from connectors.amazon_sandbox.generator.times import DAY, HOUR, day

_VISIBLE_AFTER = 14  # days within which the ledger shows a return
_MAX_RETAINED = 500  # cents that Amazon may keep of the referral fee of a refunded unit


class RefundCase(msgspec.Struct, frozen=True):
    """One item that is refunded or replaced."""

    journal: Journal
    marketplace: MarketplaceInfo
    sale: Sale
    line: Line
    #: The currency in which the seller is reimbursed.
    paid_in: str
    #: When its sale was posted.
    sold: int
    #: None while no refund is known, and for a replacement.
    refund: Refunded | None
    #: The moment of its last refund, known or not, or of the replacement.
    base: int
    rng: random.Random

    @property
    def key(self) -> str:
        return f"{self.sale.id}|{self.line.product.sku}"

    @property
    def units(self) -> int:
        """The number of units that come back, if any do."""
        return self.line.fulfilled


def emit(case: RefundCase) -> None:
    """Add the goods' outcome to the journal. Amazon tracks only goods that it shipped."""
    _claim_wrong_amounts(case)
    if not case.sale.by_amazon:
        case.journal.add_decoy("R4", case.key, "the merchant shipped it")
        return
    _EMITTERS[case.sale.outcome](case)


def _claim_wrong_amounts(case: RefundCase) -> None:
    """Claims for more principal than the price (R18), and for a fee that Amazon kept (R17)."""
    if case.refund is None:
        return
    in_all = case.refund.principal - case.line.price * case.line.fulfilled
    last = case.refund.parts[-1]
    if in_all > 0:
        _add_amount_claim(case, "R18", in_all, last.posted)
    elif len(case.refund.parts) > 1:
        case.journal.add_decoy("R18", case.key, "the refunds add up to the price")
    if case.marketplace.country != "US":
        return
    # Twenty percent of the referral fee, at most five dollars per unit, in fifths of a cent.
    allowed = min(case.line.fulfilled * 5 * _MAX_RETAINED, last.commission)
    if last.retained * 5 > allowed:
        excess = (2 * (last.retained * 5 - allowed) + 5) // 10
        _add_amount_claim(case, "R17", excess, last.posted)
    elif case.sale.outcome == "returned":
        case.journal.add_decoy("R17", case.key, "a fifth of the referral fee may be kept")


def _add_amount_claim(case: RefundCase, rule: str, amount: int, at: int) -> None:
    claim = PlantedClaim(
        rule=rule,
        key=case.key,
        product=case.line.product,
        units=1,
        base=at,
        country=case.marketplace.country,
        amount=amount,
        valued_by="refund",
        currency=case.marketplace.currency,
        order_id=case.sale.id,
        sold=case.sold if rule == "R18" else 0,
    )
    case.journal.claims.append(claim)


def _returned(case: RefundCase) -> None:
    add_return(case, -case.rng.randrange(HOUR, 3 * DAY), "SELLABLE")


def _returned_first(case: RefundCase) -> None:
    """Returned before the first of its refunds."""
    add_return(case, case.sold + 36 * HOUR - case.base, "SELLABLE", late=False)


def _returned_later(case: RefundCase) -> None:
    add_return(case, case.rng.randrange(3 * DAY, 25 * DAY), "SELLABLE")


def _kept(case: RefundCase) -> None:
    _claim_refund(case, case.refund.units if case.refund else 0)


def _kept_mostly(case: RefundCase) -> None:
    """Between a half and the whole of the price: a unit, but with low confidence."""
    _claim_refund(case, case.refund.units if case.refund else 0, low=True)


def _goodwill(case: RefundCase) -> None:
    case.journal.add_decoy("R4", case.key, "goodwill: a small part of the price, the item is kept")


def _kept_in_parts(case: RefundCase) -> None:
    _kept(case)
    if case.refund and not case.refund.units:
        case.journal.add_decoy("R4", case.key, "a quarter of the price is not yet a unit")


def _kept_underpaid(case: RefundCase) -> None:
    """Reimbursed with a quarter of what the refund took from the seller (R13)."""
    if case.refund is None:
        return
    net = -case.refund.cents // case.units
    low = _reimbursement(case, case.units, 45, net // 4)
    paid = case.journal.add_reimbursement(low)
    _claim_refund(case, case.units - paid)
    if not paid:
        return
    if case.paid_in != case.marketplace.currency:
        case.journal.add_decoy("R13", case.key, "paid in another currency")
        return
    claim = PlantedClaim(
        rule="R13",
        key=case.key,
        product=case.line.product,
        units=case.units,
        base=low.at,
        country=case.marketplace.country,
        amount=(net - low.unit_cents) * case.units,
        valued_by="refund",
        currency=case.marketplace.currency,
        order_id=case.sale.id,
        reference=low.id,
    )
    case.journal.claims.append(claim)


def _kept_paid_in_lines(case: RefundCase) -> None:
    """One reimbursement id has two lines of the item."""
    lines = in_lines(_reimbursement(case, case.units, 45), 1)
    paid = sum(case.journal.add_reimbursement(line) for line in lines)
    if paid:
        case.journal.add_decoy("R4", case.key, "reimbursed in two lines with one id")
    _claim_refund(case, case.units - paid)
    _end_paid(case, *lines)


def _kept_paid(case: RefundCase) -> None:
    paid = _reimburse(case, case.units, 45)
    if paid:
        case.journal.add_decoy("R4", case.key, "already reimbursed")
        case.journal.add_decoy("R13", case.key, "paid as much as the refund took")
    _claim_refund(case, case.units - paid)
    _end_paid(case, _reimbursement(case, case.units, 45))


def _kept_part_paid(case: RefundCase) -> None:
    _claim_refund(case, case.units - _reimburse(case, 1, 45))


def _damaged(case: RefundCase) -> None:
    if add_return(case, -2 * DAY, "DAMAGED"):
        claim_damage(case)


def _damaged_in_parts(case: RefundCase) -> None:
    """Returned after the last of two refunds of one unit."""
    if case.refund and case.refund.units and add_return(case, 2 * DAY, "DAMAGED"):
        claim_damage(case)


def _carrier_damaged(case: RefundCase) -> None:
    if add_return(case, -2 * DAY, "CARRIER_DAMAGED"):
        claim_damage(case)


def _carrier_paid(case: RefundCase) -> None:
    if not add_return(case, -2 * DAY, "CARRIER_DAMAGED"):
        return
    if _reimburse(case, case.units, 10):
        case.journal.add_decoy("R5", case.key, "already reimbursed")
    else:
        claim_damage(case)


def _customer_damaged(case: RefundCase) -> None:
    if add_return(case, -DAY, "CUSTOMER_DAMAGED"):
        case.journal.add_decoy("R5", case.key, "the customer damaged it")


def _defective(case: RefundCase) -> None:
    if add_return(case, -DAY, "DEFECTIVE"):
        case.journal.add_decoy("R5", case.key, "it was defective")


def _unstocked(case: RefundCase) -> None:
    """Returned in sellable condition, but the ledger shows it too late."""
    at = case.base - DAY
    age = case.journal.days_since(at)
    if not add_return(case, -DAY, "SELLABLE", stocked=age > LEDGER_DAYS):
        return
    claim = _unstocked_claim(case, at)
    if age < _VISIBLE_AFTER:
        case.journal.add_decoy("R6", claim.key, "too young: the ledger may still show it")
    elif age > LEDGER_DAYS:
        case.journal.add_decoy("R6", claim.key, "too old: it was restocked in the end")
    else:
        case.journal.claims.append(claim)


_EMITTERS: dict[str, Callable[[RefundCase], None]] = {
    "returned": _returned,
    "returned_later": _returned_later,
    "kept": _kept,
    "kept_paid": _kept_paid,
    "kept_part_paid": _kept_part_paid,
    "damaged": _damaged,
    "carrier_damaged": _carrier_damaged,
    "carrier_paid": _carrier_paid,
    "customer_damaged": _customer_damaged,
    "defective": _defective,
    "unstocked": _unstocked,
    "replaced_refunded": _kept,
    "goodwill": _goodwill,
    "kept_in_parts": _kept_in_parts,
    "kept_mostly": _kept_mostly,
    "kept_repeated": _kept,
    "kept_underpaid": _kept_underpaid,
    "kept_paid_in_lines": _kept_paid_in_lines,
    "damaged_in_parts": _damaged_in_parts,
    "returned_in_parts": _returned_first,
    "returned_fee_kept": _returned_first,
    "refunded_too_much": _returned_first,
}


def add_return(
    case: RefundCase, after: int, disposition: str, stocked: bool = True, late: bool = True
) -> int:
    """Add the return and its row of the ledger. Returns its units, or 0 if it is not known yet.

    `late`: one return in five is recorded weeks after its date. Until then only the refund is
    known.
    """
    at, units = case.base + after, case.units
    hidden = case.rng.randrange(5, 33) * DAY if late and case.rng.random() < 0.2 else 0
    if not case.journal.is_known(at + hidden):
        _claim_refund(case, min(units, case.refund.units) if case.refund else 0)
        return 0
    center = case.rng.choice(CENTERS)
    plate = "LPNRR" + digest("plate", case.sale.id)[:9].upper()
    reason = case.rng.choice(("UNWANTED_ITEM", "NOT_COMPATIBLE", "ORDERED_WRONG_ITEM"))
    reason = reason if disposition == "SELLABLE" else "DEFECTIVE"
    product = case.line.product
    case.journal.returns.append(
        CustomerReturn(at, case.sale.id, product, units, center, disposition, reason, plate)
    )
    if stocked:
        ledger_disposition = "WAREHOUSE_DAMAGED" if disposition == "DAMAGED" else disposition
        reference = decimal_id(case.sale.serial, 31, 12)
        row = Movement(at, product, "CustomerReturns", reference, units, center, ledger_disposition)
        case.journal.add_movement(row)
    return units


def _reimburse(case: RefundCase, units: int, after: int) -> int:
    return case.journal.add_reimbursement(_reimbursement(case, units, after))


def _reimbursement(
    case: RefundCase, units: int, after: int, unit_cents: int | None = None
) -> Reimbursement:
    """A reimbursement of the order; by default of what the refund took from the seller."""
    net = -case.refund.cents // case.units if case.refund else case.line.product.cost
    return reimbursement(
        decimal_id(case.sale.serial, 17, 11),
        case.base + after * DAY,
        RETURNED,
        case.line.product,
        units,
        unit_cents=net if unit_cents is None else unit_cents,
        order_id=case.sale.id,
    )


def _end_paid(case: RefundCase, *paid: Reimbursement) -> None:
    if case.refund:
        ending = Ending("R4", case.key, "reimbursed", paid[0].visible_at, paid)
        case.journal.add_ending(ending)


def _claim_refund(case: RefundCase, units: int, *, low: bool = False) -> None:
    if case.refund:
        _claim(case, "R4", units, "refund", low)


def claim_damage(case: RefundCase) -> None:
    _claim(case, "R5", case.units, "refund" if case.refund else "")


def _claim(case: RefundCase, rule: str, units: int, valued_by: str, low: bool = False) -> None:
    refund, amount = case.refund, None
    if refund and refund.units:
        amount = max(0, -refund.cents * units // refund.units)
    claim = PlantedClaim(
        rule=rule,
        key=case.key,
        product=case.line.product,
        units=units,
        base=case.base if case.refund else case.base - 2 * DAY,
        country=case.marketplace.country,
        amount=amount,
        valued_by=valued_by,
        currency=case.marketplace.currency,
        low=low,
        order_id=case.sale.id,
    )
    # Rounded up, so that the payment is not a fraction of a cent too low.
    unit_cents = -(-(amount or case.line.product.cost) // max(1, units))
    on_demand = reimbursement(
        decimal_id(case.sale.serial, 19, 11),
        0,
        RETURNED,
        case.line.product,
        units,
        unit_cents=unit_cents,
        order_id=case.sale.id,
    )
    case.journal.add_claim(claim, on_demand)


def _unstocked_claim(case: RefundCase, at: int) -> PlantedClaim:
    product = case.line.product
    return PlantedClaim(
        rule="R6",
        key=f"{product.fn_sku}|{day(at):%Y-%m}",
        product=product,
        units=case.units,
        base=at,
        country=case.marketplace.country,
        by_sale=True,
        currency=case.marketplace.currency,
        low=True,
        order_id=case.sale.id,
    )
