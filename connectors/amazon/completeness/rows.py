"""Reads stored records for the comparison. A row that cannot be read is left out: it proves
nothing."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeVar

import msgspec

from connectors.amazon.cells import day, label, moment, text, whole
from connectors.base import Record

AMAZON_ORDER = re.compile(r"[0-9]{3}-[0-9]{7}-[0-9]{7}")
"""The id of an order on a marketplace of Amazon. Orders of other channels have other ids."""

UNKNOWN = 1_000
"""Units of a shipment that does not state them: they may explain any number in the ledger."""

Row = TypeVar("Row", bound=msgspec.Struct)
Node = Mapping[str, Any]


class OrderBody(msgspec.Struct):
    """An order, by search or by report."""

    orderId: Any = None
    createdTime: Any = None
    lastUpdatedTime: Any = None
    fulfillment: Any = None
    orderItems: Any = None


class PostedRow(msgspec.Struct):
    """A transaction. Its items are decoded only if the order is not stored."""

    transactionType: Any = None
    postedDate: Any = None
    relatedIdentifiers: Any = None
    marketplaceDetails: Any = None
    items: msgspec.Raw = msgspec.Raw(b"null")


class GoodsRow(msgspec.Struct):
    """A row of the returns or of the reimbursements."""

    returndate: Any = None
    orderid: Any = None
    approvaldate: Any = None
    amazonorderid: Any = None


class MovedRow(msgspec.Struct):
    """A row of the ledger."""

    date: Any = None
    dateandtime: Any = None
    fnsku: Any = None
    msku: Any = None
    eventtype: Any = None
    quantity: Any = None


class StoredOrder(msgspec.Struct, frozen=True, gc=False):
    """An order that was read."""

    id: str
    created: date
    updated: date
    #: shipped, cancelled, … in small letters.
    status: str
    by_amazon: bool
    #: Units ordered, by SKU.
    units: Sequence[tuple[str, int]]


class Shipment(msgspec.Struct, frozen=True, gc=False):
    """A shipment of an order, as the transactions show it."""

    order: str
    at: datetime
    #: The id of the marketplace; empty if it is not named.
    marketplace: str
    row: PostedRow

    def units(self) -> Sequence[tuple[str, int]]:
        """Units shipped by Amazon, by SKU."""
        try:
            items = msgspec.json.decode(self.row.items)
        except (ValueError, RecursionError):
            return ()
        products = [
            context
            for item in _nodes(items)
            for context in _nodes(item.get("contexts"))
            if text(context.get("sku"))
        ]
        return [
            (text(product["sku"]), _units(product.get("quantityShipped")))
            for product in products
            if label(text(product.get("fulfillmentNetwork"))) in ("afn", "")
        ]


class Trace(msgspec.Struct, frozen=True, gc=False):
    """An order that another dataset names."""

    order: str
    day: date


class ShippedUnits(msgspec.Struct, frozen=True, gc=False):
    """Units that left a warehouse for a customer, as the ledger shows them."""

    fnsku: str
    sku: str
    day: date
    units: int


def orders(records: Iterable[Record]) -> Iterator[StoredOrder]:
    for row in _rows(records, OrderBody):
        order_id, updated = text(row.orderId), moment(row.lastUpdatedTime)
        if not order_id or updated is None:
            continue
        created = moment(row.createdTime) or updated
        fulfillment = row.fulfillment if isinstance(row.fulfillment, dict) else {}
        yield StoredOrder(
            id=order_id,
            created=created.date(),
            updated=updated.date(),
            status=text(fulfillment.get("fulfillmentStatus")).lower(),
            by_amazon=text(fulfillment.get("fulfilledBy")).upper() != "MERCHANT",
            units=[
                (sku, units)
                for item in _nodes(row.orderItems)
                if (sku := _sku(item)) and (units := whole(item.get("quantityOrdered")) or 0) > 0
            ],
        )


def shipments(records: Iterable[Record]) -> Iterator[Shipment]:
    for row in _rows(records, PostedRow):
        if label(text(row.transactionType)) != "shipment":
            continue
        at, order = moment(row.postedDate), _order_of(row.relatedIdentifiers)
        if at is not None and order:
            details = row.marketplaceDetails
            place = text(details.get("marketplaceId")) if isinstance(details, dict) else ""
            yield Shipment(order, at, place, row)


def returns(records: Iterable[Record]) -> Iterator[Trace]:
    for row in _rows(records, GoodsRow):
        if (at := day(row.returndate)) and (order := text(row.orderid)):
            yield Trace(order, at)


def reimbursements(records: Iterable[Record]) -> Iterator[Trace]:
    for row in _rows(records, GoodsRow):
        if (at := day(row.approvaldate)) and (order := text(row.amazonorderid)):
            yield Trace(order, at)


def ledger_shipments(records: Iterable[Record]) -> Iterator[ShippedUnits]:
    for row in _rows(records, MovedRow):
        if label(text(row.eventtype)) != "shipments":
            continue
        at, units = day(row.date) or day(row.dateandtime), whole(row.quantity)
        if at and units and units < 0:
            yield ShippedUnits(text(row.fnsku), text(row.msku), at, -units)


def unit_key(fnsku: str, at: date) -> str:
    """The key of a gap that units of the ledger show."""
    return f"{at.isoformat()}/{fnsku}"


def _rows(records: Iterable[Record], shape: type[Row]) -> Iterator[Row]:
    decoder = msgspec.json.Decoder(shape)
    for record in records:
        try:
            yield decoder.decode(record.data)
        except (ValueError, RecursionError):
            continue


def _order_of(identifiers: object) -> str:
    for node in _nodes(identifiers):
        if text(node.get("relatedIdentifierName")).upper() == "ORDER_ID":
            return text(node.get("relatedIdentifierValue"))
    return ""


def _units(quantity: object) -> int:
    units = whole(quantity)
    return UNKNOWN if units is None else abs(units)


def _sku(item: Node) -> str:
    product = item.get("product")
    return text(product.get("sellerSku")) if isinstance(product, dict) else ""


def _nodes(value: object) -> Sequence[Node]:
    nodes = value if isinstance(value, list) else ()
    return [node for node in nodes if isinstance(node, dict)]
