"""The journal of a seller's goods: everything but sales, and the claims that follow from it."""

from collections.abc import Mapping

import msgspec

from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.times import DAY

ReimbursedClaims = Mapping[tuple[str, str], int]
"""When a claim, by rule and key, was reimbursed on demand: seconds since 1970."""

LOST = "Lost_Warehouse"
DAMAGED = "Damaged_Warehouse"
SHORT = "Lost_Inbound"
RETURNED = "CustomerReturn"
REVERSAL = "Reimbursement_Reversal"
DAMAGED_INBOUND = "Damaged_Inbound"
LOST_OUTBOUND = "Lost_Outbound"

LEDGER_DAYS = 100
"""How far back a client usually reads the ledger, plus one day, since no day is read in part.
Claims that only older rows prove are not expected."""

_REPORT_DELAY = 4 * DAY  # from the approval of a reimbursement until the report shows it


class Movement(msgspec.Struct, frozen=True, gc=False):
    """A row of the ledger."""

    at: int
    product: Product
    event: str
    reference: str
    quantity: int
    center: str
    disposition: str = "SELLABLE"
    reason: str = ""
    #: Amazon's own unreconciled quantity; None leaves the cell empty.
    unreconciled: int | None = None


class Reimbursement(msgspec.Struct, frozen=True, gc=False):
    """A reimbursement in cash or in kind. A reversal has negative units."""

    id: str
    #: When it was approved.
    at: int
    #: When the report first shows it.
    visible_at: int
    reason: str
    product: Product
    #: Units reimbursed in cash.
    units: int
    unit_cents: int
    #: Units reimbursed in kind.
    stocked: int = 0
    order_id: str = ""
    #: Id and reason of the reimbursement that this one reverses.
    original: str = ""
    original_reason: str = ""


class CustomerReturn(msgspec.Struct, frozen=True, gc=False):
    at: int
    order_id: str
    product: Product
    quantity: int
    center: str
    disposition: str
    reason: str
    #: The license plate number of the returned unit.
    plate: str


class SentReplacement(msgspec.Struct, frozen=True, gc=False):
    """Units that Amazon sent to a customer in place of others."""

    at: int
    #: The orders of the replacement, and of the units that it replaces.
    order_id: str
    original: str
    product: Product
    quantity: int
    center: str
    original_center: str


class RemovalOrder(msgspec.Struct, frozen=True, gc=False):
    """A removal order of one product. It is completed five days after its request."""

    at: int
    id: str
    #: Return or Disposal.
    kind: str
    product: Product
    disposition: str
    quantity: int
    #: Units that the seller cancelled, and units that are missing when it is completed.
    cancelled: int = 0
    missing: int = 0

    @property
    def completed(self) -> int:
        return self.at + 5 * DAY


class Parcel(msgspec.Struct, frozen=True, gc=False):
    """Units of a removal order on their way to the seller."""

    at: int
    #: When the report first shows it.
    visible_at: int
    order: RemovalOrder
    units: int
    tracking: str
    #: The units that arrived.
    arrived: int
    #: Whether the seller reports the units that arrived.
    reported: bool = True


class InboundShipmentItem(msgspec.Struct, frozen=True, gc=False):
    product: Product
    shipped: int
    received: int


class InboundShipment(msgspec.Struct, frozen=True, gc=False):
    id: str
    created: int
    updated: int
    status: str
    center: str
    items: tuple[InboundShipmentItem, ...]


class PlantedClaim(msgspec.Struct, frozen=True, gc=False):
    """A claim that a correct client detects. Its value is `amount`, or depends on the product."""

    rule: str
    key: str
    product: Product
    units: int
    #: The moment from which the claim window is counted.
    base: int
    #: The country whose claim window applies; empty for the seller's home.
    country: str = ""
    #: The name of the claim, if it is not the usual one of its rule.
    name: str = ""
    #: The value in cents, if it does not depend on the product.
    amount: int | None = None
    #: Whether the value is that of `units` products.
    by_unit: bool = False
    #: Whether the value is the net proceeds of selling `units` products.
    by_sale: bool = False
    valued_by: str = ""
    currency: str = ""
    #: Whether it has low confidence.
    low: bool = False
    #: Whether a reimbursement on demand closed it.
    paid: bool = False
    order_id: str = ""
    shipment_id: str = ""
    reference: str = ""
    #: When the sale whose whole price decides was posted; 0 if no sale decides.
    sold: int = 0


