"""Reads sales: refunds, fulfilment fees and proceeds from transactions; places from orders."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal
from math import inf
from typing import Any, TypeVar

import msgspec

from connectors.amazon.cells import label, moment, text
from connectors.amazon.claims.codes import SELLABLE
from connectors.amazon.claims.facts import (
    Charge,
    OrderItem,
    Payment,
    Preview,
    Refund,
    Replacement,
    Return,
    SalesFacts,
    SoldItem,
)
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.reading.reader import DatasetReader
from connectors.amazon.claims.reading.transactions import (
    FULFILMENT_FEE,
    KEPT_FEE,
    REFERRAL_FEE,
    ShippedItem,
    ShippedRow,
    TransactionItem,
    TransactionRow,
    amount_of,
    fee,
    inside,
    items_of,
    principal_of,
    referral_base,
    rough_fees,
    shipped_items,
)
from connectors.amazon.marketplaces import place

AMAZON_NETWORKS = frozenset({"afn", "amazon", "fba"})
PRICES_WITHOUT_TAX = frozenset({"US", "CA"})
"""The places in which referral fees are charged on prices without tax."""
NEGLIGIBLE = 0.02
"""A fee this little above the expected one is never claimed, whatever the rule tolerates."""

Posted = TypeVar("Posted", Refund, Charge, ShippedItem)


class OrderRow(msgspec.Struct):
    """An order of the Orders API (2026-01-01)."""

    orderId: Any = None
    fulfillment: Any = None
    salesChannel: Any = None


def read_sales(
    reader: DatasetReader,
    previews: Mapping[str, Sequence[Preview]],
    disputed: AbstractSet[str],
    returns: Sequence[Return],
    replacements: Sequence[Replacement],
    payments: Sequence[Payment],
) -> SalesFacts:
    """The facts about these products and orders from transactions and orders.

    Every fulfilment fee of `disputed` SKUs is kept. Orders are read only if they are needed."""
    sales = _Sales(_limits(previews, disputed), returns, replacements, payments)
    reader.visit("transactions", TransactionRow, sales.add)
    sales.look_up_orders(reader)
    posted = sorted(_posted_once(sales.refunds), key=lambda refund: (refund.day, refund.id))
    refunds = [refund for refund in posted if sales.is_amazons(refund)]
    compared = {refund.order for refund in refunds} | {row.order for row in replacements}
    return SalesFacts(
        since=sales.since,
        refunds=refunds,
        with_kept_fees=[refund for refund in posted if refund.kept > 0],
        charges=_in_order(sales.charges),
        commissions=_in_order(sales.commissions),
        proceeds=sales.proceeds,
        sold=_read_sold(reader, compared),
        order_places=sales.order_places,
        home=sales.home,
    )


class _Sales:
    def __init__(
        self,
        limits: "Mapping[str, _Limits]",
        returns: Sequence[Return],
        replacements: Sequence[Replacement],
        payments: Sequence[Payment],
    ) -> None:
        self._limits = limits
        self._resold_skus = {row.sku for row in returns if row.disposition == SELLABLE}
        self._placed_orders = {row.order for row in returns}
        self._placed_orders |= {row.order for row in replacements}
        # Only orders that Amazon fulfilled have returns, replacements or payments.
        self._amazon_orders = self._placed_orders | {payment.order for payment in payments}
        self._places: Counter[str] = Counter()
        self.since: date | None = None
        self.refunds: list[Refund] = []
        self.charges: list[Charge] = []
        self.commissions: list[Charge] = []
        self.proceeds: defaultdict[str, list[tuple[str, Decimal]]] = defaultdict(list)
        self.order_places: dict[str, str] = {}

    @property
    def home(self) -> str:
        """The place with the most sales; empty without sales."""
        return max(self._places, key=lambda name: (self._places[name], name), default="")

    def is_amazons(self, refund: Refund) -> bool:
        """Whether Amazon fulfilled the order of a refund."""
        if refund.network:
            return refund.network in AMAZON_NETWORKS
        return refund.order in self._amazon_orders

    def add(self, record: str, row: TransactionRow) -> None:
        posted = moment(row.postedDate)
        if posted and (self.since is None or posted.date() < self.since):
            self.since = posted.date()  # of any kind: transactions reach back to this day
        kind = label(text(row.transactionType))
        if kind not in ("refund", "shipment"):
            return
        for item in items_of(record, row):
            if item.place and not item.other_channel:
                self._places[item.place] += 1
            if item.order in self._placed_orders and item.place:
                other = self.order_places.get(item.order, item.place)
                self.order_places[item.order] = min(other, item.place)
            if kind == "refund":
                self._add_refund(item)
            elif item.quantity:
                self._add_sale(item, abs(item.quantity))

    def _add_refund(self, item: TransactionItem) -> None:
        units = 1 if item.quantity is None else abs(item.quantity)
        if not units or not item.order:
            return
        amount, currency = amount_of(item.total)
        self.refunds.append(
            Refund(
                day=item.at.date(),
                id=item.record,
                transaction=item.transaction,
                order=item.order,
                sku=item.sku,
                units=units,
                total=amount,
                principal=principal_of(item.breakdowns),
                kept=max(fee(item.breakdowns, KEPT_FEE)[0], Decimal(0)),
                given_back=max(-fee(item.breakdowns, REFERRAL_FEE)[0], Decimal(0)),
                currency=currency,
                place=item.place,
                network=item.network,
                releases=item.releases,
                released_by=item.released_by,
            )
        )

    def _add_sale(self, item: TransactionItem, units: int) -> None:
        if item.other_channel:
            return
        if item.sku in self._resold_skus and (not item.network or item.network in AMAZON_NETWORKS):
            amount, currency = amount_of(item.total)
            if amount is not None and currency:
                self.proceeds[item.sku].append((currency, amount / units))
        if (limits := self._limits.get(item.sku)) is None:
            return
        rough = rough_fees(item.breakdowns)
        if rough.fulfilment / units > limits.fulfilment:
            charged = fee(item.breakdowns, FULFILMENT_FEE)
            self.charges.append(_charge(item, units, charged, principal_of(item.breakdowns)))
        with_tax = item.place not in PRICES_WITHOUT_TAX
        base = rough.price + (rough.tax if with_tax else 0)
        if rough.referral > limits.referral_share * base + NEGLIGIBLE:
            charged = fee(item.breakdowns, REFERRAL_FEE)
            price = referral_base(item.breakdowns, with_tax)
            self.commissions.append(_charge(item, units, charged, price))

    def look_up_orders(self, reader: DatasetReader) -> None:
        """Read the orders if it is unknown who fulfilled a refunded one, or where a returned or
        replaced one was sold. If all sales are in one place, so are those orders."""
        refunded = {refund.order for refund in self.refunds if not refund.network}
        unknown = refunded - self._amazon_orders
        several_places = len(self._places) != 1
        placeless = self._placed_orders - self.order_places.keys() if several_places else set()
        if not unknown and not placeless:
            return

        def look_up(_: str, row: OrderRow) -> None:
            order = text(row.orderId)
            fulfilled_by = label(inside(row.fulfillment, "fulfilledBy"))
            if order in unknown and fulfilled_by in AMAZON_NETWORKS:
                self._amazon_orders.add(order)
            if order in placeless and (country := place(inside(row.salesChannel, "marketplaceId"))):
                self.order_places[order] = country

        reader.visit("orders", OrderRow, look_up)


def _read_sold(reader: DatasetReader, orders: set[str]) -> Mapping[OrderItem, SoldItem]:
    """The sales of these orders. Transactions are read a second time, because a sale may be read
    before its refund, and there are too many sales to keep all of them."""
    shipped: list[ShippedItem] = []

    def add(record: str, row: ShippedRow) -> None:
        shipped.extend(shipped_items(record, row, orders))

    if orders:
        reader.visit("transactions", ShippedRow, add, count_unusable=False)
    by_item = grouped(_posted_once(shipped), lambda item: (item.order, item.sku))
    return {order_item: _sold(items) for order_item, items in by_item.items()}


def _sold(items: Sequence[ShippedItem]) -> SoldItem:
    currencies = {item.currency for item in items}
    return SoldItem(
        day=min(item.day for item in items),
        units=sum(item.units for item in items),
        total=_sum([item.total for item in items]),
        principal=_sum([item.principal for item in items]),
        currency=currencies.pop() if len(currencies) == 1 else "",
    )


def _sum(amounts: Sequence[Decimal | None]) -> Decimal | None:
    """The sum; None if an amount is missing."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


