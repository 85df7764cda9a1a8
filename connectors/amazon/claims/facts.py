"""Facts: the rows that the rules need, as small typed values, every sequence in a fixed order."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from decimal import Decimal

import msgspec

from connectors.amazon.claims.measures import Measures
from connectors.amazon.claims.windows import Windows
from connectors.amazon.settings import FeeLimit
from connectors.claims import Money, RemovalArrival

OrderItem = tuple[str, str]
"""An order id and a SKU."""


class LedgerEvent(msgspec.Struct, frozen=True, order=True, gc=False):
    """A row of the ledger."""

    day: date
    reference: str
    id: str
    fnsku: str
    sku: str
    #: Negative for units that leave the stock.
    units: int
    reason: str
    disposition: str
    place: str
    #: Amazon's Unreconciled Quantity without its sign; None where the cell is empty.
    unreconciled: int | None = None


class Payment(msgspec.Struct, frozen=True, gc=False):
    """A row of the reimbursements, net of its reversals."""

    day: date
    id: str
    #: The reimbursement id.
    number: str
    #: The case id.
    case: str
    order: str
    reason: str
    sku: str
    fnsku: str
    currency: str
    #: The amount for one unit.
    per_unit: Decimal | None
    #: Units paid for in money.
    cash: int
    #: Units paid for in money or replaced by inventory.
    units: int


class Reversal(msgspec.Struct, frozen=True):
    """A reimbursement that Amazon took back."""

    day: date
    id: str
    #: The records of all its lines.
    records: tuple[str, ...]
    #: The reimbursement id of the reversal.
    number: str
    #: The reimbursement id that it takes back, as its row names it.
    original_number: str
    order: str
    reason: str
    sku: str
    fnsku: str
    currency: str
    amount: Decimal | None
    #: The reversed units, less those whose reversal was itself taken back; 0 if all were.
    units: int
    #: The payment that it takes back; None if the payment is older than the data.
    original: Payment | None


class Return(msgspec.Struct, frozen=True, gc=False):
    """Units that a customer sent back and Amazon received."""

    day: date
    #: The return date as the row writes it, which may include the time.
    at: str
    id: str
    order: str
    sku: str
    fnsku: str
    units: int
    disposition: str


class Replacement(msgspec.Struct, frozen=True, gc=False):
    """Units that Amazon sent to a customer in place of others."""

    #: The day on which they were sent.
    day: date
    id: str
    #: The order of the units that they replace.
    order: str
    #: Their own order; empty if the row does not name it.
    replacement_order: str
    sku: str
    units: int

    @property
    def orders(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.order, self.replacement_order)))


class Removal(msgspec.Struct, frozen=True):
    """A product of a removal order: units to dispose of or to return to the seller."""

    id: str
    order: str
    fnsku: str
    sku: str
    disposition: str
    #: Whether the units are disposed of; if not, they are returned.
    disposal: bool
    completed: bool
    #: The day of the request, then the day of its last update.
    days: tuple[date, ...]
    place: str
    #: Units that were or are being disposed of.
    disposed: int
    requested: int
    #: Requested units that were neither cancelled, disposed of nor shipped, and are not in process.
    missing: int
    #: Units sent to the seller; None if the figure is missing or cannot be read.
    shipped: int | None = None


class RemovalShipment(msgspec.Struct, frozen=True, order=True, gc=False):
    """Units of a product that a removal order sent to the seller in one parcel."""

    day: date
    order: str
    fnsku: str
    disposition: str
    id: str
    sku: str
    units: int
    carrier: str
    tracking: str


class Refund(msgspec.Struct, frozen=True, gc=False):
    """An item of a refund."""

    day: date
    id: str
    transaction: str
    order: str
    sku: str
    units: int
    #: The amount that the refund added to the seller's balance: negative if it took money.
    total: Decimal | None
    #: The part of the total that is the price of the item, without tax and fees.
    principal: Decimal | None
    #: The part of the referral fee that Amazon keeps, positive.
    kept: Decimal
    #: The part of the referral fee that Amazon gives back, positive.
    given_back: Decimal
    currency: str
    place: str
    network: str
    #: The deferred transaction that this one releases.
    releases: str
    #: The transaction that releases this deferred one.
    released_by: str


class SoldItem(msgspec.Struct, frozen=True, gc=False):
    """The sale of an order item, with all its shipments added up."""

    #: The day of the first shipment.
    day: date
    units: int
    #: The amount that the seller received, net of fees; None if an amount is missing.
    total: Decimal | None
    #: Its price, without tax and fees; None if an amount is missing.
    principal: Decimal | None
    #: Empty if there are several currencies.
    currency: str


class Charge(msgspec.Struct, frozen=True, gc=False):
    """A fee of an item of a shipment."""

    at: datetime
    id: str
    transaction: str
    sku: str
    units: int
    #: The fee for all units, positive, without tax.
    total: Decimal
    #: The price of all units, without tax; None if it is not stated.
    price: Decimal | None
    currency: str
    place: str
    #: The deferred transaction that this one releases.
    releases: str
    #: The transaction that releases this deferred one.
    released_by: str


class StorageCharge(msgspec.Struct, frozen=True, gc=False):
    """The storage fee of a product for one warehouse and month."""

    #: The first day of the month.
    month: date
    id: str
    fnsku: str
    #: The average number of units.
    units: Decimal
    fee: Decimal
    currency: str
    place: str


class OnHand(msgspec.Struct, frozen=True):
    """Units of a product in Amazon's warehouses today."""

    units: int
    #: The first of its SKUs.
    sku: str
    #: The records of the inventory.
    ids: tuple[str, ...]


