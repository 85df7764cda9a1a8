"""R9: reimbursements that Amazon took back although nothing turned up."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property

import msgspec

from connectors.amazon.claims.codes import (
    DAMAGED_INBOUND,
    DAMAGED_WAREHOUSE,
    LOST_INBOUND,
    LOST_WAREHOUSE,
)
from connectors.amazon.claims.credits import EARLY, Credit, Offset, since, total, use
from connectors.amazon.claims.facts import Facts, OrderItem, Payment, Reversal
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.inbound import Shortage, named_shipment, shortages
from connectors.amazon.claims.receipts import Mishandled, mishandled
from connectors.amazon.claims.removal_shipments import sent_removals
from connectors.amazon.claims.removals import is_for_removal, short_removals
from connectors.amazon.claims.replacements import replaced_items
from connectors.amazon.claims.returns import damaged_items, refunded_items
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key, records_of
from connectors.amazon.claims.values import Value, unit_value
from connectors.amazon.claims.warehouse import Loss, Reconciliation, is_old, reconcile
from connectors.amazon.marketplaces import place

WAREHOUSE_REASONS = frozenset({LOST_WAREHOUSE, DAMAGED_WAREHOUSE})
INBOUND_REASONS = frozenset({LOST_INBOUND, DAMAGED_INBOUND})
ORDER_DATASETS = frozenset({"transactions", "returns"})
SHIPMENT_DATASETS = frozenset({"shipments"})
REMOVAL_DATASETS = frozenset({"removals", "removal_shipments"})


def reversal_without_find(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R9. Reimbursements that Amazon took back although the units did not turn up.

    Counts: reversed units of a product of which nothing was found, received or returned from a week
    before the original payment to a week after the reversal. If Amazon paid again later, the units
    are settled.

    Does not count: reversals that Amazon itself took back; units whose loss is open again because
    of the reversal, because another rule claims that loss; units of a loss that was paid twice, of
    which Amazon may take one payment back; reversals of orders, shipments and removals while those
    datasets are incomplete, because then it is unknown whether anything is missing. Without the
    original payment, or if the ledger begins too late to show a find, the claim has low
    confidence."""
    losses = _OriginalLosses(facts)
    for reversal in facts.reversals:
        if reversal.units == 0:  # Amazon has paid all of it back
            yield ClosedCase(_key(reversal), "reversed")
            continue
        turned_up = _turned_up(facts, reversal)
        owed, paid_again = (0, ()) if turned_up else losses.owed(reversal)
        if owed == 0:
            if turned_up:
                yield ClosedCase(_key(reversal), "found")
            continue
        still_open = owed - total(paid_again)
        original = reversal.original
        proof = [*reversal.records, *([original.id] if original else [])]
        yield Case(
            key=_key(reversal),
            product=reversal.sku or reversal.fnsku,
            units=still_open,
            base=reversal.day,
            place=place(currency=reversal.currency),
            value=_value(facts, reversal, still_open),
            evidence=evidence(("reimbursements", proof), *records_of(paid_again)),
            details={
                "fnsku": reversal.fnsku,
                "sku": reversal.sku,
                "reversal": reversal.number,
                "reimbursement": reversal.original_number,
                "reason": reversal.reason,
            },
            low=_finds_may_be_missing(facts, reversal),
        )


def _key(reversal: Reversal) -> str:
    number = reversal.number or reversal.id
    return key(number, reversal.fnsku, reversal.sku, reversal.original_number)


def _value(facts: Facts, reversal: Reversal, units: int) -> Value:
    """The share of the amount for these units; their value if Amazon took back inventory."""
    if reversal.amount:
        amount = abs(reversal.amount) * units / reversal.units
        return Value(amount, reversal.currency or None, "The amount taken back for these units.")
    where = place(currency=reversal.currency)
    return unit_value(facts, reversal.fnsku, reversal.sku, where).times(units)


def _turned_up(facts: Facts, reversal: Reversal) -> bool:
    first = reversal.original.day - EARLY if reversal.original else date.min
    return any(
        first <= event.day <= reversal.day + EARLY
        for event in facts.ledger.finds.get(reversal.fnsku, ())
    )