class Decoy(msgspec.Struct, frozen=True, gc=False):
    """Data that resembles a claim of the rule, and the reason why it is not a claim."""

    rule: str
    key: str
    reason: str


class Ending(msgspec.Struct, frozen=True, gc=False):
    """The end of a claim that was open, by the horizon."""

    rule: str
    key: str
    #: found, reconciled, reversed or reimbursed.
    reason: str
    #: The first moment at which the data shows it.
    at: int
    #: The reimbursements that ended it.
    paid: tuple[Reimbursement, ...] = ()


class Journal(msgspec.Struct):
    """Collects what has happened by the horizon; later entries are ignored."""

    #: The last visible moment, in seconds since 1970.
    horizon: int
    reimbursed_claims: ReimbursedClaims
    movements: list[Movement] = []
    reimbursements: list[Reimbursement] = []
    returns: list[CustomerReturn] = []
    replacements: list[SentReplacement] = []
    removals: list[RemovalOrder] = []
    parcels: list[Parcel] = []
    inbound_shipments: list[InboundShipment] = []
    claims: list[PlantedClaim] = []
    decoys: list[Decoy] = []
    #: In any order. A claim may end twice: reconciled, then reimbursed.
    endings: list[Ending] = []

    def is_known(self, at: int) -> bool:
        return at <= self.horizon

    def days_since(self, at: int) -> int:
        """The days from the UTC day of that moment to today, the day that begins after the
        horizon."""
        return self.horizon // DAY + 1 - at // DAY

    def add_movement(self, movement: Movement) -> int:
        """Add a row of the ledger. Returns the units moved, or 0 if it is still to come."""
        if not self.is_known(movement.at):
            return 0
        self.movements.append(movement)
        return abs(movement.quantity)

    def add_reimbursement(self, reimbursement: Reimbursement) -> int:
        """Add a reimbursement. Returns its units, or 0 if it is not visible yet."""
        if not self.is_known(reimbursement.visible_at):
            return 0
        self.reimbursements.append(reimbursement)
        return reimbursement.units + reimbursement.stocked

    def add_claim(self, claim: PlantedClaim, on_demand: Reimbursement) -> None:
        """Add a claim and, if it was reimbursed on demand, that reimbursement."""
        if claim.units <= 0:
            return
        at = self.reimbursed_claims.get((claim.rule, claim.key))
        if at is None:
            self.claims.append(claim)
            return
        self.claims.append(msgspec.structs.replace(claim, paid=True))
        self.reimbursements.append(
            msgspec.structs.replace(on_demand, at=at, visible_at=at, units=claim.units, stocked=0)
        )

    def is_reimbursed(self, rule: str, key: str) -> bool:
        return (rule, key) in self.reimbursed_claims

    def add_ending(self, ending: Ending) -> None:
        if self.is_known(ending.at):
            self.endings.append(ending)

    def add_decoy(self, rule: str, key: str, reason: str) -> None:
        self.decoys.append(Decoy(rule, key, reason))


def reimbursement(
    id: str,
    at: int,
    reason: str,
    product: Product,
    units: int,
    *,
    unit_cents: int | None = None,
    order_id: str = "",
) -> Reimbursement:
    """A reimbursement in cash; by default at the product's cost."""
    value = product.cost if unit_cents is None else unit_cents
    return Reimbursement(
        id, at, at + _REPORT_DELAY, reason, product, units, value, order_id=order_id
    )


def in_lines(reimbursement: Reimbursement, units: int) -> tuple[Reimbursement, Reimbursement]:
    """A reimbursement as two lines with one id, the first one of that many units."""
    rest = reimbursement.units - units
    return (
        msgspec.structs.replace(reimbursement, units=units),
        msgspec.structs.replace(reimbursement, units=rest),
    )


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
    "R11": "REMOVAL_SHORT",
    "R12": "REMOVAL_LOST",
    "R13": "RETURN_UNDERPAID",
    "R14": "INBOUND_DAMAGED",
    "R15": "REPLACEMENT_NOT_RETURNED",
    "R16": "REFERRAL_OVERCHARGE",
    "R17": "REFUND_COMMISSION",
    "R18": "REFUNDED_TOO_MUCH",
    "R19": "FEE_DIMENSIONS",
    "R20": "TRANSFER_LOST",
    "R21": "STORAGE_OVERCHARGE",
}
