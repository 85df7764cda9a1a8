"""R4, R5: units that were refunded to a customer, or that Amazon damaged on their way back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from connectors.amazon.claims.codes import AMAZONS_FAULT
from connectors.amazon.claims.facts import Facts, OrderItem, Payment, Refund, Return
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.once import once
from connectors.amazon.claims.refunds import RefundedUnits, refunded_units
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key
from connectors.amazon.claims.values import Value, unknown

NO_AMOUNT = unknown("the refunds lack an amount, or are in several currencies.")


class RefundedItem(msgspec.Struct, frozen=True):
    """The refunds of one order item, with the returns and payments that settle them."""

    #: The refunded units, and how many of them neither came back nor were paid for.
    refunded: Sequence[tuple[RefundedUnits, int]]
    returns: Sequence[Return]
    payments: Sequence[Payment]
    #: Payments that Amazon took back as a whole.
    taken_back: Sequence[Payment]

    @property
    def open(self) -> int:
        return sum(still_open for _, still_open in self.refunded)

    @property
    def units(self) -> int:
        return sum(refunded.units for refunded, _ in self.refunded)

    @property
    def refunds(self) -> Sequence[Refund]:
        return [refund for refunded, _ in self.refunded for refund in refunded.refunds]


class DamagedItem(msgspec.Struct, frozen=True):
    """The returns of one order item that Amazon damaged, and the payments for the item."""

    #: Damaged units that were not paid for.
    open: int
    returns: Sequence[Return]
    payments: Sequence[Payment]


def refund_not_returned(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R4. Units that were refunded to a customer who did not send them back.

    Counts: refunded units of each order item that Amazon fulfilled, less the units that came back
    and the units that Amazon paid for under that order. The claim is for what the open refunds took
    from the seller, net of the fees that Amazon gave back.

    Does not count: units that came back in any condition, because they are a return (R5 if Amazon
    damaged them); refunds of orders that the seller shipped; goodwill, which is a refund of less
    than half of a unit's price. Several refunds may be parts of the price of one unit and add up;
    from half of the price on, the claim has low confidence until all of it was refunded. Returns
    and payments close the oldest refund first."""
    for (order, sku), item in refunded_items(facts).items():
        returned = sum(row.units for row in item.returns)
        paid = sum(payment.units for payment in item.payments)
        if item.open == 0 and (paid <= 0 or returned >= item.units):
            if returned > 0:
                yield ClosedCase(key(order, sku), "found", unpaid=paid <= 0)
            continue
        open_units = [refunded for refunded, still_open in item.refunded if still_open]
        first = open_units[0] if open_units else item.refunded[0][0]
        yield Case(
            key=key(order, sku),
            product=sku,
            units=item.open,
            base=first.day,
            place=first.place or facts.sales.order_places.get(order, ""),
            value=_value_of_open_units(item.refunded),
            evidence=_evidence(item.refunds, item.returns, item.payments),
            details={
                "order": order,
                "sku": sku,
                "refunded": str(item.units),
                "returned": str(returned),
                "paid": str(paid),
            },
            low=not all(refunded.full for refunded in open_units),
        )


def return_amazon_damaged(facts: Facts) -> Iterator[Case]:
    """R5. Returned units that Amazon or its carrier damaged, and that were not paid for.

    Counts: returns with the disposition DAMAGED or CARRIER_DAMAGED, less the units that Amazon paid
    for under that order for any reason. The claim is for their share of the refunds.

    Does not count: CUSTOMER_DAMAGED, DEFECTIVE and EXPIRED, for which Amazon is not responsible. If
    no unit was refunded, the claim has no amount and its window counts from the return."""
    refunded = refunded_items(facts)
    for (order, sku), item in damaged_items(facts).items():
        refunded_item = refunded.get((order, sku))
        refunds = [units for units, _ in refunded_item.refunded] if refunded_item else []
        first = item.returns[0]
        place = next((units.place for units in refunds if units.place), "")
        yield Case(
            key=key(order, sku),
            product=sku,
            units=item.open,
            base=refunds[0].day if refunds else first.day,
            place=place or facts.sales.order_places.get(order, ""),
            value=_share(refunds, item.open),
            evidence=_evidence(_all_refunds(refunds), item.returns, item.payments),
            details={
                "order": order,
                "sku": sku,
                "fnsku": first.fnsku,
                "units": str(sum(row.units for row in item.returns)),
                "paid": str(sum(payment.units for payment in item.payments)),
                "from": "refund" if refunds else "return",
            },
            low=not all(units.full for units in refunds),
        )


