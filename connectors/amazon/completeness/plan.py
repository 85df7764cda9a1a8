"""Decides how missing orders are read: one by one, or by a search over their days. The calls that a
quota allows at once cost no time; beyond those, one order costs 2 s and a page of 100 costs 179 s.

So the search reads the days with the most gaps, with the calls that it has left, and getOrder reads
the rest."""

import math
from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from connectors.completing import DatasetDay, Gap, Gaps

PAGE = 100
HOUR = 3_600
RESERVED = 2
"""Calls of the search that are left to the next sync."""
WORTH = 2
"""Missing orders for which a page of a search is worth a call that takes no time."""
MARGIN = timedelta(days=2)
"""How much earlier than its transaction an order may be updated last."""


class Allowance(msgspec.Struct, frozen=True):
    """What the quota of an operation allows."""

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
    #: Gaps that cost more than the quotas of an hour.
    left_out: int = 0


def plan_fill(gaps: Gaps, search: Allowance, by_id: Allowance) -> FillPlan:
    identified = [gap for gap in gaps.gaps if gap.identified]
    span, pages = None, 0
    if len(identified) > by_id.level or len(identified) < len(gaps.gaps):
        span, pages = _best_span(gaps, max(0, int(search.level) - RESERVED))
    rest = [gap.key for gap in identified if span is None or not _within(gap, span)]
    ids = rest[: by_id.most]
    unsearched = [gap for gap in gaps.gaps if not gap.identified and not _within(gap, span)]
    return FillPlan(
        search=span,
        ids=ids,
        calls=pages + len(ids),
        seconds=max(search.seconds(pages), by_id.seconds(len(ids))),
        left_out=len(rest) - len(ids) + len(unsearched),
    )


def _within(gap: Gap, span: tuple[date, date] | None) -> bool:
    return span is not None and span[0] <= gap.day <= span[1]


def _best_span(gaps: Gaps, most: int) -> tuple[tuple[date, date] | None, int]:
    """The days with the most gaps that at most `most` pages cover, and the number of pages."""
    days = gaps.days
    unknown = {gap.day for gap in gaps.gaps if not gap.identified}
    best, best_pages, most_missing = None, 0, 0
    first = 0
    for last in range(len(days)):
        while first <= last and _pages(days, first, last) > most:
            first += 1
        missing = sum(day.missing for day in days[first : last + 1])
        pages = _pages(days, first, last)
        needed = any(day.day in unknown for day in days[first : last + 1])
        if missing > most_missing and (needed or missing >= WORTH * pages):
            best, best_pages, most_missing = (days[first].day, days[last].day), pages, missing
    return best, best_pages


def _pages(days: Sequence[DatasetDay], first: int, last: int) -> int:
    """Pages of a search over these days and the margin before them."""
    if first > last:
        return 0
    begin = max(0, first - MARGIN.days)
    return math.ceil(sum(day.records + day.missing for day in days[begin : last + 1]) / PAGE) or 1
