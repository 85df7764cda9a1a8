"""Refunded orders: returned, not returned (R4), damaged in transit (R5) or not restocked (R6).

Their outcomes are those of `sales.OUTCOMES`.
"""

import random
from collections.abc import Callable

import msgspec

from connectors.amazon_sandbox.generator.journal import (
    LEDGER_DAYS,
    NAMES,
    RETURNED,
    CustomerReturn,
    Journal,
    Movement,
    PlantedClaim,
    reimbursement,
)
from connectors.amazon_sandbox.generator.marketplaces import MarketplaceInfo
from connectors.amazon_sandbox.generator.placement import CENTERS
from connectors.amazon_sandbox.generator.randomness import decimal_id, digest
from connectors.amazon_sandbox.generator.sales import Line, Sale
from connectors.amazon_sandbox.generator.times import DAY, HOUR, day

_VISIBLE_AFTER = 14  # days within which the ledger shows a return

# First and last day of the claim window, in days after the refund.
_DEFAULT_WINDOW, _EU_WINDOW = (60, 120), (45, 105)


class RefundAmount(msgspec.Struct, frozen=True, gc=False):
    """A refund of all units of an item."""

    posted: int
    #: The amount of its posting, negative.
    cents: int

    @classmethod
    def of(cls, line: Line, posted: int) -> "RefundAmount":
        """Amazon keeps a fifth of the commission and the whole fulfilment fee. Tax cancels out."""
        commission = line.product.price * line.product.commission // 100
        unit_cents = -line.product.price + commission - commission // 5
        return cls(posted, unit_cents * line.fulfilled)


class RefundCase(msgspec.Struct, frozen=True):
    """One item that is refunded or replaced."""

    journal: Journal
    marketplace: MarketplaceInfo
    sale: Sale
    line: Line
    #: None while the refund is not known, and for a replacement.
    refund: RefundAmount | None
    #: The moment of the refund or replacement.
    base: int
    rng: random.Random

    @property
    def key(self) -> str:
        return f"{self.sale.id}|{self.line.product.sku}"

    @property
    def units(self) -> int:
        return self.line.fulfilled

    @property
    def window(self) -> tuple[int, int]:
        return _EU_WINDOW if self.marketplace.in_union else _DEFAULT_WINDOW


def emit(case: RefundCase) -> None:
    """Add the goods' outcome to the journal. Amazon tracks only goods that it shipped."""
    if not case.sale.by_amazon:
        case.journal.add_decoy("R4", case.key, "the merchant shipped it")
        return
    _EMITTERS[case.sale.outcome](case)


def _returned(case: RefundCase) -> None:
    _add_return(case, -case.rng.randrange(HOUR, 3 * DAY), "SELLABLE")


def _returned_later(case: RefundCase) -> None:
    _add_return(case, case.rng.randrange(3 * DAY, 25 * DAY), "SELLABLE")


def _kept(case: RefundCase) -> None:
    _claim_refund(case, case.units)


def _kept_paid(case: RefundCase) -> None:
    paid = _reimburse(case, case.units, 45)
    if paid:
        case.journal.add_decoy("R4", case.key, "already reimbursed")
    _claim_refund(case, case.units - paid)


def _kept_part_paid(case: RefundCase) -> None:
    _claim_refund(case, case.units - _reimburse(case, 1, 45))


def _damaged(case: RefundCase) -> None:
    if _add_return(case, -2 * DAY, "DAMAGED"):
        _claim_damage(case)


def _carrier_damaged(case: RefundCase) -> None:
    if _add_return(case, -2 * DAY, "CARRIER_DAMAGED"):
        _claim_damage(case)


def _carrier_paid(case: RefundCase) -> None:
    if not _add_return(case, -2 * DAY, "CARRIER_DAMAGED"):
        return
    if _reimburse(case, case.units, 10):
        case.journal.add_decoy("R5", case.key, "already reimbursed")
    else:
        _claim_damage(case)


