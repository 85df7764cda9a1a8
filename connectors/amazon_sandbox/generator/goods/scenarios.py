"""The scenarios of a seller's goods: which product has which one, and when.

At least one scenario of each kind is under way at any time.
"""

import random
from collections.abc import Callable, Sequence

import msgspec

from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.goods import (
    damages,
    inbound_shipments,
    losses,
    parcels,
    receipts,
    removals,
    transfers,
)
from connectors.amazon_sandbox.generator.goods.placement import Placement
from connectors.amazon_sandbox.generator.journal import Journal
from connectors.amazon_sandbox.generator.randomness import seeded_random
from connectors.amazon_sandbox.generator.times import DAY

Scenario = Callable[[Placement], None]
"""Adds one occurrence to the journal. The function's name seeds its random stream: renaming a
scenario changes every seller."""

Group = tuple[tuple[Scenario, int], ...]
"""Scenarios, each with its count for a seller."""

CYCLE = 95 * DAY
"""How long a scenario occupies its product. Then the next round begins."""

# The scenarios whose claims wait only a week have 17 occurrences, one every six days, so that each
# status of a claim occurs on any day. Returns and inbound shipments would spoil the scenarios in
# _UNDISTURBED, whose products have none.
_UNDISTURBED: Group = (
    (losses.reversed_without_find, 3),
    (losses.lost_then_paid_then_reversed, 3),
    (losses.reversed_after_find, 2),
    (losses.paid_too_little_then_reversed, 2),
)
_LOSSES: Group = (
    (losses.lost, 17),
    (losses.lost_then_found, 3),
    (losses.lost_then_paid, 3),
    (losses.lost_then_partly_paid, 2),
    (losses.lost_then_partly_found, 2),
    (losses.lost_then_replaced, 2),
    (losses.lost_then_transferred, 2),
    (losses.lost_then_partly_transferred, 2),
    (losses.lost_then_reconciled, 2),
    (losses.lost_then_partly_reconciled, 2),
    (losses.lost_then_paid_then_disposed, 2),
    (losses.paid_too_little, 2),
    (losses.lost_then_reconciled_then_paid, 3),
    (losses.lost_then_paid_unreconciled, 2),
    (losses.lost_then_partly_paid_unreconciled, 2),
    (losses.lost_then_paid_in_lines, 2),
)
_DAMAGES: Group = (
    (damages.damaged, 17),
    (damages.damaged_then_paid, 2),
    (damages.damaged_by_others, 4),
    (damages.damaged_then_partly_paid, 2),
    (damages.damaged_then_disposed, 2),
    (damages.moved, 2),
    (damages.damaged_then_reconciled, 2),
    (damages.damaged_then_paid_unreconciled, 2),
    (damages.damaged_then_partly_paid_unreconciled, 2),
)
_DISPOSALS: Group = (
    (damages.disposed, 17),
    (damages.disposed_on_request, 2),
    (damages.disposed_as_unsellable, 2),
    (damages.disposed_then_paid, 2),
    (damages.disposed_beside_a_return, 2),
)
_SHORTAGES: Group = (
    (inbound_shipments.short, 9),
    (inbound_shipments.short_then_paid, 2),
    (inbound_shipments.short_and_stuck, 3),
    (inbound_shipments.short_then_received, 3),
    (inbound_shipments.short_and_going_on, 2),
)
_RECEIPTS: Group = (
    (receipts.received_damaged, 4),
    (receipts.receipt_taken_back, 3),
    (receipts.received_damaged_then_paid, 2),
    (receipts.receipt_taken_back_then_paid, 2),
    (receipts.received_defective, 2),
    (receipts.receipt_counted_twice, 2),
)
_REMOVALS: Group = (
    (removals.fetched_short, 7),
    (removals.fetched_short_beside_cancelled, 3),
    (removals.fetched_after_cancellation, 2),
    (removals.fetched_short_then_paid, 3),
)
_TRANSFERS: Group = (
    (transfers.transfer_lost, 6),
    (transfers.transfer_partly_lost, 3),
    (transfers.transfer_late, 2),
    (transfers.transfer_in_parts, 2),
    (transfers.transfer_found, 2),
)
_PARCELS: Group = (
    (parcels.parcel_lost, 4),
    (parcels.parcel_partly_lost, 2),
    (parcels.parcel_without_answer, 2),
    (parcels.second_parcel_lost, 2),
    (parcels.parcel_lost_then_paid, 3),
    (parcels.parcel_lost_then_partly_paid, 2),
    (parcels.order_short_and_parcel_lost, 2),
)
# Groups that have products of their own, and groups that share the products of one of these. A loss
# in a warehouse would explain units that are missing of a removal order or of a transfer.
_OWN = (_UNDISTURBED, _LOSSES, _DAMAGES, _DISPOSALS, _REMOVALS)
_SHARED = {_DAMAGES: (_SHORTAGES,), _REMOVALS: (_RECEIPTS, _TRANSFERS, _PARCELS)}

