"""What became of refunded orders: returned, kept (R4), damaged on the way (R5), lost track of (R6).

The fates are those of `sales.FATES`. Money first: the refund; then where the goods are.
"""

import random
from collections.abc import Callable

import msgspec

from connectors.amazon_sandbox.generator.book import (
    LEDGER_DAYS,
    NAMES,
    RETURNED,
    Book,
    Finding,
    Movement,
    Return,
    payment,
)
from connectors.amazon_sandbox.generator.draw import DAY, HOUR, day, digest, digits
from connectors.amazon_sandbox.generator.marketplaces import Marketplace
from connectors.amazon_sandbox.generator.sales import Line, Sale
from connectors.amazon_sandbox.generator.spot import CENTERS

_SHOWS = 14  # days within which a return shows in the ledger


_USUAL, _IN_UNION = (60, 120), (45, 105)
"""Between which days after a refund it can be claimed."""


class Refund(msgspec.Struct, frozen=True, gc=False):
    """A refund of all units of an item: its posting in cents, negative."""

    posted: int
    cents: int

    @classmethod
    def of(cls, line: Line, posted: int) -> "Refund":
        """Of the commission Amazon keeps a fifth; the fee for the fulfilment stays. Tax is even."""
        commission = line.product.price * line.product.commission // 100
        each = -line.product.price + commission - commission // 5
        return cls(posted, each * line.fulfilled)


class Case(msgspec.Struct, frozen=True):
    """One item that is refunded (or replaced) and what is needed to tell its story.

    `base` is the moment of the refund; `refund` is None while it is not known, or if none comes.
    """

    book: Book
    place: Marketplace
    sale: Sale
    line: Line
    refund: Refund | None
    base: int
    rng: random.Random

    @property
    def key(self) -> str:
        return f"{self.sale.id}|{self.line.product.sku}"

    @property
    def units(self) -> int:
        return self.line.fulfilled

    @property
    def terms(self) -> tuple[int, int]:
        return _IN_UNION if self.place.in_union else _USUAL


def tell(case: Case) -> None:
    """Enter what became of the goods. Only of goods that Amazon shipped does anybody know."""
    if not case.sale.by_amazon:
        case.book.dismiss("R4", case.key, "the merchant shipped it")
        return
    _STORIES[case.sale.fate](case)


def _returned(case: Case) -> None:
    _bring_back(case, -case.rng.randrange(HOUR, 3 * DAY), "SELLABLE")


def _returned_later(case: Case) -> None:
    _bring_back(case, case.rng.randrange(3 * DAY, 25 * DAY), "SELLABLE")


def _kept(case: Case) -> None:
    _claim_refund(case, case.units)


def _kept_paid(case: Case) -> None:
    paid = _pay(case, case.units, 45)
    if paid:
        case.book.dismiss("R4", case.key, "already reimbursed")
    _claim_refund(case, case.units - paid)


def _kept_part_paid(case: Case) -> None:
    _claim_refund(case, case.units - _pay(case, 1, 45))


def _damaged(case: Case) -> None:
    if _bring_back(case, -2 * DAY, "DAMAGED"):
        _claim_damage(case)


def _carrier_damaged(case: Case) -> None:
    if _bring_back(case, -2 * DAY, "CARRIER_DAMAGED"):
        _claim_damage(case)


def _carrier_paid(case: Case) -> None:
    if not _bring_back(case, -2 * DAY, "CARRIER_DAMAGED"):
        return
    if _pay(case, case.units, 10):
        case.book.dismiss("R5", case.key, "already reimbursed")
    else:
        _claim_damage(case)


def _customer_damaged(case: Case) -> None:
    if _bring_back(case, -DAY, "CUSTOMER_DAMAGED"):
        case.book.dismiss("R5", case.key, "the customer damaged it")


def _defective(case: Case) -> None:
    if _bring_back(case, -DAY, "DEFECTIVE"):
        case.book.dismiss("R5", case.key, "it was defective")


