"""R10: reimbursements that paid less than they had to."""

from collections.abc import Iterator
from decimal import Decimal

from connectors.amazon import cells
from connectors.amazon.claims.codes import LOST_OR_DAMAGED
from connectors.amazon.claims.facts import Facts, Payment
from connectors.amazon.claims.rule import Case, evidence, key
from connectors.amazon.claims.values import SOURCING_COST, Value
from connectors.amazon.marketplaces import place

ENOUGH = Decimal("0.95")
"""The share of the cost from which on a payment is not disputed."""


def under_reimbursed(facts: Facts) -> Iterator[Case]:
    """R10. Lost or damaged units that Amazon paid for with less than they cost the seller.

    Counts: payments in money since 2025-03-31, when Amazon began to pay sourcing cost, of less than
    95 % of the cost that the seller entered. The claim is for the difference.

    Does not count: products without an entered cost, and costs in another currency, because there
    is nothing to compare; units replaced by inventory; units whose payment was taken back, which
    are claimed as R9 or as the loss itself."""
    for payment in facts.payments:
        if not payment.reason.startswith(LOST_OR_DAMAGED):
            continue
        if payment.cash <= 0 or payment.day < SOURCING_COST:
            continue
        sku = payment.sku or facts.products.skus.get(payment.fnsku, "")
        gap = _below_cost(facts, payment, sku)
        if gap is None:
            continue
        yield Case(
            key=key(payment.number or payment.id, payment.fnsku, payment.sku, payment.reason),
            product=sku,
            units=payment.cash,
            base=payment.day,
            place=place(currency=payment.currency),
            value=Value(gap * payment.cash, payment.currency, "Your cost less what Amazon paid."),
            evidence=evidence(("reimbursements", (payment.id,))),
            details={
                "reimbursement": payment.number,
                "fnsku": payment.fnsku,
                "sku": sku,
                "reason": payment.reason,
            },
        )


def _below_cost(facts: Facts, payment: Payment, sku: str) -> Decimal | None:
    """What a unit's payment lacks to its cost; None if it is enough or cannot be compared."""
    cost = facts.cost(sku) if sku else None
    amount = cells.decimal(cost.amount) if cost else None
    if cost is None or amount is None or payment.per_unit is None:
        return None
    if cost.currency != payment.currency or payment.per_unit < 0:
        return None
    return amount - payment.per_unit if payment.per_unit < amount * ENOUGH else None
