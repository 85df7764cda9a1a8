"""Stories of units damaged (R2) or disposed of (R3) in a warehouse."""

from connectors.amazon_sandbox.generator.book import DAMAGED, NAMES, Finding, Movement, Removal
from connectors.amazon_sandbox.generator.draw import digits
from connectors.amazon_sandbox.generator.spot import Spot

_SETTLES, _CLOSES = 7, 60
_DISPOSITIONS = ("SELLABLE", "WAREHOUSE_DAMAGED", "EXPIRED")


def damaged(spot: Spot) -> None:
    """Damaged, and not paid for; or so late that hardly anybody still waits."""
    units = spot.rng.choice((1, 1, 2))
    paid = spot.pay(DAMAGED, units, 52) if spot.late else 0
    _damage(spot, "E67"[spot.index % 3], units, paid=paid)


def damaged_by_others(spot: Spot) -> None:
    """The codes of damage for which others may be to blame."""
    _damage(spot, "HKU"[spot.index % 3], 1, low=True)


def damaged_then_paid(spot: Spot) -> None:
    units = spot.rng.choice((1, 2))
    _damage(spot, "E", units, paid=spot.pay(DAMAGED, units, 4), why="already reimbursed")


def damaged_then_partly_paid(spot: Spot) -> None:
    _damage(spot, "E", 3, paid=spot.pay(DAMAGED, 1, 4))


def damaged_then_disposed(spot: Spot) -> None:
    """The same unit twice: it is claimed once, as damaged."""
    _damage(spot, "E", 1)
    if spot.adjust("D", -1, 10, disposition="WAREHOUSE_DAMAGED"):
        spot.book.dismiss("R3", _key(spot), "the same unit is claimed as damaged")


def damaged_then_reconciled(spot: Spot) -> None:
    if spot.modern:
        back = 2 * spot.book.knows(spot.moment(3))
        why = "Amazon's own open figure is 0"
        _damage(spot, "E", 2, back=back, filled=True, why=why)


def moved(spot: Spot) -> None:
    """A pair of rows that only changes the disposition."""
    if spot.adjust("Q", -1):
        spot.adjust("P", 1, disposition="DEFECTIVE")
        spot.book.dismiss("R2", _key(spot), "a pair of Q and P moves, it does not damage")


def disposed(spot: Spot) -> None:
    """Nobody asked for it."""
    units = spot.rng.choice((1, 1, 2))
    _dispose(spot, units, paid=spot.pay(DAMAGED, units, 52) if spot.late else 0)


def disposed_beside_a_return(spot: Spot) -> None:
    """A removal order there is, but one that brings goods back."""
    _order(spot, "Return", 5, -3)
    _dispose(spot, 1)


def fetched_back(spot: Spot) -> None:
    """The seller had a unit sent back to himself."""
    _order(spot, "Return", 1, -3)


def disposed_on_request(spot: Spot) -> None:
    _order(spot, "Disposal", 2, -5)
    if spot.adjust("D", -2, disposition="SELLABLE"):
        spot.book.dismiss("R3", _key(spot), "a removal order asked for it")


def disposed_as_unsellable(spot: Spot) -> None:
    disposition = ("CUSTOMER_DAMAGED", "DEFECTIVE")[spot.index % 2]
    if spot.adjust("D", -1, disposition=disposition):
        spot.book.dismiss("R3", _key(spot), f"{disposition} is not Amazon's fault")


def disposed_then_paid(spot: Spot) -> None:
    _dispose(spot, 1, paid=spot.pay(DAMAGED, 1, 4), why="already reimbursed")


def _damage(
    spot: Spot,
    code: str,
    units: int,
    *,
    back: int = 0,
    paid: int = 0,
    filled: bool | None = None,
    low: bool = False,
    why: str = "",
) -> None:
    """Enter the damage with the row that always follows, and the claim to what is not paid."""
    filled = spot.modern and (spot.rng.random() < 0.5 if filled is None else filled)
    left = units - back - paid
    settled = spot.book.is_settled("R2", _key(spot))
    unsettled = (0 if settled else left) if filled else None
    if not spot.adjust(code, -units, unsettled=unsettled):
        return
    spot.adjust("P", units, disposition="WAREHOUSE_DAMAGED")
    if not left and why:
        spot.book.dismiss("R2", _key(spot), why)
    spot.claims(_finding(spot, "R2", left, low), DAMAGED)


def _dispose(spot: Spot, units: int, paid: int = 0, why: str = "") -> None:
    disposition = _DISPOSITIONS[spot.index % 3]
    if not spot.adjust("D", -units, disposition=disposition):
        return
    if not units - paid and why:
        spot.book.dismiss("R3", _key(spot), why)
    spot.claims(_finding(spot, "R3", units - paid, low=False), DAMAGED)


def _finding(spot: Spot, rule: str, units: int, low: bool) -> Finding:
    return Finding(
        rule=rule,
        name=NAMES[rule],
        key=_key(spot),
        product=spot.product,
        units=units,
        base=spot.at,
        opens=_SETTLES,
        closes=_CLOSES,
        by_unit=True,
        low=low,
        reference=spot.reference,
    )


def _order(spot: Spot, kind: str, quantity: int, after: float) -> None:
    if spot.book.knows(spot.moment(after)):
        id = digits(int(spot.reference), 3, 10)
        order = Removal(spot.moment(after), id, kind, spot.product, "SELLABLE", quantity)
        spot.book.removals.append(order)
        if kind == "Return":
            _ship_back(spot, order)


def _ship_back(spot: Spot, order: Removal) -> None:
    row = Movement(
        at=spot.moment(0),
        product=order.product,
        event="VendorReturns",
        reference=order.id,
        quantity=-order.quantity,
        center=spot.center,
        disposition=order.disposition,
    )
    spot.book.move(row)


def _key(spot: Spot) -> str:
    return f"{spot.reference}|{spot.product.fn_sku}"