@once
def refunded_items(facts: Facts) -> Mapping[OrderItem, RefundedItem]:
    """Every order item with refunds. Returns and payments close the oldest refund first."""
    returns, payments, taken_back = by_order_item(facts)
    items = {}
    by_item = grouped(facts.sales.refunds, lambda refund: (refund.order, refund.sku))
    for item, refunds in by_item.items():
        item_returns, item_payments = returns.get(item, []), payments.get(item, [])
        closed = sum(row.units for row in item_returns)
        closed += sum(payment.units for payment in item_payments)
        units = []
        for refunded in refunded_units(refunds, facts.sales.sold.get(item)):
            units.append((refunded, max(refunded.units - max(closed, 0), 0)))
            closed -= refunded.units
        items[item] = RefundedItem(units, item_returns, item_payments, taken_back.get(item, ()))
    return items


@once
def damaged_items(facts: Facts) -> Mapping[OrderItem, DamagedItem]:
    """Every order item with returns that Amazon damaged."""
    returns, payments, _ = by_order_item(facts)
    items = {}
    for item, item_returns in returns.items():
        damaged = [row for row in item_returns if row.order and row.disposition in AMAZONS_FAULT]
        if damaged:
            item_payments = payments.get(item, [])
            units = sum(row.units for row in damaged)
            paid = sum(payment.units for payment in item_payments)
            items[item] = DamagedItem(max(units - paid, 0), damaged, item_payments)
    return items


@once
def by_order_item(
    facts: Facts,
) -> tuple[
    Mapping[OrderItem, Sequence[Return]],
    Mapping[OrderItem, Sequence[Payment]],
    Mapping[OrderItem, Sequence[Payment]],
]:
    """Returns, payments for orders, and payments that were taken back as a whole, by order item.

    A row may name no SKU, or another SKU of the same product: then it belongs to the one that was
    refunded or replaced, or else (a payment) to the one that was returned."""
    items = {(refund.order, refund.sku) for refund in facts.sales.refunds}
    for row in facts.replacements:
        items |= {(order, row.sku) for order in row.orders}

    def item_of(row: Return | Payment) -> OrderItem:
        skus = (row.sku, *sorted(facts.products.all_skus.get(row.fnsku, ())))
        return row.order, next((sku for sku in skus if (row.order, sku) in items), row.sku)

    returns = grouped(facts.returns, item_of)
    items |= returns.keys()
    of_orders = [payment for payment in facts.payments if payment.order]
    standing = [payment for payment in of_orders if payment.units > 0]
    taken_back = [payment for payment in of_orders if payment.units <= 0]
    return returns, grouped(standing, item_of), grouped(taken_back, item_of)


def _value_of_open_units(refunded: Iterable[tuple[RefundedUnits, int]]) -> Value:
    """The amount that the refunds took from the seller for their open units."""
    shares = [(units, still_open) for units, still_open in refunded if still_open]
    refunds = _all_refunds(units for units, _ in shares)
    if not refunds or not _can_be_added(refunds):
        return NO_AMOUNT
    amounts = [_taken_by(units.refunds) * still_open / units.units for units, still_open in shares]
    return _value(sum(amounts, Decimal(0)), refunds[0].currency)


def _share(refunded: Sequence[RefundedUnits], units: int) -> Value:
    """The share of all refunds for some of the refunded units."""
    if not refunded:
        return unknown("nothing was refunded for this return.")
    refunds = _all_refunds(refunded)
    if not _can_be_added(refunds):
        return NO_AMOUNT
    in_all = sum(part.units for part in refunded)
    return _value(_taken_by(refunds) * min(units, in_all) / in_all, refunds[0].currency)


def _all_refunds(refunded: Iterable[RefundedUnits]) -> Sequence[Refund]:
    return [refund for units in refunded for refund in units.refunds]


def _can_be_added(refunds: Sequence[Refund]) -> bool:
    """Whether every refund has an amount, all in one currency."""
    currencies = {refund.currency for refund in refunds}
    return len(currencies) == 1 and all(refund.total is not None for refund in refunds)


def _taken_by(refunds: Iterable[Refund]) -> Decimal:
    return -sum((refund.total for refund in refunds if refund.total is not None), Decimal(0))


def _value(amount: Decimal, currency: str) -> Value:
    basis = "The amount the refund took from you for these units, net of the fees given back."
    return Value(max(amount, Decimal(0)), currency, basis)


def _evidence(
    refunds: Iterable[Refund], returns: Iterable[Return], payments: Iterable[Payment]
) -> dict[str, tuple[str, ...]]:
    return evidence(
        ("transactions", [refund.id for refund in refunds]),
        ("returns", [row.id for row in returns]),
        ("reimbursements", [payment.id for payment in payments]),
    )
