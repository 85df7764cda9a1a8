"""R13, R17, R18: wrong amounts of refunds whose units are settled."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

import msgspec

from connectors.amazon.claims.codes import AMAZONS_FAULT, CUSTOMER_RETURN
from connectors.amazon.claims.facts import Facts, OrderItem, Payment, Refund
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.once import once
from connectors.amazon.claims.overcharges import exceeds
from connectors.amazon.claims.returns import RefundedItem, damaged_items, refunded_items
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key
from connectors.amazon.claims.values import Value, money
from connectors.amazon.claims.windows import names_of
from connectors.amazon.settings import FeeLimit

ENOUGH = Decimal("0.95")
"""A payment of at least this share of the amount due is not disputed."""
SPLIT = timedelta(days=14)
"""A sale within this time after the first transaction may have a part older than the data."""


class Excess(msgspec.Struct, frozen=True):
    """The amount that the refunds of an order item gave back above the price."""

    amount: Decimal
    #: The price of all its units.
    price: Decimal
    units: int
    refunds: Sequence[Refund]
    #: Whether a part of the sale may be missing.
    low: bool


def return_underpaid(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R13. Refunded units that Amazon paid for with less than the refund took from the seller.

    Counts: payments for CustomerReturn, together with all other payments for the order item, of
    less than 95 % of what the refunds of as many units took, net of the fees that were given back.
    The claim is for the difference.

    Does not count: units that the customer returned, unless Amazon damaged them, because nothing is
    due for them; units replaced by inventory; payments in another currency than the refund;
    payments that were taken back, whose units are open again (R4, R5); what the refund gave back
    above the price (R18)."""
    for order_item, item in refunded_items(facts).items():
        payments = [payment for payment in item.payments if payment.reason == CUSTOMER_RETURN]
        if not payments and any(row.reason == CUSTOMER_RETURN for row in item.taken_back):
            yield ClosedCase(key(*order_item), "reversed", unpaid=True)
            continue
        due = _due(facts, order_item, item) if payments else None
        if payments and _came_back(item) >= item.units:
            yield ClosedCase(key(*order_item), "found")
        if due is None:
            continue
        paid = sum((_amount(payment) for payment in item.payments), Decimal(0))
        if paid < due[1] * ENOUGH:
            yield _underpaid(facts, order_item, item, due, paid)
        elif len({payment.number for payment in item.payments}) > 1:  # one may have added the rest
            yield _underpaid(facts, order_item, item, (0, paid), paid)


def _underpaid(
    facts: Facts, order_item: OrderItem, item: RefundedItem, due: tuple[int, Decimal], paid: Decimal
) -> Case:
    """The case of an order item; `due` is the number of units paid in part, and the amount due for
    them."""
    (order, sku), (units, amount) = order_item, due
    payments = [payment for payment in item.payments if payment.reason == CUSTOMER_RETURN]
    currency = payments[0].currency
    return Case(
        key=key(order, sku),
        product=sku,
        units=units,
        base=max(payment.day for payment in payments),
        place=item.refunded[0][0].place or facts.sales.order_places.get(order, ""),
        value=Value(amount - paid, currency, "The refund's amount less Amazon's payment."),
        evidence=evidence(
            ("transactions", [refund.id for refund in item.refunds]),
            ("reimbursements", [payment.id for payment in item.payments]),
        ),
        details={
            "order": order,
            "sku": sku,
            "due": money(amount, currency),
            "paid": money(paid, currency),
        },
        low=not all(refunded.full for refunded, _ in item.refunded),
    )


def _due(facts: Facts, order_item: OrderItem, item: RefundedItem) -> tuple[int, Decimal] | None:
    """The units that Amazon paid for and the amount due for them; None if nothing was due, or if
    the amounts cannot be compared."""
    paid_units = sum(payment.units for payment in item.payments)
    units = min(paid_units, item.units - _came_back(item))
    currencies = {refund.currency for refund in item.refunds}
    currencies |= {payment.currency for payment in item.payments}
    in_money = all(
        payment.per_unit is not None and payment.cash == payment.units for payment in item.payments
    )
    totals = [refund.total for refund in item.refunds if refund.total is not None]
    if units <= 0 or len(currencies) != 1 or not in_money or len(totals) < len(item.refunds):
        return None
    excess = refunded_too_much_by_item(facts).get(order_item)
    taken = -sum(totals, Decimal(0)) - (excess.amount if excess else 0)
    return units, taken * units / item.units


def _came_back(item: RefundedItem) -> int:
    """Units that the customer returned and Amazon did not damage."""
    return sum(row.units for row in item.returns if row.disposition not in AMAZONS_FAULT)


def _amount(payment: Payment) -> Decimal:
    return (payment.per_unit or Decimal(0)) * payment.cash


