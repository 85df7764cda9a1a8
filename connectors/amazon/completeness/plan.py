"""Decides how missing orders are read: one by one, or by a search over their days. The calls that a
quota allows at once take no time; beyond those, one order takes 2 s and a page of 100 takes 179 s.

So the search reads consecutive days with its remaining calls, and getOrder reads the rest. The days
are chosen for the least time and, among equals, the fewest calls."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import accumulate

import msgspec

from connectors.completing import Gaps

PAGE = 100
HOUR = 3_600
RESERVED = 2
"""Calls of the search that are left to the next sync."""
WORTH = 2
"""The calls by id that a page of a search is worth if neither takes time: the quota of the search
refills 90 times more slowly."""
MARGIN = timedelta(days=2)
"""How long before its transaction the last update of an order may be."""


class Allowance(msgspec.Struct, frozen=True):
    """The calls that the quota of an operation allows."""

    #: Calls that can be made at once.
    level: float
    #: Calls per second, and the most at once, as published.
    rate: float
    burst: float

    @property
    def most(self) -> int:
        """Calls within an hour."""
        return int(self.level + HOUR * self.rate)

    def seconds(self, calls: int) -> float:
        return max(0.0, calls - max(0.0, self.level)) / self.rate


class FillPlan(msgspec.Struct, frozen=True):
    """How gaps are filled."""

    #: The days to search, both included; None for none.
    search: tuple[date, date] | None
    #: Orders to read one by one.
    ids: Sequence[str]
    calls: int
    #: Estimated duration, at the published quotas.
    seconds: float
    #: Gaps beyond the quotas of an hour.
    left_out: int = 0


def plan_fill(gaps: Gaps, search: Allowance, by_id: Allowance) -> FillPlan:
    days = _Days(gaps)
    costs = _Costs(days, search, by_id)
    spans = days.spans(max(0, int(search.level) - RESERVED))
    best = min((None, *spans), key=costs.of)
    span = (gaps.days[best[0]].day, gaps.days[best[1]].day) if best else None
    rest = [gap for gap in gaps.gaps if span is None or not span[0] <= gap.day <= span[1]]
    ids = [gap.key for gap in rest if gap.identified][: by_id.most]
    pages = days.pages(*best) if best else 0
    return FillPlan(
        search=span,
        ids=ids,
        calls=pages + len(ids),
        seconds=max(search.seconds(pages), by_id.seconds(len(ids))),
        left_out=len(rest) - len(ids),
    )


class _Days:
    """The days of gaps. A span is the numbers of its first and its last day."""

    def __init__(self, gaps: Gaps) -> None:
        self.count = len(gaps.days)
        known = Counter(gap.day for gap in gaps.gaps if gap.identified)
        unknown = Counter(gap.day for gap in gaps.gaps if not gap.identified)
        self._orders = _sums([day.records + day.missing for day in gaps.days])
        self._known = _sums([known[day.day] for day in gaps.days])
        self._unknown = _sums([unknown[day.day] for day in gaps.days])
        #: Gaps that can be read by id, and gaps that cannot.
        self.known, self.unknown = known.total(), unknown.total()

    def known_within(self, first: int, last: int) -> int:
        return self._known[last + 1] - self._known[first]

    def unknown_within(self, first: int, last: int) -> int:
        return self._unknown[last + 1] - self._unknown[first]

    def pages(self, first: int, last: int) -> int:
        """Pages of a search over these days and the margin before them."""
        begin = first - MARGIN.days
        orders = self._orders[last + 1] - self._orders[max(0, begin)]
        before = max(0, -begin) * self._orders[-1] / self.count  # days that were not read
        return math.ceil((orders + before) / PAGE) or 1

    def spans(self, most: int) -> Iterator[tuple[int, int]]:
        """Spans of at most `most` pages that may be worth a search: for each last day the longest
        one, and the one whose first days all save calls."""
        longest = densest = 0
        for last in range(self.count):
            while longest <= last and self.pages(longest, last) > most:
                longest += 1
            densest = max(densest, longest)
            if densest < last and self._is_better_without(densest, last - 1):
                densest = last
            yield from ((first, last) for first in {longest, densest} if first <= last)

    def _is_better_without(self, first: int, last: int) -> bool:
        """Whether excluding these days saves calls, if the search continues after them."""
        orders = self._orders[last + 1] - self._orders[first]
        return self.known_within(first, last) * PAGE <= WORTH * orders


class _Costs:
    """Computes the cost of a plan."""

    def __init__(self, days: _Days, search: Allowance, by_id: Allowance) -> None:
        self._days = days
        self._search = search
        self._by_id = by_id

    def of(self, span: tuple[int, int] | None) -> tuple[int, float, int]:
        """Gaps that stay open, seconds, and calls weighted by WORTH."""
        days, pages, known, unknown = self._days, 0, 0, 0
        if span:
            pages, known = days.pages(*span), days.known_within(*span)
            unknown = days.unknown_within(*span)
        left = days.known - known
        ids = min(left, self._by_id.most)
        seconds = max(self._search.seconds(pages), self._by_id.seconds(ids))
        return days.unknown - unknown + left - ids, seconds, WORTH * pages + ids


def _sums(counts: Sequence[int]) -> Sequence[int]:
    """The running totals of the counts, starting with 0."""
    return list(accumulate(counts, initial=0))
