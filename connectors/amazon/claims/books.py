"""What the rules know: the rows that matter to them, as small values in an order of their own."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from decimal import Decimal

import msgspec

from connectors.amazon.claims.windows import Windows
from connectors.base import Money

Key = tuple[str, str]


class Event(msgspec.Struct, frozen=True, order=True, gc=False):
    """A row of the ledger. `units` has its sign; `open` is Amazon's own open figure, if filled."""

    day: date
    reference: str
    id: str
    fnsku: str
    sku: str
    units: int
    reason: str
    disposition: str
    place: str
    open: int | None = None


class Payment(msgspec.Struct, frozen=True, gc=False):
    """A row of the reimbursements. `units` and `cash` are net of what was reversed."""

    day: date
    id: str
    number: str
    case: str
    order: str
    reason: str
    sku: str
    fnsku: str
    currency: str
    each: Decimal | None
    cash: int
    units: int


class Reversal(msgspec.Struct, frozen=True):
    """A reimbursement taken back. `original` is None if it lies before what was read; `names` is
    the number that the row calls it by."""

    day: date
    id: str
    number: str
    names: str
    order: str
    reason: str
    sku: str
    fnsku: str
    currency: str
    amount: Decimal | None
    units: int
    original: Payment | None


class Return(msgspec.Struct, frozen=True, gc=False):
    """Units that a customer sent back and Amazon received; `at` is how the row writes it."""

    day: date
    at: str
    id: str
    order: str
    sku: str
    fnsku: str
    units: int
    disposition: str


class Removal(msgspec.Struct, frozen=True):
    """Units that the seller asked Amazon to dispose of; `days`: asked for, last changed."""

    id: str
    fnsku: str
    days: tuple[date, ...]
    units: int


class Refund(msgspec.Struct, frozen=True, gc=False):
    """An item of a refund. `total` is what it moved, with its sign; `follows` is the
    deferred transaction that this one releases, `released` the one that releases this."""

    day: date
    id: str
    transaction: str
    order: str
    sku: str
    units: int
    total: Decimal | None
    currency: str
    place: str
    network: str
    follows: str
    released: str


class Charge(msgspec.Struct, frozen=True, gc=False):
    """A fulfilment fee of one item of a shipment, as a positive total without tax."""

    at: datetime
    id: str
    transaction: str
    sku: str
    units: int
    total: Decimal
    currency: str
    place: str
    follows: str
    released: str


class Preview(msgspec.Struct, frozen=True, gc=False):
    """What Amazon expected to charge for a unit, and when it said so."""

    at: datetime
    id: str
    sku: str
    place: str
    currency: str
    expected: Decimal | None
    price: Decimal | None
    fees: Decimal | None


class Consignment(msgspec.Struct, frozen=True):
    """What one inbound shipment had of one product; `ids` are its records."""

    shipment: str
    fnsku: str
    sku: str
    ids: tuple[str, ...]
    status: str
    shipped: int
    received: int
    seen: date | None
    changed: date | None


class Books(msgspec.Struct, frozen=True):
    """All of it, as of a day. What is complete is named in `known`; sequences are sorted."""

    today: date
    oldest: date  # of a loss in a warehouse that is still looked at
    windows: Windows
    cost: Callable[[str], Money | None]
    known: frozenset[str]
    unusable: Mapping[str, int]
    adjustments: Sequence[Event]
    receipts: Mapping[str, Sequence[Event]]  # by shipment
    finds: Mapping[str, Sequence[Event]]  # of products whose reimbursement was reversed
    restocked: Mapping[tuple[str, date], int]  # sellable units, by FNSKU and day
    ledger_since: date | None
    payments: Sequence[Payment]
    paid: Mapping[str, Sequence[Payment]]  # by FNSKU
    reversals: Sequence[Reversal]
    returns: Sequence[Return]
    removals: Sequence[Removal]
    refunds: Sequence[Refund]
    charges: Sequence[Charge]
    proceeds: Mapping[str, Sequence[tuple[str, Decimal]]]  # currency and net of a unit, by SKU
    previews: Mapping[str, Sequence[Preview]]  # by SKU
    prices: Mapping[str, Decimal]  # by SKU
    skus: Mapping[str, str]  # by FNSKU
    twins: Mapping[str, AbstractSet[str]]  # all SKUs of an FNSKU
    shipments: Sequence[Consignment]
    sold: Mapping[Key, int]  # units shipped of what was refunded more than once
    sold_in: Mapping[str, str]  # the place of an order