def _unstocked(case: Case) -> None:
    """It came back as good as new, and the ledger does not show it until everybody has given up."""
    at = case.base - DAY
    age = case.book.days_since(at)
    if not _bring_back(case, -DAY, "SELLABLE", stocked=age > LEDGER_DAYS):
        return
    finding = _unstocked_finding(case, at)
    if age < _SHOWS:
        case.book.dismiss("R6", finding.key, "too young: it may still show in the ledger")
    elif age > LEDGER_DAYS:
        case.book.dismiss("R6", finding.key, "too old: it was put into stock at last")
    else:
        case.book.findings.append(finding)


def _replaced(case: Case) -> None:
    case.book.dismiss("R4", case.key, "replaced, not refunded")


_STORIES: dict[str, Callable[[Case], None]] = {
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


def _bring_back(case: Case, after: int, disposition: str, stocked: bool = True) -> int:
    """Enter the return, and with it the row of the ledger; the units, or 0 if not known yet.

    One in five is entered only weeks after the day it names. Until then it is a refund alone.
    """
    at, units = case.base + after, case.units
    hidden = case.rng.randrange(5, 33) * DAY if case.rng.random() < 0.2 else 0
    if not case.book.knows(at + hidden):
        _claim_refund(case, units)
        return 0
    center = case.rng.choice(CENTERS)
    plate = "LPNRR" + digest("plate", case.sale.id)[:9].upper()
    reason = case.rng.choice(("UNWANTED_ITEM", "NOT_COMPATIBLE", "ORDERED_WRONG_ITEM"))
    reason = reason if disposition == "SELLABLE" else "DEFECTIVE"
    product = case.line.product
    case.book.returns.append(
        Return(at, case.sale.id, product, units, center, disposition, reason, plate)
    )
    if stocked:
        where = "WAREHOUSE_DAMAGED" if disposition == "DAMAGED" else disposition
        reference = digits(case.sale.serial, 31, 12)
        row = Movement(at, product, "CustomerReturns", reference, units, center, where)
        case.book.move(row)
    return units


def _pay(case: Case, units: int, after: int) -> int:
    at = case.base + after * DAY
    each = abs(case.refund.cents) // case.units if case.refund else case.line.product.cost
    id = digits(case.sale.serial, 17, 11)
    product, order_id = case.line.product, case.sale.id
    paid = payment(id, at, RETURNED, product, units, each=each, order_id=order_id)
    return case.book.pay(paid)


def _claim_refund(case: Case, units: int) -> None:
    if case.refund:
        _claim(case, "R4", units, "refund")


def _claim_damage(case: Case) -> None:
    _claim(case, "R5", case.units, "refund" if case.refund else "")


def _claim(case: Case, rule: str, units: int, valued_by: str) -> None:
    amount = max(0, -case.refund.cents * units // case.units) if case.refund else None
    finding = Finding(
        rule=rule,
        name=NAMES[rule],
        key=case.key,
        product=case.line.product,
        units=units,
        base=case.base if case.refund else case.base - 2 * DAY,
        opens=case.terms[0],
        closes=case.terms[1],
        amount=amount,
        valued_by=valued_by,
        currency=case.place.currency,
        order_id=case.sale.id,
    )
    id = digits(case.sale.serial, 19, 11)
    each = (amount or case.line.product.cost) // max(1, units)
    product, order_id = case.line.product, case.sale.id
    asked = payment(id, 0, RETURNED, product, units, each=each, order_id=order_id)
    case.book.settle(finding, asked)


def _unstocked_finding(case: Case, at: int) -> Finding:
    product = case.line.product
    return Finding(
        rule="R6",
        name=NAMES["R6"],
        key=f"{product.fn_sku}|{day(at):%Y-%m}",
        product=product,
        units=case.units,
        base=at,
        opens=case.terms[0],
        closes=case.terms[1],
        by_sale=True,
        currency=case.place.currency,
        low=True,
        order_id=case.sale.id,
    )
