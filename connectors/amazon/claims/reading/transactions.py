"""Transactions of listTransactions (2024-06-19) as items, and the fees among their breakdowns."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from connectors.amazon.cells import decimal, label, moment, text, whole
from connectors.amazon.claims.reading.reader import needed
from connectors.amazon.marketplaces import place

FULFILMENT_FEE = "fbaperunitfulfillmentfee"
REFERRAL_FEE = "commission"
KEPT_FEE = "refundcommission"
"""The part of the referral fee that Amazon keeps when a customer is refunded."""
FEES = frozenset({FULFILMENT_FEE, REFERRAL_FEE, KEPT_FEE})
PRINCIPALS = frozenset({"principal", "ourpriceprincipal"})
BESIDES = frozenset(
    {"shipping", "shippingcharge", "shippingprincipal"}
    | {"giftwrap", "giftwrapcharge", "giftwrapprincipal"}
)
"""The amounts, in addition to the price, on which a referral fee is charged."""
PRICES = PRINCIPALS | BESIDES
TAXES = frozenset({"tax", "vat", "taxamount", "gst"})
SALES_TAXES = TAXES | {"ourpricetax", "shippingtax", "giftwraptax"}
OTHER_CHANNELS = re.compile(r"S[0-9]{2}-.*")
"""Matches ids of orders from other channels that Amazon fulfils; these have their own fees."""

Node = Mapping[str, Any]


class TransactionRow(msgspec.Struct):
    """A transaction."""

    transactionId: Any = None
    transactionType: Any = None
    postedDate: Any = None
    totalAmount: Any = None
    relatedIdentifiers: Any = None
    marketplaceDetails: Any = None
    sellingPartnerMetadata: Any = None
    items: Any = None
    #: Not decoded: it is large, and needed only for transactions of one item.
    breakdowns: msgspec.Raw = msgspec.Raw(b"null")


class ShippedRow(msgspec.Struct):
    """A transaction whose items are decoded only if it is a shipment of certain orders."""

    transactionId: Any = None
    transactionType: Any = None
    postedDate: Any = None
    totalAmount: Any = None
    relatedIdentifiers: Any = None
    items: msgspec.Raw = msgspec.Raw(b"null")
    breakdowns: msgspec.Raw = msgspec.Raw(b"null")


class TransactionItem(msgspec.Struct, frozen=True):
    """A product of a transaction. Amounts are decoded only where a rule needs them."""

    record: str
    transaction: str
    at: datetime
    order: str
    place: str
    sku: str
    quantity: int | None
    network: str
    #: The node of its total amount.
    total: Node
    #: The breakdown nodes, with the fulfilment fee among them.
    breakdowns: Sequence[object]
    #: Whether the order came from another channel than Amazon.
    other_channel: bool
    #: The deferred transaction that this one releases.
    releases: str
    #: The transaction that releases this deferred one.
    released_by: str


class ShippedItem(msgspec.Struct, frozen=True, gc=False):
    """An item of a shipment, with its amounts."""

    day: date
    order: str
    sku: str
    units: int
    total: Decimal | None
    principal: Decimal | None
    currency: str
    transaction: str
    #: The deferred transaction that this one releases.
    releases: str
    #: The transaction that releases this deferred one.
    released_by: str


def items_of(record: str, row: TransactionRow) -> Iterator[TransactionItem]:
    at, related = needed(moment(row.postedDate)), _related(row.relatedIdentifiers)
    marketplace = inside(row.marketplaceDetails, "marketplaceId") or inside(
        row.sellingPartnerMetadata, "marketplaceId"
    )
    marketplace_name = label(inside(row.marketplaceDetails, "marketplaceName"))
    order = related.get("ORDER_ID", "")
    nodes = _nodes(row.items)
    for node in nodes:
        product = _product(node)
        sku = text(product.get("sku"))
        if not sku:
            continue
        total, breakdowns = _node(node.get("totalAmount")), _list(node.get("breakdowns"))
        if len(nodes) == 1:  # the transaction supplies the values that its only item lacks
            if decimal(total.get("currencyAmount")) is None:
                total = _node(row.totalAmount)
            breakdowns = breakdowns or _list(msgspec.json.decode(row.breakdowns))
        yield TransactionItem(
            record=record,
            transaction=text(row.transactionId) or record,
            at=at,
            order=order,
            place=place(marketplace, currency=text(total.get("currencyCode"))),
            sku=sku,
            quantity=whole(product.get("quantityShipped")),
            network=label(text(product.get("fulfillmentNetwork"))),
            total=total,
            breakdowns=breakdowns,
            other_channel=bool(OTHER_CHANNELS.fullmatch(order))
            or marketplace_name.startswith("nonamazon"),
            releases=related.get("DEFERRED_TRANSACTION_ID", ""),
            released_by=related.get("RELEASE_TRANSACTION_ID", ""),
        )


def shipped_items(record: str, row: ShippedRow, orders: set[str]) -> Iterator[ShippedItem]:
    """The items of a transaction, if it is a shipment of one of the orders."""
    order = _related(row.relatedIdentifiers).get("ORDER_ID", "")
    if order not in orders or label(text(row.transactionType)) != "shipment":
        return
    transaction = TransactionRow(
        transactionId=row.transactionId,
        postedDate=row.postedDate,
        totalAmount=row.totalAmount,
        relatedIdentifiers=row.relatedIdentifiers,
        items=msgspec.json.decode(row.items),
        breakdowns=row.breakdowns,
    )
    for item in items_of(record, transaction):
        total, currency = amount_of(item.total)
        yield ShippedItem(
            day=item.at.date(),
            order=order,
            sku=item.sku,
            units=abs(item.quantity or 0),
            total=total,
            principal=principal_of(item.breakdowns),
            currency=currency,
            transaction=item.transaction,
            releases=item.releases,
            released_by=item.released_by,
        )


def amount_of(node: Node) -> tuple[Decimal | None, str]:
    return decimal(node.get("currencyAmount")), text(node.get("currencyCode")).upper()


def principal_of(breakdowns: Sequence[object]) -> Decimal | None:
    """The price of an item, without tax and fees; None if no breakdown states it."""
    amounts = [
        amount
        for node in _principals(breakdowns)
        if (amount := amount_of(_node(node.get("breakdownAmount")))[0]) is not None
    ]
    return sum(amounts, Decimal(0)) if amounts else None


def _principals(breakdowns: Sequence[object]) -> Iterator[Node]:
    stack = list(breakdowns)
    while stack:
        node = stack.pop()
        if not isinstance(node, dict):
            continue
        if _kind(node) in PRINCIPALS:
            yield node
        else:
            stack += _list(node.get("breakdowns"))


def fee(breakdowns: Sequence[object], kind: str) -> tuple[Decimal, str]:
    """A fee without tax, positive for a charge, and its currency."""
    charged, currency = Decimal(0), ""
    stack = list(breakdowns)
    while stack:
        node = stack.pop()
        if not isinstance(node, dict):
            continue
        if _kind(node) != kind:
            stack += _list(node.get("breakdowns"))
            continue
        for sign, amount_node in _without_tax(node):
            amount, node_currency = amount_of(amount_node)
            charged += sign * (amount or 0)
            currency = node_currency or currency
    return charged, currency


def referral_base(breakdowns: Sequence[object], with_tax: bool) -> Decimal | None:
    """The amount on which Amazon takes its referral fee: the price with shipping and gift wrap, and
    with tax where prices contain it. None without a price."""
    price, others = principal_of(breakdowns), Decimal(0)
    stack = list(breakdowns)
    while stack:
        node = stack.pop()
        if not isinstance(node, dict):
            continue
        kind = _kind(node)
        if kind in BESIDES or (with_tax and kind in SALES_TAXES):
            amount, _ = amount_of(_node(node.get("breakdownAmount")))
            others += max(amount or Decimal(0), Decimal(0))
        elif kind not in FEES:
            stack += _list(node.get("breakdowns"))
    return None if price is None else price + others


class RoughFees(msgspec.Struct, gc=False):
    """Fees and the price of an item as floats, exact to far less than a cent. They are much faster
    than decimals, and enough to see that most charges are not too high."""

    fulfilment: float
    referral: float
    price: float
    tax: float


def rough_fees(breakdowns: Sequence[object]) -> RoughFees:
    fulfilment = referral = price = tax = 0.0
    stack = list(breakdowns)
    while stack:  # runs for every sale: most of a detection's time is spent here
        node = stack.pop()
        if not isinstance(node, dict):
            continue
        kind = _kind(node)
        if kind == FULFILMENT_FEE:
            fulfilment += _rough_fee(node)
        elif kind == REFERRAL_FEE:
            referral += _rough_fee(node)
        elif kind in PRICES:
            price += _rough(node)
        elif kind in SALES_TAXES:
            tax += _rough(node)
        else:
            inner = node.get("breakdowns")
            if isinstance(inner, list):
                stack += inner
    return RoughFees(fulfilment, referral, price, tax)


def _rough_fee(node: Node) -> float:
    charged, inner = -_rough(node), node.get("breakdowns")
    if inner:
        charged += sum(_rough(part) for part in _nodes(inner) if _kind(part) in TAXES)
    return charged


def _rough(node: Node) -> float:
    amount = _node(node.get("breakdownAmount")).get("currencyAmount")
    return amount if type(amount) is float else float(decimal(amount) or 0)


def _without_tax(node: Node) -> Iterator[tuple[int, Node]]:
    """The amounts of a fee and of the taxes in it, each with the sign by which they add up to the
    charge without tax."""
    yield -1, _node(node.get("breakdownAmount"))
    for inner in _nodes(node.get("breakdowns")):
        if _kind(inner) in TAXES:
            yield 1, _node(inner.get("breakdownAmount"))


def _kind(node: Node) -> str:
    kind = node.get("breakdownType")
    return label(kind) if type(kind) is str else ""


def _product(item: Node) -> Node:
    contexts = _nodes(item.get("contexts"))
    return next((context for context in contexts if text(context.get("sku"))), {})


def _related(value: object) -> Mapping[str, str]:
    return {
        text(node.get("relatedIdentifierName")).upper(): text(node.get("relatedIdentifierValue"))
        for node in _nodes(value)
    }


def inside(value: object, name: str) -> str:
    """The text of a member, empty if `value` is not an object."""
    return text(value.get(name)) if isinstance(value, dict) else ""


def _node(value: object) -> Node:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _nodes(value: object) -> Sequence[Node]:
    return [node for node in _list(value) if isinstance(node, dict)]