# Reimbursements of past rounds stay in the report, except those that were reversed or too low: they
# would be claims of their own.
_FORGOTTEN = {*(scenario for scenario, _ in _UNDISTURBED), losses.paid_too_little}
# Of these, only reimbursements on demand are left out: one may come so late that a client would
# match it to the next shipment.
_FORGOTTEN_ON_DEMAND = {scenario for scenario, _ in (*_SHORTAGES, *_RECEIPTS)}
_PAST_ROUNDS = 3


class ScheduledScenario(msgspec.Struct, frozen=True):
    scenario: Scenario
    product: Product
    #: Counts the scenarios of the same kind.
    index: int
    #: The second of a round in which it begins.
    offset: int


class ScenarioPlan(msgspec.Struct, frozen=True):
    scheduled: tuple[ScheduledScenario, ...]
    #: Products that are neither returned nor sent to a warehouse.
    undisturbed: frozenset[Product]


def plan_scenarios(root: str, orders: int, products: Sequence[Product]) -> ScenarioPlan:
    """Assign the scenarios to products. A small seller has too few products for all of them."""
    offset = seeded_random(root, "fetched").randrange(CYCLE)
    first = ScheduledScenario(removals.fetched_back, products[0], 0, offset)
    if orders < 100:
        return ScenarioPlan((first,), frozenset())
    rng = seeded_random(root, "plot")
    free = rng.sample(products, len(products))
    factor = max(1, orders // 12_500)
    scheduled = [first]
    total = sum(map(_size, _OWN))
    for group in _OWN:
        size = max(2, min(_size(group) * factor, len(products) * _size(group) // total))
        scheduled += _assign(rng, group, free[:size], factor)
        if group is _UNDISTURBED:
            undisturbed = frozenset(free[:size])
        for other in _SHARED.get(group, ()):
            scheduled += _assign(rng, other, rng.sample(free[:size], size), factor)
        free = free[size:]
    return ScenarioPlan(tuple(scheduled), undisturbed)


def emit(root: str, plan: ScenarioPlan, journal: Journal, modern: bool) -> None:
    """Add everything that has happened by the horizon to the journal."""
    for entry in plan.scheduled:
        latest = (journal.horizon - entry.offset) // CYCLE
        past = range(latest - _PAST_ROUNDS + 1, latest)
        _emit_past_reimbursements(root, entry, past, journal, modern)
        # A scenario may have rows before its beginning.
        for turn in (latest, latest + 1, latest + 2):
            _emit(root, entry, turn, journal, modern)


def _size(group: Group) -> int:
    return sum(count for _, count in group)


def _assign(
    rng: random.Random, group: Group, products: Sequence[Product], factor: int
) -> list[ScheduledScenario]:
    """One scenario for each product. Those of one kind are spread evenly over a round."""
    first = rng.randrange(len(group))  # small sellers have only some of the scenarios
    scenarios = _interleave(
        [(scenario, count * factor) for scenario, count in (*group[first:], *group[:first])],
        len(products),
    )
    counts = {scenario: scenarios.count(scenario) for scenario in scenarios}
    phases = {scenario: rng.randrange(CYCLE) for scenario in counts}
    indexes = dict.fromkeys(counts, 0)
    scheduled = []
    for scenario, product in zip(scenarios, products, strict=False):
        step = CYCLE // counts[scenario]
        index = indexes[scenario]
        offset = (phases[scenario] + index * step + rng.randrange(step // 16)) % CYCLE
        scheduled.append(ScheduledScenario(scenario, product, index, offset))
        indexes[scenario] += 1
    return scheduled


def _interleave(group: Sequence[tuple[Scenario, int]], limit: int) -> list[Scenario]:
    """The scenarios in rotation, until their counts or the limit are reached."""
    remaining = dict(group)
    interleaved: list[Scenario] = []
    while any(remaining.values()) and len(interleaved) < limit:
        for scenario in [scenario for scenario, count in remaining.items() if count]:
            remaining[scenario] -= 1
            interleaved.append(scenario)
    return interleaved[:limit]


def _emit(root: str, entry: ScheduledScenario, turn: int, journal: Journal, modern: bool) -> None:
    at = turn * CYCLE + entry.offset
    name = f"{root} {entry.scenario.__name__} {entry.product.number} {turn}"
    rng = seeded_random(name)
    entry.scenario(Placement(journal, entry.product, at, name, entry.index, modern, rng))


def _emit_past_reimbursements(
    root: str, entry: ScheduledScenario, turns: range, journal: Journal, modern: bool
) -> None:
    if entry.scenario in _FORGOTTEN:
        return
    reimbursed_claims = {} if entry.scenario in _FORGOTTEN_ON_DEMAND else journal.reimbursed_claims
    past = Journal(journal.horizon, reimbursed_claims)
    for turn in turns:
        _emit(root, entry, turn, past, modern)
    journal.reimbursements += past.reimbursements
