"""Sales: refunds, fulfilment fees and proceeds from the transactions; who fulfilled an order."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from connectors.amazon.claims.books import Charge, Preview, Refund
from connectors.amazon.claims.cells import decimal, label, moment, text, whole
from connectors.amazon.claims.places import place
from connectors.amazon.claims.reading.rows import Rows, needed

FULFILMENT = "fbaperunitfulfillmentfee"
TAXES = frozenset({"tax", "vat", "taxamount", "gst"})
BY_AMAZON = frozenset({"afn", "amazon", "fba"})
ELSEWHERE = re.compile(r"S[0-9]{2}-.*")
"""Orders of other channels that Amazon fulfils; they have fees of their own."""

Posted = TypeVar("Posted", Refund, Charge)
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
    breakdowns: Any = None


class OrderRow(msgspec.Struct):
    """An order of the Orders API, 2026-01-01."""

    orderId: Any = None
    fulfillment: Any = None
    salesChannel: Any = None


class _Item(msgspec.Struct, frozen=True):
    """One product of one transaction. `fees` are the nodes that its fulfilment fee is among."""

    record: str
    transaction: str
    at: datetime
    order: str
    place: str
    sku: str
    quantity: int | None
    network: str
    amount: Decimal | None
    currency: str
    fees: Sequence[Node]
    elsewhere: bool
    follows: str
    released: str


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
        self._refunds.append(
            Refund(
                day=item.at.date(),
                id=item.record,
                transaction=item.transaction,
                order=item.order,
                sku=item.sku,
                units=units,
                total=item.amount,
                currency=item.currency,
                place=item.place,
                network=item.network,
                follows=item.follows,
                released=item.released,
            )
        )

    def _shipped(self, item: _Item, units: int) -> None:
        ours = not item.elsewhere and item.network in ("", *BY_AMAZON)
        if ours and item.amount is not None and item.currency and item.sku in self._resold:
            self.proceeds[item.sku].append((item.currency, item.amount / units))
        fee, currency = _fee(item.fees)
        least = self._least.get(item.sku)
        if least is None or item.elsewhere or fee / units <= least:
            return
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
        amount, currency = _amount(node.get("totalAmount"))
        fees = _nodes(node.get("breakdowns"))
        if len(nodes) == 1:  # what the transaction says is then said of its item
            if amount is None:
                amount, currency = _amount(row.totalAmount)
            fees = fees or _nodes(row.breakdowns)
        if not sku:
            continue
        yield _Item(
            record=record,
            transaction=text(row.transactionId) or record,
            at=at,
            order=order,
            place=place(marketplace, currency=currency),
            sku=sku,
            quantity=whole(product.get("quantityShipped")),
            network=label(text(product.get("fulfillmentNetwork"))),
            amount=amount,
            currency=currency,
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


def _least(previews: Mapping[str, Sequence[Preview]]) -> Mapping[str, Decimal]:
    """The smallest expectation of each SKU: no charge up to it can be too high."""
    return {
        sku: min(expected)
        for sku, found in previews.items()
        if (expected := [each.expected for each in found if each.expected is not None])
    }


def _fee(nodes: Sequence[Node]) -> tuple[Decimal, str]:
    """The fulfilment fees among breakdowns, at any depth, without their taxes; as a charge."""
    charged, currency = Decimal(0), ""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        inner = _nodes(node.get("breakdowns"))
        if label(text(node.get("breakdownType"))) != FULFILMENT:
            stack += inner
            continue
        amount, unit = _amount(node.get("breakdownAmount"))
        taxes = [each for each in inner if label(text(each.get("breakdownType"))) in TAXES]
        for each in taxes:
            amount = (amount or Decimal(0)) - (_amount(each.get("breakdownAmount"))[0] or 0)
        charged -= amount or 0
        currency = unit or currency
    return charged, currency


def _amount(value: object) -> tuple[Decimal | None, str]:
    if not isinstance(value, dict):
        return None, ""
    return decimal(value.get("currencyAmount")), text(value.get("currencyCode")).upper()


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


def _nodes(value: object) -> Sequence[Node]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
