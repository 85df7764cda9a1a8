"""R11: units of a removal order that are neither in stock nor on their way to the seller."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from connectors.amazon.claims.codes import LOST_OUTBOUND
from connectors.amazon.claims.credits import EARLY, Credit, Offset, between, since, total, use
from connectors.amazon.claims.facts import Facts, Payment, Removal, Reversal
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.once import once
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key, records_of
from connectors.amazon.claims.values import unit_value
from connectors.amazon.claims.warehouse import disposals, reconcile

CUSTOMER_ORDER = re.compile(r"[0-9]{3}-[0-9]{7}-[0-9]{7}")


class ShortRemoval(msgspec.Struct, frozen=True):
    """A product of a removal order with missing units, and the payments for them."""

    removals: Sequence[Removal]
    #: Missing units that no loss in the warehouse explains.
    units: int
    payments: tuple[Offset, ...]

    @property
    def first(self) -> Removal:
        return self.removals[0]

    @property
    def completed(self) -> date:
        return max(removal.days[-1] for removal in self.removals)

    @property
    def open(self) -> int:
        return self.units - total(self.payments)


def removal_short(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R11. Units of a completed removal order that no figure of the order accounts for.

    Counts: requested units less those that were cancelled, disposed of, shipped or are in process.
    Payments for Lost_Outbound or for the removal reduce them, if they name this order or no order.

    Does not count: orders that are not completed or lack a figure; liquidations; units that the
    ledger shows as lost, damaged or disposed of in the meantime, which R1, R2 and R3 claim; units
    that were sent, which may be claimed as lost on their way (R12). Without a complete ledger, the
    claim has low confidence."""
    for short in short_removals(facts):
        first, paid = short.first, total(short.payments)
        if short.open == 0 and paid == 0:
            continue
        sku = first.sku or facts.products.skus.get(first.fnsku, "")
        yield Case(
            key=_natural(first),
            product=sku or first.fnsku,
            units=short.open,
            base=short.completed,
            place=first.place,
            value=unit_value(facts, first.fnsku, sku, first.place).times(short.open),
            evidence=evidence(
                ("removals", [removal.id for removal in short.removals]),
                *records_of(short.payments),
            ),
            details={
                "order": first.order,
                "fnsku": first.fnsku,
                "sku": sku,
                "requested": str(sum(removal.requested for removal in short.removals)),
                "missing": str(sum(removal.missing for removal in short.removals)),
                "paid": str(paid),
            },
            low="ledger" not in facts.complete,
        )
    completed = [removal for removal in facts.removals if removal.completed]
    missing = {_natural(removal) for removal in completed if removal.missing}
    for natural in {_natural(removal) for removal in completed} - missing:
        yield ClosedCase(natural, "reconciled", unpaid=True)


def _natural(removal: Removal) -> str:
    return key(removal.order or removal.id, removal.fnsku, removal.disposition)


@once
def short_removals(facts: Facts) -> Sequence[ShortRemoval]:
    """Products of completed orders with missing units, the oldest first."""
    missing = [removal for removal in facts.removals if removal.completed and removal.missing]
    orders = grouped(
        missing, lambda removal: (removal.order or removal.id, removal.fnsku, removal.disposition)
    )
    losses, payments = _losses(facts), removal_payments(facts)
    results = []
    for (order, fnsku, _), removals in orders.items():
        requested, completed = removals[0].days[0], max(removal.days[-1] for removal in removals)
        meanwhile = between(requested - EARLY, completed + EARLY)
        units = sum(removal.missing for removal in removals)
        units -= total(use(losses.get(fnsku, ()), units, meanwhile))
        named = use(payments.get((order, fnsku), ()), units)
        unnamed = payments.get(("", fnsku), ())
        others = use(unnamed, units - total(named), since(requested - timedelta(days=1)))
        results.append(ShortRemoval(removals, units, (*named, *others)))
    return results


def _losses(facts: Facts) -> Mapping[str, Sequence[Credit]]:
    """Units that the ledger shows as lost, damaged or disposed of without request, by FNSKU."""
    reconciliation = reconcile(facts)
    losses = [*reconciliation.lost, *reconciliation.damaged, *disposals(facts)]
    by_fnsku = grouped(losses, lambda loss: loss.event.fnsku)
    return {
        fnsku: [
            Credit(
                loss.event.day,
                "ledger",
                loss.event.id,
                loss.unexplained + total(loss.offsets, "reimbursements"),
            )
            for loss in group
        ]
        for fnsku, group in by_fnsku.items()
    }


def is_for_removal(row: Payment | Reversal) -> bool:
    """Whether a payment or its reversal can be for a removal order."""
    if "removal" in row.reason:
        return True
    return row.reason in LOST_OUTBOUND and not CUSTOMER_ORDER.fullmatch(row.order)


def removal_payments(
    facts: Facts, used: Iterable[Offset] = ()
) -> Mapping[tuple[str, str], Sequence[Credit]]:
    """Payments for removals, by the order that they name and FNSKU, less the units that these
    offsets used."""
    gone: Counter[str] = Counter()
    for offset in used:
        gone[offset.id] += offset.units
    payments = [
        payment for payment in facts.payments if is_for_removal(payment) and payment.units > 0
    ]
    groups = grouped(payments, lambda payment: (payment.order, payment.fnsku))
    return {
        group_key: [
            Credit(payment.day, "reimbursements", payment.id, payment.units - gone[payment.id])
            for payment in group
        ]
        for group_key, group in groups.items()
    }
