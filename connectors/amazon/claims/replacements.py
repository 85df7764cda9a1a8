"""R15: units that were replaced, while the customer kept the original ones."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from connectors.amazon.claims.facts import (
    Facts,
    OrderItem,
    Payment,
    Refund,
    Replacement,
    Return,
)
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.once import once
from connectors.amazon.claims.returns import by_order_item, refunded_items
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key
from connectors.amazon.claims.values import Value, net_price, unknown, with_currency


class ReplacedItem(msgspec.Struct, frozen=True):
    """The replacements of one order item, with the returns, payments and refunds that settle
    them."""

    #: The oldest first.
    replacements: Sequence[Replacement]
    returns: Sequence[Return]
    payments: Sequence[Payment]
    refunds: Sequence[Refund]
    #: Replaced units that did not come back, and that no payment or refund covers.
    open: int

    @property
    def units(self) -> int:
        return sum(row.units for row in self.replacements)

    @property
    def first_open(self) -> Replacement:
        """The first replacement with an open unit; without one, the first of all."""
        closed = self.units - self.open if self.open else 0
        for row in self.replacements:
            if closed < row.units:
                return row
            closed -= row.units
        return self.replacements[-1]


def replacement_not_returned(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R15. Units that Amazon replaced for a customer who did not send the original ones back.

    Counts: replaced units of each order item, less the units that came back in any condition and
    the units that Amazon paid for, under the original order or under that of the replacement. The
    claim is for the proceeds of the original units' sale, net of fees.

    Does not count: units that were also refunded, because R4 claims them; returned units that
    Amazon damaged, which are a return (R5); more units than were sold. Returns and payments close
    the oldest replacement first."""
    for (order, sku), item in replaced_items(facts).items():
        returned = sum(row.units for row in item.returns)
        paid = sum(payment.units for payment in item.payments)
        if item.open == 0 and (paid <= 0 or returned >= item.units):
            if returned > 0:
                yield ClosedCase(key(order, sku), "found")
            continue
        first = item.first_open
        place = facts.sales.order_places.get(order, "")
        yield Case(
            key=key(order, sku),
            product=sku,
            units=item.open,
            base=first.day,
            place=place,
            value=_unit_value(facts, (order, sku), place).times(item.open),
            evidence=evidence(
                ("replacements", [row.id for row in item.replacements]),
                ("returns", [row.id for row in item.returns]),
                ("reimbursements", [payment.id for payment in item.payments]),
                ("transactions", [refund.id for refund in item.refunds]),
            ),
            details={
                "order": order,
                "replacementOrder": first.replacement_order,
                "sku": sku,
                "replaced": str(item.units),
                "returned": str(returned),
                "paid": str(paid),
            },
        )


@once
def replaced_items(facts: Facts) -> Mapping[OrderItem, ReplacedItem]:
    """Every order item with replacements."""
    by_item = grouped(facts.replacements, lambda row: (row.order, row.sku))
    return {item: _replaced(facts, item, rows) for item, rows in by_item.items()}


def _replaced(facts: Facts, item: OrderItem, rows: Sequence[Replacement]) -> ReplacedItem:
    returns, payments, _ = by_order_item(facts)
    items = list(dict.fromkeys((order, row.sku) for row in rows for order in row.orders))
    all_returns = [row for name in items for row in returns.get(name, ())]
    all_payments = [payment for name in items for payment in payments.get(name, ())]
    refunded = [refunded_items(facts)[name] for name in items if name in refunded_items(facts)]
    replaced, refunded_units = sum(row.units for row in rows), sum(part.units for part in refunded)
    due = replaced + refunded_units
    sold = facts.sales.sold.get(item)
    if sold and sold.units > 0:
        due = min(due, sold.units)
    elif refunded_units:
        due = max(replaced, refunded_units)  # the same units, as far as is known
    settled = sum(row.units for row in all_returns)
    settled += sum(payment.units for payment in all_payments)
    settled += sum(part.open for part in refunded)  # claimed as a refund
    return ReplacedItem(
        replacements=rows,
        returns=all_returns,
        payments=all_payments,
        refunds=[refund for part in refunded for refund in part.refunds],
        open=min(replaced, max(due - settled, 0)),
    )


def _unit_value(facts: Facts, item: OrderItem, place: str) -> Value:
    """The net proceeds of a unit's sale; without the sale, the price less fees."""
    sold = facts.sales.sold.get(item)
    if sold and sold.units > 0 and sold.total is not None and sold.currency:
        amount = max(sold.total / sold.units, Decimal(0))
        words = f"{with_currency(amount, sold.currency)} per unit."
        return Value(amount, sold.currency, f"The proceeds of its sale, net of fees: {words}")
    return net_price(facts, item[1], place) or unknown(
        "its sale is older than the data, and it has no price."
    )
