"""R1, R2, R3: units lost, damaged or disposed of inside Amazon's warehouses."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta

import msgspec

from connectors.amazon.claims.codes import (
    DAMAGED,
    DAMAGED_WAREHOUSE,
    DISPOSED,
    FOUND,
    LOST,
    LOST_WAREHOUSE,
    MAYBE_DAMAGED,
    MAYBE_FOUND,
    NOT_THE_SELLERS_FAULT,
    WAREHOUSE_DAMAGED,
)
from connectors.amazon.claims.credits import (
    EARLY,
    Credit,
    Fits,
    Offset,
    between,
    since,
    total,
    until,
    use,
)
from connectors.amazon.claims.facts import Facts, LedgerEvent
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.once import once
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key, records_of
from connectors.amazon.claims.values import unit_value
from connectors.claims import ClosedReason

PAID_WITHIN = timedelta(days=60)
"""How long after a damage a payment may still cover it."""
REQUESTED_WITHIN = timedelta(days=30)
"""The longest time between a disposal and the removal order that requested it."""


class Loss(msgspec.Struct, frozen=True):
    """A ledger row that removed units, and their offsets."""

    event: LedgerEvent
    #: Units that nothing in the data offsets or explains.
    unexplained: int
    offsets: tuple[Offset, ...]

    @property
    def open(self) -> int:
        """Unexplained units, at most as many as Amazon's own figure. That is an upper bound only:
        it is not settled whether the figure falls when Amazon pays."""
        unreconciled = self.event.unreconciled
        return self.unexplained if unreconciled is None else min(unreconciled, self.unexplained)

    @property
    def uncertain(self) -> bool:
        """Whether Amazon's own figure and the data differ; without the figure, whether the open
        units depend on an uncertain credit."""
        if self.event.unreconciled is None:
            return any(offset.uncertain for offset in self.offsets)
        return min(self.event.unreconciled, -self.event.units) != self.unexplained


class Reconciliation(msgspec.Struct, frozen=True):
    """Every loss and damage with its offsets."""

    lost: Sequence[Loss]
    damaged: Sequence[Loss]
    #: Payments with their unused units, by FNSKU.
    payments: Mapping[str, Sequence[Credit]]

    def unused_payments(self) -> dict[str, list[Credit]]:
        """A copy of these payments, which a rule may use up."""
        return {
            fnsku: [msgspec.structs.replace(credit) for credit in credits]
            for fnsku, credits in self.payments.items()
        }


def lost_in_warehouse(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R1. Units that Amazon's warehouse misplaced and still owes.

    Counts: ledger adjustments with reason M or 5. Each misplaced unit is offset by one unit found
    (F, N) or paid for as Lost_Warehouse, dated up to a week before the loss or any time after it.
    The ledger's Unreconciled Quantity, where filled, is the most that can be open; if finds and
    payments leave another number, the claim has low confidence.

    Does not count: moves between dispositions (P, Q), corrections and transfers of ownership, which
    take nothing away; payments for orders, which are for sold units. One found unit or payment
    offsets one loss only, the oldest first, so that nothing is claimed twice or hidden twice."""
    losses = [loss for loss in reconcile(facts).lost if not is_old(facts, loss.event)]
    groups = grouped(losses, lambda loss: (loss.event.fnsku, loss.event.day, loss.event.reference))
    reversed_ = _reversed_payments(facts, LOST_WAREHOUSE)
    for (fnsku, day, reference), group in groups.items():
        natural = key(fnsku, day.isoformat(), reference)
        yield from _case(facts, group, natural, reversed_.get(fnsku, ()))