def _customer_damaged(case: RefundCase) -> None:
    if _add_return(case, -DAY, "CUSTOMER_DAMAGED"):
        case.journal.add_decoy("R5", case.key, "the customer damaged it")


def _defective(case: RefundCase) -> None:
    if _add_return(case, -DAY, "DEFECTIVE"):
        case.journal.add_decoy("R5", case.key, "it was defective")


def _unstocked(case: RefundCase) -> None:
    """Returned in sellable condition, but the ledger shows it too late."""
    at = case.base - DAY
    age = case.journal.days_since(at)
    if not _add_return(case, -DAY, "SELLABLE", stocked=age > LEDGER_DAYS):
        return
    claim = _unstocked_claim(case, at)
    if age < _VISIBLE_AFTER:
        case.journal.add_decoy("R6", claim.key, "too young: the ledger may still show it")
    elif age > LEDGER_DAYS:
        case.journal.add_decoy("R6", claim.key, "too old: it was restocked in the end")
    else:
        case.journal.claims.append(claim)


def _replaced(case: RefundCase) -> None:
    case.journal.add_decoy("R4", case.key, "replaced, not refunded")


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
    "replaced": _replaced,
    "damaged_replaced": _damaged,
}

UNREFUNDED = frozenset({"replaced", "damaged_replaced"})


def _add_return(case: RefundCase, after: int, disposition: str, stocked: bool = True) -> int:
    """Add the return and its row of the ledger. Returns its units, or 0 if it is not known yet.

    One return in five is recorded weeks after its date. Until then only the refund is known.
    """
    at, units = case.base + after, case.units
    hidden = case.rng.randrange(5, 33) * DAY if case.rng.random() < 0.2 else 0
    if not case.journal.is_known(at + hidden):
        _claim_refund(case, units)
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
    at = case.base + after * DAY
    unit_cents = abs(case.refund.cents) // case.units if case.refund else case.line.product.cost
    id = decimal_id(case.sale.serial, 17, 11)
    product, order_id = case.line.product, case.sale.id
    paid = reimbursement(id, at, RETURNED, product, units, unit_cents=unit_cents, order_id=order_id)
    return case.journal.add_reimbursement(paid)


def _claim_refund(case: RefundCase, units: int) -> None:
    if case.refund:
        _claim(case, "R4", units, "refund")


def _claim_damage(case: RefundCase) -> None:
    _claim(case, "R5", case.units, "refund" if case.refund else "")


def _claim(case: RefundCase, rule: str, units: int, valued_by: str) -> None:
    amount = max(0, -case.refund.cents * units // case.units) if case.refund else None
    claim = PlantedClaim(
        rule=rule,
        name=NAMES[rule],
        key=case.key,
        product=case.line.product,
        units=units,
        base=case.base if case.refund else case.base - 2 * DAY,
        opens=case.window[0],
        closes=case.window[1],
        amount=amount,
        valued_by=valued_by,
        currency=case.marketplace.currency,
        order_id=case.sale.id,
    )
    id = decimal_id(case.sale.serial, 19, 11)
    unit_cents = (amount or case.line.product.cost) // max(1, units)
    product, order_id = case.line.product, case.sale.id
    on_demand = reimbursement(
        id, 0, RETURNED, product, units, unit_cents=unit_cents, order_id=order_id
    )
    case.journal.add_claim(claim, on_demand)


def _unstocked_claim(case: RefundCase, at: int) -> PlantedClaim:
    product = case.line.product
    return PlantedClaim(
        rule="R6",
        name=NAMES["R6"],
        key=f"{product.fn_sku}|{day(at):%Y-%m}",
        product=product,
        units=case.units,
        base=at,
        opens=case.window[0],
        closes=case.window[1],
        by_sale=True,
        currency=case.marketplace.currency,
        low=True,
        order_id=case.sale.id,
    )