class Preview(msgspec.Struct, frozen=True, gc=False):
    """A row of the fee preview: the fees that Amazon expects to charge for a unit."""

    at: datetime
    id: str
    sku: str
    place: str
    currency: str
    #: The expected fulfilment fee.
    expected: Decimal | None
    price: Decimal | None
    #: The expected referral fee as a share of the price.
    referral_share: Decimal | None
    #: All estimated fees together.
    fees: Decimal | None
    #: The ASIN and the FNSKU: if they change, the SKU is another product.
    item: tuple[str, str]
    #: The size tier, or the band of size and weight, in Amazon's words.
    tier: str
    measures: Measures


class InboundItem(msgspec.Struct, frozen=True):
    """A product of an inbound shipment."""

    shipment: str
    #: The shipment's name, which the seller or Amazon gave it.
    name: str
    fnsku: str
    sku: str
    #: The shipment's records.
    ids: tuple[str, ...]
    status: str
    shipped: int
    received: int
    #: When this application first saw the shipment; None if unknown.
    seen: date | None
    #: When this application last saw it change.
    changed: date | None

    @property
    def sight(self) -> date | None:
        """The first day on which this application is known to have seen the shipment."""
        return self.seen or self.changed


class Transfer(msgspec.Struct, frozen=True, order=True):
    """Transfers of a product between warehouses under one reference, added up."""

    day: date
    fnsku: str
    reference: str
    sku: str
    place: str
    #: The ids of the transfers' records.
    ids: tuple[str, ...]
    #: Negative if more units left than arrived.
    units: int


class LedgerFacts(msgspec.Struct, frozen=True):
    """The facts from the ledger."""

    #: The day of its first row; None if it has no rows.
    since: date | None
    adjustments: Sequence[LedgerEvent]
    #: Receipts of the seller's shipments, by shipment.
    receipts: Mapping[str, Sequence[LedgerEvent]]
    #: Units that turned up, by FNSKU; only for products with a reversed reimbursement.
    finds: Mapping[str, Sequence[LedgerEvent]]
    #: Sellable customer returns put into stock, by FNSKU and day.
    restocked: Mapping[tuple[str, date], int]
    #: Transfers whose arrived units differ from those that left.
    transfers: Sequence[Transfer]
    #: Units that came in less those that left, by FNSKU and day; only for products with storage
    #: charges. Transfers between warehouses are left out.
    moved: Mapping[str, Mapping[date, int]]


class ProductFacts(msgspec.Struct, frozen=True):
    """The facts about products."""

    #: Fee previews by SKU, the oldest first.
    previews: Mapping[str, Sequence[Preview]]
    #: Prices by SKU.
    prices: Mapping[str, Decimal]
    #: One SKU of each FNSKU.
    skus: Mapping[str, str]
    #: Every SKU of each FNSKU.
    all_skus: Mapping[str, AbstractSet[str]]


class SalesFacts(msgspec.Struct, frozen=True):
    """The facts from transactions and orders."""

    #: The day of the first transaction; None without transactions.
    since: date | None
    #: Refunds of orders that Amazon fulfilled.
    refunds: Sequence[Refund]
    #: Refunds on which Amazon kept a fee, whoever fulfilled the order.
    with_kept_fees: Sequence[Refund]
    #: Fulfilment fees above at least one preview of their SKU, since no others can be overcharges.
    #: Includes all fees of products that Amazon measured larger than the seller.
    charges: Sequence[Charge]
    #: Referral fees above some preview of their SKU, likewise.
    commissions: Sequence[Charge]
    #: Currency and proceeds of a unit for each sale, by SKU; only for products that came back.
    proceeds: Mapping[str, Sequence[tuple[str, Decimal]]]
    #: The sales of refunded and replaced order items.
    sold: Mapping[OrderItem, SoldItem]
    #: The country of each order that has returns or replacements.
    order_places: Mapping[str, str]
    #: The country with the most sales; empty without sales.
    home: str


class Facts(msgspec.Struct, frozen=True):
    """Everything that a rule can look at, as of one day."""

    today: date
    #: Losses before this day are not claimed, but may still use up credits.
    oldest_loss: date
    windows: Windows
    #: The limits of the referral fee that Amazon may keep on a refund, by country or EU.
    fee_limits: Mapping[str, FeeLimit]
    #: The seller's own cost of a SKU.
    cost: Callable[[str], Money | None]
    #: The seller's own measures of a SKU.
    measures: Callable[[str], Measures | None]
    #: Datasets that were read completely.
    complete: frozenset[str]
    #: The number of rows that could not be used, by dataset.
    unusable: Mapping[str, int]
    ledger: LedgerFacts
    products: ProductFacts
    sales: SalesFacts
    payments: Sequence[Payment]
    payments_by_fnsku: Mapping[str, Sequence[Payment]]
    reversals: Sequence[Reversal]
    returns: Sequence[Return]
    replacements: Sequence[Replacement]
    removals: Sequence[Removal]
    removal_shipments: Sequence[RemovalShipment]
    #: The arrivals of removal shipments that the seller reported.
    arrivals: Sequence[RemovalArrival]
    inbound: Sequence[InboundItem]
    #: Storage charges, by product and month.
    storage: Sequence[StorageCharge]
    #: Today's stock of the products with such charges, by FNSKU.
    on_hand: Mapping[str, OnHand]
    #: Results that several rules share, by the function that computed them.
    computed: dict[object, object] = msgspec.field(default_factory=dict)