def _finds_may_be_missing(facts: Facts, reversal: Reversal) -> bool:
    """Whether a find that explains the reversal may be older than the ledger that was read."""
    if reversal.original is None or facts.ledger.since is None:
        return True
    return facts.ledger.since > reversal.original.day - EARLY


class _OriginalLoss(msgspec.Struct, frozen=True):
    """A loss that a reversed payment may have been for."""

    day: date
    #: Units not compensated and not claimed by another rule.
    gap: Credit
    #: The payments for the loss.
    payments: Sequence[Credit]
    shipment: str = ""


class _OriginalLosses:
    """The losses behind reversed payments. A unit used for one reversal is not used for another.

    Each group of losses is computed when the first reversal needs it."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def owed(self, reversal: Reversal) -> tuple[int, tuple[Offset, ...]]:
        """The reversed units that no other rule claims, and payments since then that were for them.

        If the loss behind the payment is known, at most its missing units are owed: a second
        payment for one loss may be taken back, and open units are claimed as that loss."""
        losses = self._candidates(reversal)
        if losses is None:
            return 0, ()
        if not losses:
            return reversal.units, self._paid_again(reversal)
        missing = total(use([loss.gap for loss in losses], reversal.units))
        payments = [credit for loss in losses for credit in loss.payments]
        paid_again = use(payments, reversal.units - missing, since(reversal.day))
        return missing + total(paid_again), paid_again

    def _candidates(self, reversal: Reversal) -> Sequence[_OriginalLoss] | None:
        """The losses that the payment can have been for; None if their dataset is incomplete."""
        original = reversal.original
        latest = original.day + EARLY if original else reversal.day
        shipment = named_shipment(original) if original else ""
        if reversal.reason in WAREHOUSE_REASONS:
            losses = self._warehouse_losses[reversal.reason].get(reversal.fnsku, ())
        elif reversal.reason in INBOUND_REASONS:
            if not self._facts.complete >= SHIPMENT_DATASETS:
                return None
            losses = self._inbound_losses.get(reversal.fnsku, ())
        elif is_for_removal(reversal):
            if not self._facts.complete >= REMOVAL_DATASETS:
                return None
            losses = self._removal_losses.get(reversal.fnsku, ())
        elif reversal.order:
            if not self._facts.complete >= ORDER_DATASETS:
                return None
            return self._order_losses.get((reversal.order, reversal.sku), ())
        else:
            return ()
        return [
            loss
            for loss in losses
            if loss.day <= latest and (not shipment or loss.shipment == shipment)
        ]

    def _paid_again(self, reversal: Reversal) -> tuple[Offset, ...]:
        """Payments since the reversal that no loss needed."""
        if reversal.reason in WAREHOUSE_REASONS:
            payments = self._unused_by_product.get(reversal.fnsku, ())
        else:
            payments = self._unused_payments.get(
                (reversal.reason, reversal.fnsku, reversal.order), ()
            )
        return use(payments, reversal.units, since(reversal.day))

    @cached_property
    def _reconciliation(self) -> Reconciliation:
        return reconcile(self._facts)

    @cached_property
    def _unused_by_product(self) -> Mapping[str, Sequence[Credit]]:
        return self._reconciliation.unused_payments()

    @cached_property
    def _inbound_cases(self) -> Sequence[Shortage | Mishandled]:
        return [*shortages(self._facts), *mishandled(self._facts)]

    @cached_property
    def _warehouse_losses(self) -> Mapping[str, Mapping[str, Sequence[_OriginalLoss]]]:
        return {
            LOST_WAREHOUSE: _by_product(self._facts, self._reconciliation.lost),
            DAMAGED_WAREHOUSE: _by_product(self._facts, self._reconciliation.damaged),
        }

    @cached_property
    def _inbound_losses(self) -> Mapping[str, Sequence[_OriginalLoss]]:
        groups = grouped(self._inbound_cases, lambda case: case.arrival.item.fnsku)
        return {
            fnsku: [_of_arrival(case) for case in group if case.open or case.offsets]
            for fnsku, group in groups.items()
        }

    @cached_property
    def _removal_losses(self) -> Mapping[str, Sequence[_OriginalLoss]]:
        return _by_removal(self._facts)

    @cached_property
    def _order_losses(self) -> Mapping[OrderItem, Sequence[_OriginalLoss]]:
        return _by_order_item(self._facts)

    @cached_property
    def _unused_payments(self) -> Mapping[tuple[str, str, str], Sequence[Credit]]:
        offsets = [offset for case in self._inbound_cases for offset in case.offsets]
        return _without_used(self._facts, offsets)


def _by_product(facts: Facts, losses: Iterable[Loss]) -> Mapping[str, Sequence[_OriginalLoss]]:
    recent = [loss for loss in losses if not is_old(facts, loss.event)]
    groups = grouped(recent, lambda loss: loss.event.fnsku)
    return {
        fnsku: [
            _original_loss(loss.event.day, -loss.event.units - loss.open, loss.offsets)
            for loss in group
        ]
        for fnsku, group in groups.items()
    }


def _of_arrival(case: Shortage | Mishandled) -> _OriginalLoss:
    arrival, offsets = case.arrival, case.offsets
    day = arrival.day if arrival.dated else date.min
    return _original_loss(day, total(offsets), offsets, arrival.item.shipment)


def _by_removal(facts: Facts) -> Mapping[str, Sequence[_OriginalLoss]]:
    """Missing and lost units of removal orders, by FNSKU. Open ones are claimed by R11 and R12."""
    losses = [
        *(
            (short.first.fnsku, short.first.days[0], short.payments)
            for short in short_removals(facts)
        ),
        *((sent.first.fnsku, sent.first.day, sent.payments) for sent in sent_removals(facts)),
    ]
    return {
        fnsku: [_original_loss(day, total(payments), payments) for _, day, payments in group]
        for fnsku, group in grouped(losses, lambda loss: loss[0]).items()
    }


def _original_loss(
    day: date, closed: int, offsets: Sequence[Offset], shipment: str = ""
) -> _OriginalLoss:
    """A loss with its payments. `closed` is the number of units that are not open, whether or not
    an offset explains them."""
    payments = [
        Credit(offset.day, offset.dataset, offset.id, offset.units)
        for offset in offsets
        if offset.dataset == "reimbursements"
    ]
    return _OriginalLoss(day, Credit(day, "", "", closed - total(offsets)), payments, shipment)


def _by_order_item(facts: Facts) -> Mapping[OrderItem, Sequence[_OriginalLoss]]:
    """Order items with refunds, returns or replacements. Their open units are claimed by R4, R5 or
    R15, so that none are left for a reversal."""
    payments: dict[OrderItem, Sequence[Payment]] = dict.fromkeys(
        ((row.order, row.sku) for row in facts.returns), ()
    )
    for (_, sku), replaced in replaced_items(facts).items():
        for row in replaced.replacements:
            payments |= {(order, sku): replaced.payments for order in row.orders}
    payments |= {item: refunded.payments for item, refunded in refunded_items(facts).items()}
    payments |= {item: damaged.payments for item, damaged in damaged_items(facts).items()}
    return {
        item: [
            _OriginalLoss(
                date.min,
                Credit(date.min, "", "", 0),
                [
                    Credit(payment.day, "reimbursements", payment.id, payment.units)
                    for payment in item_payments
                ],
            )
        ]
        for item, item_payments in payments.items()
    }


def _without_used(
    facts: Facts, offsets: Iterable[Offset]
) -> Mapping[tuple[str, str, str], Sequence[Credit]]:
    """Payments by reason, FNSKU and order, less the units that these offsets used."""
    used: Counter[str] = Counter()
    for offset in offsets:
        used[offset.id] += offset.units
    groups = grouped(facts.payments, lambda payment: (payment.reason, payment.fnsku, payment.order))
    return {
        group_key: [
            Credit(payment.day, "reimbursements", payment.id, payment.units - used[payment.id])
            for payment in group
        ]
        for group_key, group in groups.items()
    }
