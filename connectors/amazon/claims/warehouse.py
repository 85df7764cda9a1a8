"""Units that were lost, damaged or disposed of inside Amazon's warehouses."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

import msgspec

from connectors.amazon.claims.books import Books, Event
from connectors.amazon.claims.cases import Case, drawn_from, evidence, key, units_of
from connectors.amazon.claims.credits import Credit, Draw, draw, total
from connectors.amazon.claims.values import unit_value

LOST = frozenset({"M", "5"})
DAMAGED = frozenset({"E", "6", "7"})
PERHAPS_DAMAGED = frozenset({"H", "K", "U"})
"""The warehouse damaged what was unsellable before: sources differ on whether Amazon pays."""
FOUND = frozenset({"F", "N"})
PERHAPS_FOUND = frozenset({"N"})
"""Found, or transferred from another owner: sources differ."""
DISPOSED = frozenset({"D"})
OURS = frozenset({"sellable", "warehousedamaged", "expired"})
"""Dispositions of units that nobody but Amazon had a reason to dispose of."""
RELEVANT = LOST | DAMAGED | PERHAPS_DAMAGED | FOUND | DISPOSED

BEFORE = timedelta(days=7)
"""A credit may be dated a little earlier than the loss that it makes up for."""
AFTER = timedelta(days=60)
ASKED = timedelta(days=30)

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Outcome(msgspec.Struct, frozen=True):
    """What became of the units of one row: `drawn` made up for some, `open` are left."""

    event: Event
    open: int
    drawn: tuple[Draw, ...]

    @property
    def weak(self) -> bool:
        """Whether what is left rests on a credit that is not sure: Amazon's own figure does not."""
        return self.event.open is None and any(each.weak for each in self.drawn)


class Warehouse(msgspec.Struct, frozen=True):
    """Losses and damages against what made up for them; `left` are payments that nothing needed,
    by FNSKU."""

    lost: Sequence[Outcome]
    damaged: Sequence[Outcome]
    left: Mapping[str, Sequence[Credit]]


def lost_in_warehouse(books: Books) -> Iterator[Case]:
    """Units that Amazon misplaced and has neither found again nor paid for."""
    groups = grouped(
        [each for each in reconciled(books).lost if not is_old(books, each.event)],
        lambda each: (each.event.fnsku, each.event.day, each.event.reference),
    )
    for (fnsku, day, reference), outcomes in groups.items():
        natural = key(fnsku, day.isoformat(), reference)
        yield from _case(books, outcomes, natural, "lost in the warehouse")


def damaged_in_warehouse(books: Books) -> Iterator[Case]:
    """Units that Amazon damaged in its warehouse and has not paid for."""
    groups = grouped(
        [each for each in reconciled(books).damaged if not is_old(books, each.event)],
        lambda each: (each.event.fnsku, _reference(each.event), _weak(each.event)),
    )
    for (fnsku, reference, weak), outcomes in groups.items():
        natural = key(fnsku, reference, "weak" if weak else "")
        yield from _case(books, outcomes, natural, "damaged in the warehouse", low=weak)


def disposed_unrequested(books: Books) -> Iterator[Case]:
    """Units that Amazon disposed of though the seller asked for no disposal, and did not pay."""
    groups = grouped(
        _disposed(books),
        lambda each: (each.event.fnsku, each.event.day, each.event.reference),
    )
    for (fnsku, day, reference), outcomes in groups.items():
        natural = key(fnsku, day.isoformat(), reference)
        yield from _case(books, outcomes, natural, "disposed of without being asked to")


def reconciled(books: Books) -> Warehouse:
    """Each loss and damage with what makes up for it. Where a row has Amazon's own open figure
    that is what is open, and the rest of the row uses up credits before others do. What is old gets
    what the others leave."""
    lost, damaged = [], []
    left: dict[str, list[Credit]] = {}
    losses = _by_fnsku(books, LOST)
    damages = _by_fnsku(books, DAMAGED | PERHAPS_DAMAGED)
    found = _by_fnsku(books, FOUND)
    for fnsku in {*losses, *damages, *books.paid}:
        credits = [_found(each) for each in found.get(fnsku, ()) if each.units > 0]
        paid = warehouse_payments(books, fnsku, "lostwarehouse")
        # On one day what was found comes first.
        credits = sorted([*credits, *paid], key=lambda each: (each.day, each.dataset, each.id))
        for each in sorted(losses.get(fnsku, ()), key=lambda each: is_old(books, each)):
            lost.append(_outcome(each, credits, _loss_fits(each)))
        other = warehouse_payments(books, fnsku, "damagedwarehouse")
        # A payment is first for the damage that Amazon surely pays for.
        for each in sorted(
            damages.get(fnsku, ()), key=lambda each: (is_old(books, each), _weak(each))
        ):
            damaged.append(_outcome(each, other, _damage_fits(each)))
        left[fnsku] = sorted([*paid, *other], key=lambda each: (each.day, each.id))
    return Warehouse(
        sorted(lost, key=lambda each: each.event),
        sorted(damaged, key=lambda each: each.event),
        left,
    )


