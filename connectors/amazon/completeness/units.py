"""Matches the units that the ledger shows as shipped with orders that can explain them."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta

from connectors.amazon.completeness.rows import ShippedUnits, StoredOrder

BEFORE, AFTER = timedelta(days=1), timedelta(days=2)
"""The ledger has local dates, and an order may be updated before its goods leave."""
POSTED_AFTER = timedelta(days=5)
"""The longest time from a shipment to its transaction."""
SHIPPED = frozenset({"shipped"})
UNSHIPPED = frozenset({"cancelled", "unfulfillable"})
MAX_UNEXPLAINED = 1 / 3
"""Above this share of unexplained units, the ledger counts something other than orders and proves
nothing."""


class ShippableUnits:
    """Units that orders and transactions can explain, by SKU and by the days on which they can have
    been shipped."""

    def __init__(self) -> None:
        self._spans: defaultdict[str, list[tuple[date, date, int]]] = defaultdict(list)

    def add_order(self, order: StoredOrder) -> None:
        """Add the span in which an order may ship: from its creation and, once shipped, until its
        last update."""
        if not order.by_amazon or order.status in UNSHIPPED:
            return
        last = order.updated + AFTER if order.status in SHIPPED else date.max
        for sku, units in order.units:
            self._spans[sku].append((order.created - BEFORE, last, units))

    def add_posted(self, posted: date, units: Iterable[tuple[str, int]]) -> None:
        """Add a shipment of an order that is not stored, by the day of its transaction."""
        for sku, count in units:
            self._spans[sku].append((posted - POSTED_AFTER, posted + BEFORE, count))

    def spans(self, sku: str) -> list[tuple[date, date, int]]:
        return self._spans.get(sku, [])


def unexplained(
    shipped: Iterable[ShippedUnits],
    supply: ShippableUnits,
    since: date,
    until: date,
    most: float = MAX_UNEXPLAINED,
) -> Mapping[tuple[str, date], int]:
    """The units that nothing explains, by FNSKU and day, of the days from `since` to `until`; empty
    if their share exceeds `most`."""
    demands: defaultdict[str, Counter[date]] = defaultdict(Counter)
    fnskus: dict[str, str] = {}
    for row in shipped:
        demands[row.sku][row.day] += row.units
        fnskus[row.sku] = row.fnsku or row.sku
    total, unmatched = 0, Counter[tuple[str, date]]()
    for sku, demand in demands.items():
        total += sum(units for at, units in demand.items() if since <= at <= until)
        for at, units in _unmatched(demand, supply.spans(sku)):
            if since <= at <= until:
                unmatched[fnskus[sku], at] += units
    return unmatched if unmatched.total() <= most * total else {}


def _unmatched(
    demand: Mapping[date, int], spans: list[tuple[date, date, int]]
) -> Iterator[tuple[date, int]]:
    """The unmatched units by day. Each day takes the units that expire first, which leaves the
    fewest unmatched."""
    waiting = sorted(spans, reverse=True)
    usable: list[tuple[date, int]] = []  # the last day, and the units left
    for today in sorted(demand):
        while waiting and waiting[-1][0] <= today:
            heapq.heappush(usable, waiting.pop()[1:])
        needed = demand[today]
        while needed and usable:
            last, units = heapq.heappop(usable)
            if last < today:
                continue
            taken = min(needed, units)
            needed -= taken
            if units > taken:
                heapq.heappush(usable, (last, units - taken))
        if needed:
            yield today, needed
