"""R10: reimbursements below the seller's cost."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from connectors.amazon import cells
from connectors.amazon.claims.codes import LOST_OR_DAMAGED
from connectors.amazon.claims.facts import Facts, Payment
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key
from connectors.amazon.claims.values import SOURCING_COST, Value
from connectors.amazon.marketplaces import place

ENOUGH = Decimal("0.95")
"""A payment of at least this share of the cost is not disputed."""


def under_reimbursed(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R10. Lost or damaged units that Amazon paid for with less than they cost the seller.

    Counts: payments in money since 2025-03-31, when Amazon began to pay sourcing cost, of less than
    95 % of the cost that the seller entered. The claim is for the difference.

    Does not count: products without an entered cost, and costs in another currency, because there
    is nothing to compare; units replaced by inventory; units whose payment was taken back, which
    are claimed as R9 or as the loss itself."""
    low = [
        (payment, gap)
        for payment in facts.payments
        if payment.reason.startswith(LOST_OR_DAMAGED)
        and payment.day >= SOURCING_COST
        and (gap := _below_cost(facts, payment)) is not None
    ]
    for natural, group in grouped(low, lambda line: _natural(line[0])).items():
        if lines := [line for line in group if line[0].cash > 0]:
            yield _case(facts, natural, lines)
        elif all(payment.units <= 0 for payment, _ in group):
            yield ClosedCase(natural, "reversed", unpaid=True)


def _natural(payment: Payment) -> str:
    return key(payment.number or payment.id, payment.fnsku, payment.sku, payment.reason)


def _case(facts: Facts, natural: str, lines: Sequence[tuple[Payment, Decimal]]) -> Case:
    """The case of a reimbursement; its lines may be paid differently."""
    payment, _ = lines[0]
    amount = sum((gap * line.cash for line, gap in lines), Decimal(0))
    sku = _sku(facts, payment)
    return Case(
        key=natural,
        product=sku,
        units=sum(line.cash for line, _ in lines),
        base=payment.day,
        place=place(currency=payment.currency),
        value=Value(amount, payment.currency, "Your cost less what Amazon paid."),
        evidence=evidence(("reimbursements", [line.id for line, _ in lines])),
        details={
            "reimbursement": payment.number,
            "fnsku": payment.fnsku,
            "sku": sku,
            "reason": payment.reason,
        },
    )


def _sku(facts: Facts, payment: Payment) -> str:
    return payment.sku or facts.products.skus.get(payment.fnsku, "")


def _below_cost(facts: Facts, payment: Payment) -> Decimal | None:
    """The amount by which a unit's payment is below its cost; None if the payment is sufficient or
    cannot be compared."""
    sku = _sku(facts, payment)
    cost = facts.cost(sku) if sku else None
    amount = cells.decimal(cost.amount) if cost else None
    if cost is None or amount is None or payment.per_unit is None:
        return None
    if cost.currency != payment.currency or payment.per_unit < 0:
        return None
    return amount - payment.per_unit if payment.per_unit < amount * ENOUGH else None
