"""R4, R5: units that were refunded to a customer, or that Amazon damaged on their way back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from connectors.amazon.claims.codes import AMAZONS_FAULT
from connectors.amazon.claims.facts import Facts, OrderItem, Payment, Refund, Return
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.rule import Case, evidence, key
from connectors.amazon.claims.values import Value, unknown

NO_AMOUNT = unknown("the refund states no amount in one currency.")


class RefundedItem(msgspec.Struct, frozen=True):
    """The refunds of one order item, and what made up for them."""

    #: Each refund with its units that neither came back nor were paid for.
    refunds: Sequence[tuple[Refund, int]]
    returns: Sequence[Return]
    payments: Sequence[Payment]

    @property
    def open(self) -> int:
        return sum(units for _, units in self.refunds)


class DamagedItem(msgspec.Struct, frozen=True):
    """The returns of one order item that Amazon damaged, and what was paid for the item."""

    #: Damaged units that were not paid for.
    open: int
    returns: Sequence[Return]
    payments: Sequence[Payment]


def refund_not_returned(facts: Facts) -> Iterator[Case]:
    """R4. Units that were refunded to a customer who did not send them back.

    Counts: refunded units of each order item that Amazon fulfilled, less the units that came back
    and the units that Amazon paid for under that order. The claim is for what the open refunds took
    from the seller, net of the fees that Amazon gave back.

    Does not count: units that came back in any condition, because they are a return (R5 if Amazon
    damaged them); refunds of orders that the seller shipped; more units than were sold, because
    several refunds may be parts of the price of one unit. Returns and payments close the oldest
    refund first."""
    for (order, sku), item in refunded_items(facts).items():
        returned = sum(row.units for row in item.returns)
        paid = sum(payment.units for payment in item.payments)
        refunded = sum(refund.units for refund, _ in item.refunds)
        if item.open == 0 and (paid <= 0 or returned >= refunded):
            continue
        first = next((refund for refund, units in item.refunds if units), item.refunds[0][0])
        refunds = [refund for refund, _ in item.refunds]
        yield Case(
            key=key(order, sku),
            product=sku,
            units=item.open,
            base=first.day,
            place=first.place or facts.sales.order_places.get(order, ""),
            value=_value_of_open_units(item.refunds),
            evidence=_evidence(refunds, item.returns, item.payments),
            details={
                "order": order,
                "sku": sku,
                "refunded": str(refunded),
                "returned": str(returned),
                "paid": str(paid),
            },
        )


def return_amazon_damaged(facts: Facts) -> Iterator[Case]:
    """R5. Returned units that Amazon or its carrier damaged, and that were not paid for.

    Counts: returns with the disposition DAMAGED or CARRIER_DAMAGED, less the units that Amazon paid
    for under that order for any reason. The claim is for their share of the refunds.

    Does not count: CUSTOMER_DAMAGED, DEFECTIVE and EXPIRED, for which Amazon does not answer. If
    nothing was refunded, the claim has no amount and its window counts from the return."""
    refunds_by_item = grouped(facts.sales.refunds, lambda refund: (refund.order, refund.sku))
    for (order, sku), item in damaged_items(facts).items():
        refunds = refunds_by_item.get((order, sku), [])
        first = item.returns[0]
        place = next((refund.place for refund in refunds if refund.place), "")
        units = sum(row.units for row in item.returns)
        refunded_again = _refunded_again(facts, (order, sku), refunds)
        yield Case(
            key=key(order, sku),
            product=sku,
            units=item.open,
            base=refunds[0].day if refunds else first.day,
            place=place or facts.sales.order_places.get(order, ""),
            value=_share(refunds, item.open, refunded_again),
            evidence=_evidence(refunds, item.returns, item.payments),
            details={
                "order": order,
                "sku": sku,
                "fnsku": first.fnsku,
                "units": str(units),
                "paid": str(sum(payment.units for payment in item.payments)),
                "from": "refund" if refunds else "return",
            },
        )


def refunded_items(facts: Facts) -> Mapping[OrderItem, RefundedItem]:
    """Every order item with refunds. Returns and payments close the oldest refund first."""
    returns, payments = _by_order_item(facts)
    items = {}
    by_item = grouped(facts.sales.refunds, lambda refund: (refund.order, refund.sku))
    for item, refunds in by_item.items():
        item_returns, item_payments = returns.get(item, []), payments.get(item, [])
        closed = sum(row.units for row in item_returns)
        closed += sum(payment.units for payment in item_payments)
        closed += _refunded_again(facts, item, refunds)
        open_units = []
        for refund in refunds:
            open_units.append((refund, max(refund.units - max(closed, 0), 0)))
            closed -= refund.units
        items[item] = RefundedItem(open_units, item_returns, item_payments)
    return items


def damaged_items(facts: Facts) -> Mapping[OrderItem, DamagedItem]:
    """Every order item with returns that Amazon damaged."""
    returns, payments = _by_order_item(facts)
    items = {}
    for item, item_returns in returns.items():
        damaged = [row for row in item_returns if row.order and row.disposition in AMAZONS_FAULT]
        if damaged:
            item_payments = payments.get(item, [])
            units = sum(row.units for row in damaged)
            paid = sum(payment.units for payment in item_payments)
            items[item] = DamagedItem(max(units - paid, 0), damaged, item_payments)
    return items


def _by_order_item(
    facts: Facts,
) -> tuple[Mapping[OrderItem, Sequence[Return]], Mapping[OrderItem, Sequence[Payment]]]:
    """Returns, and payments for orders, by order item.

    A row may name no SKU, or another SKU of the same product: then it belongs to the one that was
    refunded, or else (a payment) to the one that was returned."""
    items = {(refund.order, refund.sku) for refund in facts.sales.refunds}

    def item_of(row: Return | Payment) -> OrderItem:
        skus = (row.sku, *sorted(facts.products.all_skus.get(row.fnsku, ())))
        return row.order, next((sku for sku in skus if (row.order, sku) in items), row.sku)

    returns = grouped(facts.returns, item_of)
    items |= returns.keys()
    payments = [payment for payment in facts.payments if payment.order and payment.units > 0]
    return returns, grouped(payments, item_of)


def _refunded_again(facts: Facts, item: OrderItem, refunds: Sequence[Refund]) -> int:
    """Refunded units beyond those that were sold: the same units, refunded in parts."""
    sold = facts.sales.units_sold.get(item, 0)
    return max(sum(refund.units for refund in refunds) - sold, 0) if sold else 0


def _value_of_open_units(refunds: Iterable[tuple[Refund, int]]) -> Value:
    """What the refunds took from the seller for their open units."""
    open_refunds = [(refund, units) for refund, units in refunds if units]
    amounts = [
        -refund.total * units / refund.units
        for refund, units in open_refunds
        if refund.total is not None
    ]
    if not open_refunds or len(amounts) < len(open_refunds):
        return NO_AMOUNT
    if _have_several_currencies(refund for refund, _ in open_refunds):
        return NO_AMOUNT
    return _taken(sum(amounts, Decimal(0)), open_refunds[0][0].currency)


def _share(refunds: Sequence[Refund], units: int, refunded_again: int) -> Value:
    """The share of all refunds for some of the refunded units."""
    if not refunds:
        return unknown("nothing was refunded for this return.")
    totals = [refund.total for refund in refunds if refund.total is not None]
    if len(totals) < len(refunds) or _have_several_currencies(refunds):
        return NO_AMOUNT
    refunded = sum(refund.units for refund in refunds) - refunded_again
    amount = -sum(totals, Decimal(0)) * min(units, refunded) / refunded
    return _taken(amount, refunds[0].currency)


def _have_several_currencies(refunds: Iterable[Refund]) -> bool:
    return len({refund.currency for refund in refunds}) > 1


def _taken(amount: Decimal, currency: str) -> Value:
    basis = "What the refund took from you for these units, net of the fees that were given back."
    return Value(max(amount, Decimal(0)), currency, basis)


def _evidence(
    refunds: Iterable[Refund], returns: Iterable[Return], payments: Iterable[Payment]
) -> dict[str, tuple[str, ...]]:
    return evidence(
        ("transactions", [refund.id for refund in refunds]),
        ("returns", [row.id for row in returns]),
        ("reimbursements", [payment.id for payment in payments]),
    )