def is_old(books: Books, event: Event) -> bool:
    """Whether it is not looked at any more, but to see what became of its units."""
    return event.day < books.oldest


def _disposed(books: Books) -> Sequence[Outcome]:
    """Disposals against what explains them: the seller asked; the unit is a damage of its own; it
    was paid for as lost and so belongs to Amazon; it was paid for now."""
    warehouse = reconciled(books)
    asked = grouped(books.removals, lambda each: each.fnsku)
    damaged = grouped(warehouse.damaged, lambda each: each.event.fnsku)
    lost = grouped(warehouse.lost, lambda each: each.event.fnsku)
    outcomes = []
    for fnsku, events in _by_fnsku(books, DISPOSED).items():
        requests = [
            ([Credit(each.days[0], "removals", each.id, each.units)], each.days)
            for each in asked.get(fnsku, ())
        ]
        claimed = [
            Credit(each.event.day, "ledger", each.event.id, -each.event.units)
            for each in damaged.get(fnsku, ())
        ]
        amazons = [
            Credit(max(each.event.day, one.day), one.dataset, one.id, one.units)
            for each in lost.get(fnsku, ())
            for one in each.drawn
            if one.dataset == "reimbursements"
        ]
        left = warehouse.left.get(fnsku, ())
        for event in events:
            if event.disposition not in OURS:
                continue
            wanted = -event.units
            for request, days in requests:
                if min(days) - ASKED <= event.day <= max(days) + ASKED:
                    wanted -= total(draw(request, wanted, lambda _: True))
            if event.disposition == "warehousedamaged":
                wanted -= total(draw(claimed, wanted, _not_after(event)))
            wanted -= total(draw(amazons, wanted, _not_after(event)))
            paid = draw(left, wanted, _damage_fits(event))
            still = wanted - total(paid)
            shown = still if event.open is None else min(still, event.open)
            outcomes.append(Outcome(event, shown, paid))
    return [each for each in outcomes if not is_old(books, each.event)]


def _case(
    books: Books, outcomes: Sequence[Outcome], natural: str, what: str, low: bool = False
) -> Iterator[Case]:
    first = min(each.event for each in outcomes)
    drawn = [one for each in outcomes for one in each.drawn]
    units = sum(each.open for each in outcomes)
    paid = total(drawn, "reimbursements")
    if units == 0 and paid == 0:
        return
    sku = first.sku or books.skus.get(first.fnsku, "")
    yield Case(
        key=natural,
        title=f"{units_of(units, sku or first.fnsku)} {what}",
        units=units,
        base=first.day,
        place=first.place,
        value=unit_value(books, first.fnsku, sku, first.place).times(units),
        evidence=evidence(("ledger", [each.event.id for each in outcomes]), *drawn_from(drawn)),
        details={
            "fnsku": first.fnsku,
            "sku": sku,
            "reference": first.reference,
            "units": str(-sum(each.event.units for each in outcomes)),
            "found": str(total(drawn, "ledger")),
            "paid": str(paid),
        },
        low=low or any(each.weak for each in outcomes),
    )


def _outcome(event: Event, credits: Sequence[Credit], fits: Callable[[Credit], bool]) -> Outcome:
    lost = -event.units
    if event.open is not None:
        still = min(event.open, lost)
        return Outcome(event, still, draw(credits, lost - still, fits))
    drawn = draw(credits, lost, fits)
    return Outcome(event, lost - total(drawn), drawn)


def warehouse_payments(books: Books, fnsku: str, reason: str) -> list[Credit]:
    return [
        Credit(each.day, "reimbursements", each.id, each.units)
        for each in books.paid.get(fnsku, ())
        if each.reason == reason and (not each.order or reason == "damagedwarehouse")
    ]


def _found(event: Event) -> Credit:
    return Credit(event.day, "ledger", event.id, event.units, event.reason in PERHAPS_FOUND)


def _loss_fits(event: Event) -> Callable[[Credit], bool]:
    return lambda credit: credit.day >= event.day - BEFORE


def _damage_fits(event: Event) -> Callable[[Credit], bool]:
    return lambda credit: event.day - BEFORE <= credit.day <= event.day + AFTER


def _not_after(event: Event) -> Callable[[Credit], bool]:
    return lambda credit: credit.day <= event.day


def _reference(event: Event) -> str:
    return event.reference or event.day.isoformat()


def _weak(event: Event) -> bool:
    return event.reason in PERHAPS_DAMAGED


def _by_fnsku(books: Books, reasons: frozenset[str]) -> Mapping[str, list[Event]]:
    """The rows of these reasons, losses for all but what was found, each product's in order."""
    wanted = [
        each
        for each in books.adjustments
        if each.reason in reasons and (each.units < 0 or each.reason in FOUND)
    ]
    return grouped(wanted, lambda each: each.fnsku)


def grouped(rows: Iterable[T], by: Callable[[T], K]) -> dict[K, list[T]]:
    groups: defaultdict[K, list[T]] = defaultdict(list)
    for row in rows:
        groups[by(row)].append(row)
    return dict(groups)