def damaged_in_warehouse(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R2. Units that Amazon damaged in its warehouse and has not paid for.

    Counts: ledger adjustments with reason E, 6 or 7; H, K and U with low confidence, because these
    units were unsellable before. A payment offsets a damage if it is for Damaged_Warehouse and
    dated from a week before it to 60 days after it.

    Does not count: the row P that follows each damage on the same day. It puts the same unit into
    unsellable stock and does not replace it. Certain and uncertain units are separate claims."""
    losses = [loss for loss in reconcile(facts).damaged if not is_old(facts, loss.event)]
    groups = grouped(
        losses,
        lambda loss: (
            loss.event.fnsku,
            loss.event.reference or loss.event.day.isoformat(),
            _maybe_damaged(loss.event),
        ),
    )
    reversed_ = _reversed_payments(facts, DAMAGED_WAREHOUSE)
    for (fnsku, reference, maybe), group in groups.items():
        natural = key(fnsku, reference, "weak" if maybe else "")
        yield from _case(facts, group, natural, reversed_.get(fnsku, ()), low=maybe)


def disposed_unrequested(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R3. Units that Amazon disposed of although the seller did not request it.

    Counts: ledger adjustments with reason D of units that were sellable, damaged by the warehouse
    or expired.

    Does not count: units that a disposal order of the seller covers, from 30 days before it to 30
    days after its last update; units already claimed as damaged (R2, R14), because one unit is
    claimed once; units that Amazon paid for as lost, because they are Amazon's property; units that
    customers, carriers or suppliers damaged, because the seller is responsible for these."""
    groups = grouped(
        disposals(facts), lambda loss: (loss.event.fnsku, loss.event.day, loss.event.reference)
    )
    for (fnsku, day, reference), group in groups.items():
        yield from _case(facts, group, key(fnsku, day.isoformat(), reference))


@once
def reconcile(facts: Facts) -> Reconciliation:
    """Offset losses and damages with found units and payments.

    Recent losses use credits before old ones, and certain damages before uncertain ones, because a
    payment is for what Amazon certainly pays for."""
    lost: list[Loss] = []
    damaged: list[Loss] = []
    payments: dict[str, list[Credit]] = {}
    losses = _by_fnsku(facts, LOST)
    damages = _by_fnsku(facts, DAMAGED | MAYBE_DAMAGED)
    finds = _by_fnsku(facts, FOUND)
    for fnsku in {*losses, *damages, *facts.payments_by_fnsku}:
        found = [_found(event) for event in finds.get(fnsku, ()) if event.units > 0]
        paid_as_lost = _payments(facts, fnsku, LOST_WAREHOUSE)
        # "ledger" sorts before "reimbursements": units found are used before payments of that day.
        credits = sorted(
            [*found, *paid_as_lost], key=lambda credit: (credit.day, credit.dataset, credit.id)
        )
        rows = sorted(losses.get(fnsku, ()), key=lambda event: is_old(facts, event))
        lost += _offset(rows, credits, lambda event: since(event.day - EARLY))
        paid_as_damaged = _payments(facts, fnsku, DAMAGED_WAREHOUSE)
        rows = sorted(
            damages.get(fnsku, ()), key=lambda event: (is_old(facts, event), _maybe_damaged(event))
        )
        damaged += _offset(rows, paid_as_damaged, _pays_damage)
        payments[fnsku] = sorted(
            [*paid_as_lost, *paid_as_damaged], key=lambda credit: (credit.day, credit.id)
        )
    return Reconciliation(
        sorted(lost, key=lambda loss: loss.event),
        sorted(damaged, key=lambda loss: loss.event),
        payments,
    )


def is_old(facts: Facts, event: LedgerEvent) -> bool:
    """Whether a loss is too old to be claimed. It may still use up credits."""
    return event.day < facts.oldest_loss


def _offset(
    events: Sequence[LedgerEvent],
    credits: Sequence[Credit],
    fits: Callable[[LedgerEvent], Fits],
) -> Iterator[Loss]:
    """Each event with the credits that offset it.

    Credits go first to units that Amazon's own figure says are reconciled, because Amazon used some
    credit for these; then to all other units, in the order of the events."""
    reconciled = [
        use(credits, -event.units - event.unreconciled, fits(event))
        if event.unreconciled is not None
        else ()
        for event in events
    ]
    for event, offsets in zip(events, reconciled, strict=True):
        offsets += use(credits, -event.units - total(offsets), fits(event))
        yield Loss(event, -event.units - total(offsets), offsets)


@once
def disposals(facts: Facts) -> Sequence[Loss]:
    """Recent disposals, less the units that are explained. Their offsets are the payments for
    them."""
    reconciliation = reconcile(facts)
    damaged = grouped(reconciliation.damaged, lambda loss: loss.event.fnsku)
    lost = grouped(reconciliation.lost, lambda loss: loss.event.fnsku)
    requested = [removal for removal in facts.removals if removal.disposed]
    removals = grouped(requested, lambda removal: removal.fnsku)
    damaged_inbound = _received_damaged(facts)
    unused_payments, losses = reconciliation.unused_payments(), []
    for fnsku, events in _by_fnsku(facts, DISPOSED).items():
        requests = [
            ([Credit(removal.days[0], "removals", removal.id, removal.disposed)], removal.days)
            for removal in removals.get(fnsku, ())
        ]
        claimed_as_damaged = [
            Credit(loss.event.day, "ledger", loss.event.id, -loss.event.units)
            for loss in damaged.get(fnsku, ())
        ] + damaged_inbound.get(fnsku, [])
        amazons_property = [
            Credit(max(loss.event.day, offset.day), offset.dataset, offset.id, offset.units)
            for loss in lost.get(fnsku, ())
            for offset in loss.offsets
            if offset.dataset == "reimbursements"
        ]
        payments = unused_payments.get(fnsku, ())
        for event in events:
            if event.disposition not in NOT_THE_SELLERS_FAULT:
                continue
            units = -event.units
            for request, days in requests:
                if min(days) - REQUESTED_WITHIN <= event.day <= max(days) + REQUESTED_WITHIN:
                    units -= total(use(request, units))
            if event.disposition == WAREHOUSE_DAMAGED:
                units -= total(use(claimed_as_damaged, units, until(event.day)))
            units -= total(use(amazons_property, units, until(event.day)))
            paid = use(payments, units, _pays_damage(event))
            losses.append(Loss(event, units - total(paid), paid))
    return [loss for loss in losses if not is_old(facts, loss.event)]


def _received_damaged(facts: Facts) -> Mapping[str, list[Credit]]:
    """Units of shipments that were received damaged, which R14 claims."""
    damaged = [
        event
        for receipts in facts.ledger.receipts.values()
        for event in receipts
        if event.disposition == WAREHOUSE_DAMAGED and event.units > 0
    ]
    return {
        fnsku: [Credit(event.day, "ledger", event.id, event.units) for event in sorted(events)]
        for fnsku, events in grouped(damaged, lambda event: event.fnsku).items()
    }


def _case(
    facts: Facts,
    losses: Sequence[Loss],
    natural: str,
    reversed_: Sequence[Credit] = (),
    low: bool = False,
) -> Iterator[Case | ClosedCase]:
    """The case of these losses; a closed one if all their units were found or explained.
    `reversed_` are the payments for the product that Amazon took back."""
    first = min(loss.event for loss in losses)
    offsets = [offset for loss in losses for offset in loss.offsets]
    units = sum(loss.open for loss in losses)
    paid = total(offsets, "reimbursements")
    unexplained = sum(loss.unexplained for loss in losses)
    taken_back = total(use(reversed_, unexplained, since(first.day - EARLY)))
    if units == 0 and paid == 0:
        all_found = total(offsets, "ledger") == -sum(loss.event.units for loss in losses)
        yield ClosedCase(natural, _reason(all_found, taken_back, unexplained), unpaid=True)
        return
    sku = first.sku or facts.products.skus.get(first.fnsku, "")
    yield Case(
        key=natural,
        product=sku or first.fnsku,
        units=units,
        base=first.day,
        place=first.place,
        value=unit_value(facts, first.fnsku, sku, first.place).times(units),
        evidence=evidence(("ledger", [loss.event.id for loss in losses]), *records_of(offsets)),
        details={
            "fnsku": first.fnsku,
            "sku": sku,
            "reference": first.reference,
            "units": str(-sum(loss.event.units for loss in losses)),
            "found": str(total(offsets, "ledger")),
            "paid": str(paid),
        },
        low=low or any(loss.uncertain for loss in losses),
    )


def _reason(all_found: bool, taken_back: int, unexplained: int) -> ClosedReason:
    """Why nothing of a loss is owed. A payment that was taken back although Amazon's figure is
    balanced is a case of its own (R9)."""
    if all_found:
        return "found"
    if not unexplained:
        return "no longer supported"  # a request or a damage explains it, which is another case
    return "reversed" if taken_back else "reconciled"


def _reversed_payments(facts: Facts, reason: str) -> Mapping[str, Sequence[Credit]]:
    """Units of payments that Amazon took back, by FNSKU, from the day of the payment."""
    reversals = [reversal for reversal in facts.reversals if reversal.reason == reason]
    return {
        fnsku: [
            Credit(row.original.day if row.original else row.day, "", "", row.units)
            for row in group
        ]
        for fnsku, group in grouped(reversals, lambda reversal: reversal.fnsku).items()
    }


def _payments(facts: Facts, fnsku: str, reason: str) -> list[Credit]:
    """Payments for a product as credits. One that names an order is not for a warehouse loss."""
    return [
        Credit(payment.day, "reimbursements", payment.id, payment.units)
        for payment in facts.payments_by_fnsku.get(fnsku, ())
        if payment.reason == reason and (not payment.order or reason == DAMAGED_WAREHOUSE)
    ]


def _found(event: LedgerEvent) -> Credit:
    return Credit(event.day, "ledger", event.id, event.units, event.reason in MAYBE_FOUND)


def _pays_damage(event: LedgerEvent) -> Fits:
    return between(event.day - EARLY, event.day + PAID_WITHIN)


def _maybe_damaged(event: LedgerEvent) -> bool:
    return event.reason in MAYBE_DAMAGED


def _by_fnsku(facts: Facts, reasons: frozenset[str]) -> Mapping[str, list[LedgerEvent]]:
    """Adjustments with these reasons, by product; only negative ones, except for found units."""
    events = [
        event
        for event in facts.ledger.adjustments
        if event.reason in reasons and (event.units < 0 or event.reason in FOUND)
    ]
    return grouped(events, lambda event: event.fnsku)
