"""Sales: refunds, fulfilment fees and proceeds from the transactions; who fulfilled an order."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from connectors.amazon.cells import decimal, label, moment, text, whole
from connectors.amazon.claims.books import Charge, Key, Preview, Refund
from connectors.amazon.claims.reading.rows import Rows, needed
from connectors.amazon.marketplaces import place

FULFILMENT = "fbaperunitfulfillmentfee"
TAXES = frozenset({"tax", "vat", "taxamount", "gst"})
BY_AMAZON = frozenset({"afn", "amazon", "fba"})
NOISE = 0.02
"""So little above what was expected is never a claim, whatever the rule tolerates."""
ELSEWHERE = re.compile(r"S[0-9]{2}-.*")
"""Orders of other channels that Amazon fulfils; they have fees of their own."""

Node = Mapping[str, Any]


class TransactionRow(msgspec.Struct):
    """A transaction of listTransactions, 2024-06-19."""

    transactionId: Any = None
    transactionType: Any = None
    postedDate: Any = None
    totalAmount: Any = None
    relatedIdentifiers: Any = None
    marketplaceDetails: Any = None
    sellingPartnerMetadata: Any = None
    items: Any = None
    breakdowns: msgspec.Raw = msgspec.Raw(b"null")  # large, and hardly ever looked at


class ShippedRow(msgspec.Struct):
    """Of a transaction, what tells how many units of an order were shipped."""

    transactionId: Any = None
    transactionType: Any = None
    relatedIdentifiers: Any = None
    items: msgspec.Raw = msgspec.Raw(b"null")


class OrderRow(msgspec.Struct):
    """An order of the Orders API, 2026-01-01."""

    orderId: Any = None
    fulfillment: Any = None
    salesChannel: Any = None


class _Item(msgspec.Struct, frozen=True):
    """One product of one transaction. `fees` are the nodes that its fulfilment fee is among;
    `total` is the node of what it moved. Most are looked at no further."""

    record: str
    transaction: str
    at: datetime
    order: str
    place: str
    sku: str
    quantity: int | None
    network: str
    total: Node
    fees: Sequence[object]
    elsewhere: bool
    follows: str
    released: str


class _Shipped(msgspec.Struct, frozen=True):
    """Units of one product of one order."""

    where: Key
    units: int
    transaction: str
    follows: str
    released: str


Posted = TypeVar("Posted", Refund, Charge, _Shipped)


class Sales:
    """What is kept: refunds, the fees that are higher than some preview of their SKU, proceeds of
    `resold` SKUs, the places of `returned` orders. An order that Amazon took returns of, or paid
    for, is one that it fulfilled: `ours` has those."""

    def __init__(
        self,
        previews: Mapping[str, Sequence[Preview]],
        resold: set[str],
        returned: set[str],
        ours: set[str],
    ) -> None:
        self._least = _least(previews)
        self._resold = resold
        self._returned = returned
        self._ours = set(ours)
        self._refunds: list[Refund] = []
        self._charges: list[Charge] = []
        self.refunds: Sequence[Refund] = ()
        self.charges: Sequence[Charge] = ()
        self.proceeds: defaultdict[str, list[tuple[str, Decimal]]] = defaultdict(list)
        self.sold_in: dict[str, str] = {}
        self.sold: Counter[Key] = Counter()
        self._places: Counter[str] = Counter()

    @property
    def home(self) -> str:
        """Where most was sold; empty if nothing was."""
        return max(self._places, key=lambda each: (self._places[each], each), default="")

    def read(self, rows: Rows) -> "Sales":
        for _ in rows.read("transactions", TransactionRow, self._transaction):
            pass
        self._read_orders(rows)
        refunds = [each for each in _posted_once(self._refunds) if self._by_amazon(each)]
        self.refunds = sorted(refunds, key=lambda each: (each.day, each.id))
        self.charges = sorted(_posted_once(self._charges), key=lambda each: (each.at, each.id))
        self._count_sold(rows)
        return self

    def _transaction(self, record: str, row: TransactionRow) -> None:
        kind = label(text(row.transactionType))
        if kind not in ("refund", "shipment"):
            return
        for item in _items(record, row):
            if item.place and not item.elsewhere:
                self._places[item.place] += 1
            if item.order in self._returned and item.place:
                known = self.sold_in.get(item.order, item.place)
                self.sold_in[item.order] = min(known, item.place)
            if kind == "refund":
                self._refund(item)
            elif item.quantity:
                self._shipped(item, abs(item.quantity))

    def _refund(self, item: _Item) -> None:
        units = 1 if item.quantity is None else abs(item.quantity)
        if not units or not item.order:
            return
        amount, currency = _amount(item.total)
        self._refunds.append(
            Refund(
                day=item.at.date(),
                id=item.record,
                transaction=item.transaction,
                order=item.order,
                sku=item.sku,
                units=units,
                total=amount,
                currency=currency,
                place=item.place,
                network=item.network,
                follows=item.follows,
                released=item.released,
            )
        )

    def _shipped(self, item: _Item, units: int) -> None:
        if item.elsewhere:
            return
        if item.sku in self._resold and (not item.network or item.network in BY_AMAZON):
            amount, currency = _amount(item.total)
            if amount is not None and currency:
                self.proceeds[item.sku].append((currency, amount / units))
        least = self._least.get(item.sku)
        if least is None or _roughly(item.fees) / units <= least:
            return
        fee, currency = _fee(item.fees)
        self._charges.append(
            Charge(
                at=item.at,
                id=item.record,
                transaction=item.transaction,
                sku=item.sku,
                units=units,
                total=fee,
                currency=currency,
                place=item.place,
                follows=item.follows,
                released=item.released,
            )
        )

    def _read_orders(self, rows: Rows) -> None:
        """Look orders up, if there is one of which it is not known who fulfilled it, or where (if
        all is sold in one place, it was there)."""
        unknown = {each.order for each in self._refunds if not each.network} - self._ours
        placeless = self._returned - self.sold_in.keys() if len(self._places) != 1 else set()
        if not unknown and not placeless:
            return

        def look(_: str, row: OrderRow) -> None:
            order = text(row.orderId)
            if order in unknown and label(_inside(row.fulfillment, "fulfilledBy")) in BY_AMAZON:
                self._ours.add(order)
            if order in placeless and (found := place(_inside(row.salesChannel, "marketplaceId"))):
                self.sold_in[order] = found

        for _ in rows.read("orders", OrderRow, look):
            pass

    def _count_sold(self, rows: Rows) -> None:
        """How many units there were of what was refunded more than once, if that is told: a part of
        the price may have been refunded twice of the same unit."""
        counts = Counter((each.order, each.sku) for each in self.refunds)
        several = {where for where, count in counts.items() if count > 1}
        orders = {order for order, _ in several}
        found: list[_Shipped] = []

        def look(record: str, row: ShippedRow) -> None:
            related = _related(row.relatedIdentifiers)
            order = related.get("ORDER_ID", "")
            if order not in orders or label(text(row.transactionType)) != "shipment":
                return
            for node in _nodes(msgspec.json.decode(row.items)):
                product = _product(node)
                where = order, text(product.get("sku"))
                found.append(
                    _Shipped(
                        where=where,
                        units=abs(whole(product.get("quantityShipped")) or 0),
                        transaction=text(row.transactionId) or record,
                        follows=related.get("DEFERRED_TRANSACTION_ID", ""),
                        released=related.get("RELEASE_TRANSACTION_ID", ""),
                    )
                )

        if several:
            for _ in rows.read("transactions", ShippedRow, look, again=True):
                pass
        for each in _posted_once(found):
            self.sold[each.where] += each.units

    def _by_amazon(self, refund: Refund) -> bool:
        return refund.network in BY_AMAZON if refund.network else refund.order in self._ours


def _items(record: str, row: TransactionRow) -> Iterator[_Item]:
    at, related = needed(moment(row.postedDate)), _related(row.relatedIdentifiers)
    marketplace = _inside(row.marketplaceDetails, "marketplaceId") or _inside(
        row.sellingPartnerMetadata, "marketplaceId"
    )
    name = label(_inside(row.marketplaceDetails, "marketplaceName"))
    order = related.get("ORDER_ID", "")
    nodes = _nodes(row.items)
    for node in nodes:
        product = _product(node)
        sku = text(product.get("sku"))
        if not sku:
            continue
        total, fees = _node(node.get("totalAmount")), _list(node.get("breakdowns"))
        if len(nodes) == 1:  # what the transaction says is then said of its item
            if decimal(total.get("currencyAmount")) is None:
                total = _node(row.totalAmount)
            fees = fees or _list(msgspec.json.decode(row.breakdowns))
        yield _Item(
            record=record,
            transaction=text(row.transactionId) or record,
            at=at,
            order=order,
            place=place(marketplace, currency=text(total.get("currencyCode"))),
            sku=sku,
            quantity=whole(product.get("quantityShipped")),
            network=label(text(product.get("fulfillmentNetwork"))),
            total=total,
            fees=fees,
            elsewhere=bool(ELSEWHERE.fullmatch(order)) or name.startswith("nonamazon"),
            follows=related.get("DEFERRED_TRANSACTION_ID", ""),
            released=related.get("RELEASE_TRANSACTION_ID", ""),
        )


def _posted_once(posted: Sequence[Posted]) -> list[Posted]:
    """Without those that only release one that was deferred and is here too."""
    ids = {each.transaction for each in posted}
    released = {each.released for each in posted}
    return [each for each in posted if each.follows not in ids and each.transaction not in released]


def _least(previews: Mapping[str, Sequence[Preview]]) -> Mapping[str, float]:
    """The smallest expectation of each SKU, and a little more: no charge up to it is too high."""
    return {
        sku: float(min(expected)) + NOISE
        for sku, found in previews.items()
        if (expected := [each.expected for each in found if each.expected is not None])
    }


def _fees(nodes: Sequence[object]) -> Iterator[tuple[int, Node]]:
    """The amounts of fulfilment fees among breakdowns, at any depth, and of the taxes in them; each
    with the sign by which they add up to a charge without tax."""
    stack = list(nodes)
    while stack:  # of every sale: this is where most of a detection's time goes
        node = stack.pop()
        if not isinstance(node, dict):
            continue
        inner = node.get("breakdowns")
        if _kind(node) != FULFILMENT:
            if isinstance(inner, list):
                stack += inner
            continue
        yield -1, _node(node.get("breakdownAmount"))
        for each in _nodes(inner):
            if _kind(each) in TAXES:
                yield 1, _node(each.get("breakdownAmount"))


def _kind(node: Node) -> str:
    kind = node.get("breakdownType")
    return label(kind) if type(kind) is str else ""


def _fee(nodes: Sequence[object]) -> tuple[Decimal, str]:
    charged, currency = Decimal(0), ""
    for sign, node in _fees(nodes):
        amount, unit = _amount(node)
        charged += sign * (amount or 0)
        currency = unit or currency
    return charged, currency


def _roughly(nodes: Sequence[object]) -> float:
    """The same, to far less than a cent: enough to see that most charges are not too high."""
    charged = 0.0
    for sign, node in _fees(nodes):
        amount = node.get("currencyAmount")
        charged += sign * (amount if type(amount) is float else float(decimal(amount) or 0))
    return charged


def _amount(node: Node) -> tuple[Decimal | None, str]:
    return decimal(node.get("currencyAmount")), text(node.get("currencyCode")).upper()


def _product(item: Node) -> Node:
    contexts = _nodes(item.get("contexts"))
    return next((each for each in contexts if text(each.get("sku"))), {})


def _related(value: object) -> Mapping[str, str]:
    return {
        text(each.get("relatedIdentifierName")).upper(): text(each.get("relatedIdentifierValue"))
        for each in _nodes(value)
    }


def _inside(value: object, name: str) -> str:
    return text(value.get(name)) if isinstance(value, dict) else ""


def _node(value: object) -> Node:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _nodes(value: object) -> Sequence[Node]:
    return [each for each in _list(value) if isinstance(each, dict)]
