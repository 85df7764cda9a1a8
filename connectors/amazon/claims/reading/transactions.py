"""Transactions of listTransactions (2024-06-19) as items, and the fees among their breakdowns."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from connectors.amazon.cells import decimal, label, moment, text, whole
from connectors.amazon.claims.reading.reader import needed
from connectors.amazon.marketplaces import place

FULFILMENT_FEE = "fbaperunitfulfillmentfee"
PRINCIPALS = frozenset({"principal", "ourpriceprincipal"})
TAXES = frozenset({"tax", "vat", "taxamount", "gst"})
OTHER_CHANNELS = re.compile(r"S[0-9]{2}-.*")
"""Ids of orders of other channels that Amazon fulfils; these have fees of their own."""

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
        if len(nodes) == 1:  # what is missing of the only item is that of the transaction
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


def fulfilment_fee(breakdowns: Sequence[object]) -> tuple[Decimal, str]:
    """The fulfilment fee without tax, positive for a charge, and its currency."""
    charged, currency = Decimal(0), ""
    for sign, node in _fee_nodes(breakdowns):
        amount, node_currency = amount_of(node)
        charged += sign * (amount or 0)
        currency = node_currency or currency
    return charged, currency


def rough_fulfilment_fee(breakdowns: Sequence[object]) -> float:
    """The fulfilment fee as a float, exact to far less than a cent. It is much faster than the
    decimal, and enough to see that most charges are not too high."""
    charged = 0.0
    for sign, node in _fee_nodes(breakdowns):
        amount = node.get("currencyAmount")
        charged += sign * (amount if type(amount) is float else float(decimal(amount) or 0))
    return charged


def _fee_nodes(breakdowns: Sequence[object]) -> Iterator[tuple[int, Node]]:
    """The amounts of fulfilment fees at any depth, and of the taxes in them, each with the sign by
    which they add up to the charge without tax."""
    stack = list(breakdowns)
    while stack:  # runs for every sale: most of a detection's time is spent here
        node = stack.pop()
        if not isinstance(node, dict):
            continue
        inner = node.get("breakdowns")
        if _kind(node) != FULFILMENT_FEE:
            if isinstance(inner, list):
                stack += inner
            continue
        yield -1, _node(node.get("breakdownAmount"))
        for inner_node in _nodes(inner):
            if _kind(inner_node) in TAXES:
                yield 1, _node(inner_node.get("breakdownAmount"))


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