def refund_commission(facts: Facts) -> Iterator[Case]:
    """R17. Fees that Amazon kept on a refund above what its policy allows.

    Counts: the part of the referral fee that Amazon kept when it refunded a customer, above an
    amount for each unit or a share of the fee, whichever is less (in the United States 5.00 USD and
    a fifth), by more than 0.05 and more than 2 %.

    Does not count: refunds in places of which no limits are known, or in another currency than
    theirs; refunds that show no referral fee given back, because then it is unknown how high it
    was."""
    limits, kept_fees = facts.fee_limits, facts.sales.with_kept_fees
    refunds = [refund for refund in kept_fees if _allowed(limits, refund) is not None]
    for (order, sku), group in grouped(refunds, lambda refund: (refund.order, refund.sku)).items():
        currency = group[0].currency
        allowed = sum((_allowed(limits, refund) or Decimal(0) for refund in group), Decimal(0))
        kept = sum((refund.kept for refund in group), Decimal(0))
        if not exceeds(kept, allowed) or {refund.currency for refund in group} != {currency}:
            continue
        yield Case(
            key=key(order, sku),
            product=sku,
            units=sum(refund.units for refund in group),
            base=group[-1].day,
            place=group[0].place,
            value=Value(
                kept - allowed, currency, "The fee kept above the limit of Amazon's policy."
            ),
            evidence=evidence(("transactions", [refund.id for refund in group])),
            details={
                "order": order,
                "sku": sku,
                "kept": money(kept, currency),
                "allowed": money(allowed, currency),
            },
        )


def _allowed(limits: Mapping[str, FeeLimit], refund: Refund) -> Decimal | None:
    """The fee that Amazon may keep on a refund; None if it is unknown."""
    limit = next((limits[name] for name in names_of(refund.place) if name in limits), None)
    if limit is None or limit.currency != refund.currency:
        return None
    if refund.given_back <= 0 or not refund.order:
        return None
    return min(limit.amount * refund.units, refund.given_back * limit.share)


def refunded_too_much(facts: Facts) -> Iterator[Case]:
    """R18. Refunds that gave a customer more than they had paid.

    Counts: the refunded price of an order item that Amazon fulfilled, above the price at which it
    was sold, by more than 0.05 and more than 2 %.

    Does not count: what a claim for the refunded units (R4, R5) already contains; order items whose
    sale or amounts are unknown. If the sale is so old that a part of it may be missing, the claim
    has low confidence."""
    for (order, sku), excess in refunded_too_much_by_item(facts).items():
        amount = excess.amount - _claimed(facts, (order, sku), excess)
        if not exceeds(excess.price + amount, excess.price):
            continue
        last, unit_price = excess.refunds[-1], excess.price / excess.units
        yield Case(
            key=key(order, sku),
            product=sku,
            units=min(max(int(amount / unit_price), 1), excess.units),
            base=last.day,
            place=last.place or facts.sales.order_places.get(order, ""),
            value=Value(amount, last.currency, "The amount refunded above the price of the sale."),
            evidence=evidence(("transactions", [refund.id for refund in excess.refunds])),
            details={
                "order": order,
                "sku": sku,
                "price": money(excess.price, last.currency),
                "refunded": money(excess.price + excess.amount, last.currency),
            },
            low=excess.low,
        )


@once
def refunded_too_much_by_item(facts: Facts) -> Mapping[OrderItem, Excess]:
    """The excess of each order item for which it is known."""
    items = {}
    by_item = grouped(facts.sales.refunds, lambda refund: (refund.order, refund.sku))
    for item, refunds in by_item.items():
        sold = facts.sales.sold.get(item)
        if sold is None or sold.principal is None or sold.principal <= 0 or sold.units <= 0:
            continue
        given = [-refund.principal for refund in refunds if refund.principal is not None]
        if len(given) < len(refunds) or {refund.currency for refund in refunds} != {sold.currency}:
            continue
        refunded = sum(given, Decimal(0))
        if exceeds(refunded, sold.principal):
            since = facts.sales.since
            low = since is None or sold.day < since + SPLIT
            amount = refunded - sold.principal
            items[item] = Excess(amount, sold.principal, sold.units, refunds, low)
    return items


def _claimed(facts: Facts, order_item: OrderItem, excess: Excess) -> Decimal:
    """The part of the excess that the claims for its units contain."""
    item, damaged = refunded_items(facts).get(order_item), damaged_items(facts).get(order_item)
    all_of_it = damaged is not None and damaged.open > 0
    claimed = Decimal(0)
    for refunded, still_open in item.refunded if item else ():
        if still_open or all_of_it:
            given = -sum(
                (refund.principal or Decimal(0) for refund in refunded.refunds), Decimal(0)
            )
            claimed += max(given - excess.price / excess.units * refunded.units, Decimal(0))
    return min(claimed, excess.amount)
