"""What happened to a seller's goods besides being sold, and what that proves: the book."""

from collections.abc import Mapping

import msgspec

from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.draw import DAY

Settled = Mapping[tuple[str, str], int]
"""When a claim, by rule and key, was paid on demand: seconds since 1970."""

LOST = "Lost_Warehouse"
DAMAGED = "Damaged_Warehouse"
SHORT = "Lost_Inbound"
RETURNED = "CustomerReturn"
REVERSAL = "Reimbursement_Reversal"

LEDGER_DAYS = 100
"""So far back the ledger is usually read, and one day more, since no day is read in part. What only
older rows would prove is not expected."""

_DELAY = 4 * DAY  # a reimbursement is seen in the report only days after it was approved


class Movement(msgspec.Struct, frozen=True, gc=False):
    """A row of the ledger. `unsettled` is Amazon's own open figure; None leaves the cell empty."""

    at: int
    product: Product
    event: str
    reference: str
    quantity: int
    center: str
    disposition: str = "SELLABLE"
    reason: str = ""
    unsettled: int | None = None


class Payment(msgspec.Struct, frozen=True, gc=False):
    """A reimbursement: `units` paid at `each` cents, or `stocked` units given back in kind.

    A reversal has negative units and names what it takes back.
    """

    id: str
    at: int
    known: int
    reason: str
    product: Product
    units: int
    each: int
    stocked: int = 0
    order_id: str = ""
    original: str = ""
    original_reason: str = ""


class Return(msgspec.Struct, frozen=True, gc=False):
    at: int
    order_id: str
    product: Product
    quantity: int
    center: str
    disposition: str
    reason: str
    plate: str


class Removal(msgspec.Struct, frozen=True, gc=False):
    """A removal order of one product; `kind` is Return or Disposal."""

    at: int
    id: str
    kind: str
    product: Product
    disposition: str
    quantity: int


class Item(msgspec.Struct, frozen=True, gc=False):
    product: Product
    shipped: int
    received: int


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """An inbound shipment."""

    id: str
    created: int
    updated: int
    status: str
    center: str
    items: tuple[Item, ...]


class Finding(msgspec.Struct, frozen=True, gc=False):
    """A claim that should be found. `amount` in cents; `by_unit`: `units` at the product's value;
    `by_sale`: at what a sale of it brings.

    `base` is the moment its window is counted from; `opens` and `closes` are days after it.
    `paid`: a reimbursement that came on demand has closed it.
    """

    rule: str
    name: str
    key: str
    product: Product
    units: int
    base: int
    opens: int
    closes: int
    amount: int | None = None
    by_unit: bool = False
    by_sale: bool = False
    valued_by: str = ""
    currency: str = ""
    low: bool = False
    paid: bool = False
    order_id: str = ""
    shipment_id: str = ""
    reference: str = ""


class Decoy(msgspec.Struct, frozen=True, gc=False):
    """What looks like a claim of that rule and is none, and why."""

    rule: str
    key: str
    reason: str


class Book(msgspec.Struct):
    """Collects what is known at the horizon; what happens later is left out by itself."""

    horizon: int
    settled: Settled
    movements: list[Movement] = []
    payments: list[Payment] = []
    returns: list[Return] = []
    removals: list[Removal] = []
    deliveries: list[Delivery] = []
    findings: list[Finding] = []
    decoys: list[Decoy] = []

    def knows(self, at: int) -> bool:
        return at <= self.horizon

    def days_since(self, at: int) -> int:
        """From the UTC day of that moment to today, the day that begins after the horizon."""
        return self.horizon // DAY + 1 - at // DAY

    def move(self, movement: Movement) -> int:
        """Enter a row of the ledger; the units that moved, or 0 if that is still to come."""
        if not self.knows(movement.at):
            return 0
        self.movements.append(movement)
        return abs(movement.quantity)

    def pay(self, payment: Payment) -> int:
        """Enter a reimbursement; its units, or 0 if it is not to be seen yet."""
        if not self.knows(payment.known):
            return 0
        self.payments.append(payment)
        return payment.units + payment.stocked

    def settle(self, finding: Finding, payment: Payment) -> None:
        """Enter the claim; and what was paid for it on demand, if it was."""
        if finding.units <= 0:
            return
        at = self.settled.get((finding.rule, finding.key))
        if at is None:
            self.findings.append(finding)
            return
        self.findings.append(msgspec.structs.replace(finding, paid=True))
        self.payments.append(
            msgspec.structs.replace(payment, at=at, known=at, units=finding.units, stocked=0)
        )

    def is_settled(self, rule: str, key: str) -> bool:
        return (rule, key) in self.settled

    def dismiss(self, rule: str, key: str, reason: str) -> None:
        self.decoys.append(Decoy(rule, key, reason))


def payment(
    id: str,
    at: int,
    reason: str,
    product: Product,
    units: int,
    *,
    each: int | None = None,
    order_id: str = "",
) -> Payment:
    """A reimbursement in cash, of the product's cost unless said otherwise."""
    value = product.cost if each is None else each
    return Payment(id, at, at + _DELAY, reason, product, units, value, order_id=order_id)


NAMES: Mapping[str, str] = {
    "R1": "LOST_WAREHOUSE",
    "R2": "DAMAGED_WAREHOUSE",
    "R3": "DISPOSED_UNREQUESTED",
    "R4": "REFUND_NOT_RETURNED",
    "R5": "RETURN_AMAZON_DAMAGED",
    "R6": "RETURN_NOT_RESTOCKED",
    "R7": "FBA_FEE_OVERCHARGE",
    "R8": "INBOUND_SHORT",
    "R9": "REVERSAL_WITHOUT_FIND",
    "R10": "UNDER_REIMBURSED",
}