def _posted_once(posted: Sequence[Posted]) -> list[Posted]:
    """The postings without the second one of a deferred transaction, which only releases the
    first."""
    ids = {item.transaction for item in posted}
    releasing = {item.released_by for item in posted}
    return [
        item for item in posted if item.releases not in ids and item.transaction not in releasing
    ]


def _charge(
    item: TransactionItem, units: int, charged: tuple[Decimal, str], price: Decimal | None
) -> Charge:
    return Charge(
        at=item.at,
        id=item.record,
        transaction=item.transaction,
        sku=item.sku,
        units=units,
        total=charged[0],
        price=price,
        currency=charged[1],
        place=item.place,
        releases=item.releases,
        released_by=item.released_by,
    )


def _in_order(charges: Sequence[Charge]) -> Sequence[Charge]:
    return sorted(_posted_once(charges), key=lambda charge: (charge.at, charge.id))


class _Limits(msgspec.Struct, frozen=True):
    """The lowest expected fees of a product plus a margin: no charge up to them is too high."""

    fulfilment: float
    referral_share: float


def _limits(
    previews: Mapping[str, Sequence[Preview]], disputed: AbstractSet[str]
) -> Mapping[str, _Limits]:
    """The limits by SKU; infinite if no fee is expected."""
    limits = {}
    for sku, of_sku in previews.items():
        fees = [float(row.expected) for row in of_sku if row.expected is not None]
        shares = [float(row.referral_share) for row in of_sku if row.referral_share is not None]
        limits[sku] = _Limits(
            0 if sku in disputed else min(fees, default=inf) + NEGLIGIBLE,
            min(shares, default=inf),
        )
    return limits
