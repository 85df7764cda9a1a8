"""Stories of units that Amazon lost in a warehouse (R1), and of payments taken back (R9, R10)."""

import msgspec

from connectors.amazon_sandbox.generator.book import (
    LEDGER_DAYS,
    LOST,
    NAMES,
    REVERSAL,
    Finding,
)
from connectors.amazon_sandbox.generator.spot import Spot

_SETTLES, _CLOSES = 7, 60


def lost(spot: Spot) -> None:
    """Lost, and never seen again."""
    units = spot.rng.choice((1, 1, 2, 3))
    _lose(spot, units, paid=spot.pay(LOST, units, 80) if spot.late else 0)


def lost_then_found(spot: Spot) -> None:
    units = spot.rng.choice((1, 2, 3))
    _lose(spot, units, back=spot.adjust("F", units, 4), why="found again")


def lost_then_partly_found(spot: Spot) -> None:
    _lose(spot, 3, back=spot.adjust("F", 1, 4))


def lost_then_paid(spot: Spot) -> None:
    units = spot.rng.choice((1, 2))
    _lose(spot, units, paid=spot.pay(LOST, units, 3), why="already reimbursed")


def lost_then_partly_paid(spot: Spot) -> None:
    _lose(spot, 3, paid=spot.pay(LOST, 1, 3))


def lost_then_replaced(spot: Spot) -> None:
    """Amazon gave units instead of money."""
    payment = msgspec.structs.replace(spot.payment(LOST, 0, 3), stocked=1)
    _lose(spot, 1, paid=spot.book.pay(payment), why="reimbursed in kind")


def lost_then_transferred(spot: Spot) -> None:
    """Found by its other name: a transfer of ownership."""
    _lose(spot, 2, back=spot.adjust("N", 2, 4), why="found, by a code that is not sure")


def lost_then_partly_transferred(spot: Spot) -> None:
    _lose(spot, 3, back=spot.adjust("N", 1, 4), low=spot.book.knows(spot.moment(4)))


def lost_then_reconciled(spot: Spot) -> None:
    """Amazon says that nothing is open, without a row that tells why."""
    if spot.modern:
        why = "Amazon's own open figure is 0"
        _lose(spot, 2, back=2 * spot.book.knows(spot.moment(3)), filled=True, why=why)


def lost_then_partly_reconciled(spot: Spot) -> None:
    """Amazon's own figure is lower than what the rows add up to."""
    if spot.modern:
        reconciled = spot.book.knows(spot.moment(3))
        _lose(spot, 3, back=2 * reconciled, filled=True, differs=reconciled)


def lost_then_paid_then_reversed(spot: Spot) -> None:
    """The payment was taken back although nothing was found: the loss is open again."""
    paid = spot.pay(LOST, 1, 3)
    _lose(spot, 1, paid=paid - _reverse(spot, LOST, 1, paid_after=3, after=20))


def lost_then_paid_then_disposed(spot: Spot) -> None:
    """What was paid for is Amazon's, and Amazon may dispose of it."""
    _lose(spot, 1, paid=spot.pay(LOST, 1, 3), why="already reimbursed")
    if spot.adjust("D", -1, 15):
        spot.book.dismiss("R3", _key(spot), "it was paid for as lost, so it is Amazon's")


def reversed_without_find(spot: Spot) -> None:
    """The payment is taken back. The loss is not open again: by Amazon's own figure it is closed,
    or, in a ledger without one, it is too long ago to be read."""
    lost_after, paid_after = (-25, -20) if spot.modern else (-98, -94)
    loss = msgspec.structs.replace(spot, at=spot.moment(lost_after))
    paid = spot.pay(LOST, 1, paid_after)
    _lose(loss, 1, paid=paid, filled=True, why="already reimbursed")
    if _reverse(spot, LOST, 1, paid_after=paid_after, after=0):
        since = spot.book.days_since(spot.moment(paid_after)) + _SETTLES
        _give_back(spot, spot.product.cost, low=since > LEDGER_DAYS + 1)


def reversed_after_find(spot: Spot) -> None:
    back = spot.adjust("F", 1, 17)
    paid = spot.pay(LOST, 1, 3)
    taken = _reverse(spot, LOST, 1, paid_after=3, after=20)
    _lose(spot, 1, back=back, paid=paid - taken, why="found, and the payment taken back")
    if taken:
        spot.book.dismiss("R9", f"{_reversal_id(spot, 20)}|{spot.product.sku}", "it was found")


def paid_too_little(spot: Spot) -> None:
    """Paid in full units, but at six tenths of what a unit costs. Found only by who knows costs."""
    each = spot.product.cost * 6 // 10
    payment = spot.payment(LOST, 2, 3, each)
    paid = spot.book.pay(payment)
    _lose(spot, 2, paid=paid, why="already reimbursed")
    if paid:
        finding = Finding(
            rule="R10",
            name=NAMES["R10"],
            key=f"{payment.id}|{spot.product.sku}",
            product=spot.product,
            units=2,
            base=payment.at,
            opens=0,
            closes=_CLOSES,
            amount=2 * (spot.product.cost - each),
            valued_by="cost",
            reference=payment.id,
        )
        spot.book.findings.append(finding)


def _lose(
    spot: Spot,
    units: int,
    *,
    back: int = 0,
    paid: int = 0,
    filled: bool | None = None,
    low: bool = False,
    differs: bool = False,
    why: str = "",
) -> None:
    """Enter the loss, and the claim to what is neither back nor paid."""
    filled = spot.modern and (spot.rng.random() < 0.5 if filled is None else filled)
    left = max(0, units - back - max(0, paid))
    settled = spot.book.is_settled("R1", _key(spot))
    unsettled = (0 if settled else left) if filled else None
    code = "5" if spot.index % 3 == 2 else "M"
    if not spot.adjust(code, -units, unsettled=unsettled):
        return
    if not left and why:
        spot.book.dismiss("R1", _key(spot), why)
    finding = Finding(
        rule="R1",
        name=NAMES["R1"],
        key=_key(spot),
        product=spot.product,
        units=left,
        base=spot.at,
        opens=_SETTLES,
        closes=_CLOSES,
        by_unit=True,
        low=differs or (low and not filled),
        reference=spot.reference,
    )
    spot.claims(finding, LOST)


def _reverse(spot: Spot, reason: str, units: int, paid_after: float, after: float) -> int:
    """Enter the reversal of a payment; the units taken back, if it is known yet."""
    original = spot.payment(reason, units, paid_after)
    reversal = msgspec.structs.replace(
        spot.payment(REVERSAL, -units, after),
        id=_reversal_id(spot, after),
        original=original.id,
        original_reason=reason,
    )
    return -spot.book.pay(reversal)


def _reversal_id(spot: Spot, after: float) -> str:
    return spot.payment(REVERSAL, -1, after).id


def _give_back(spot: Spot, amount: int, low: bool) -> None:
    id = _reversal_id(spot, 0)
    finding = Finding(
        rule="R9",
        name=NAMES["R9"],
        key=f"{id}|{spot.product.sku}",
        product=spot.product,
        units=1,
        base=spot.at,
        opens=_SETTLES,
        closes=_CLOSES,
        amount=amount,
        valued_by="reversal",
        low=low,
        reference=id,
    )
    spot.book.findings.append(finding)


def _key(spot: Spot) -> str:
    return f"{spot.product.fn_sku}|{spot.date}|{spot.reference}"
