"""Decides whether missing orders are read by further reports, of a type other than the one that
lacks them. A report holds all orders of 30 days for four calls, but takes minutes, and may lack the
same orders. So all are requested at once, and the first decides whether the others are read."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

import msgspec

from connectors.amazon.completeness.plan import Allowance, FillPlan, plan_fill
from connectors.completing import Gaps

LONGEST = 30
"""The most days of one report."""
LEAD = timedelta(days=5)
"""How much earlier than its trace an order may have been created: the report selects by
creation."""
CALLS = 4
"""Calls of one report: createReport, getReport, getReportDocument, and the download."""
FEW = 20
"""No report, which takes minutes, is requested to save up to this many calls. A first sync makes
over ten times as many."""
MOST = 4
"""The most reports of one sync."""
PATIENCE = 300.0
"""The most seconds that reports may take, unless the missing orders take longer without them."""


class ReportAllowance(msgspec.Struct, frozen=True):
    """The current cost of reports."""

    #: The quotas of createReport and of getReportDocument.
    create: Allowance
    documents: Allowance
    #: Seconds until a report is finished.
    takes: float

    def seconds(self, reports: int) -> float:
        """Seconds for this many reports, which are made in parallel."""
        waits = max(self.create.seconds(reports), self.documents.seconds(reports))
        return self.takes + waits


class Span(msgspec.Struct, frozen=True):
    """The days of creation of one report, both included."""

    first: date
    last: date


def plan_reports(
    gaps: Gaps, search: Allowance, by_id: Allowance, reports: ReportAllowance
) -> Sequence[Span]:
    """The reports that leave the fewest gaps open and, among equals, cost the fewest calls; none if
    reports improve nothing, or if a few calls suffice. The first one is to be read first."""
    without = plan_fill(gaps, search, by_id)
    if without.calls <= FEW and not without.left_out:
        return ()
    longest = max(PATIENCE, without.seconds)
    best: Sequence[Span] = ()
    least = _cost(without)
    for count in range(1, MOST + 1):
        spans = _spans(gaps, count)
        rest = plan_fill(_outside(gaps, spans), search, by_id)
        cost = _cost(rest, len(spans) * CALLS)
        if cost < least and reports.seconds(len(spans)) + rest.seconds <= longest:
            best, least = spans, cost
    return best


def covered(days: Sequence[date], spans: Sequence[Span]) -> Sequence[date]:
    """The days, of an ascending sequence, whose gaps the reports of these consecutive spans should
    contain."""
    if not spans:
        return ()
    first, last = min(span.first for span in spans), max(span.last for span in spans)
    return days[bisect_left(days, first + LEAD) : bisect_right(days, last)]


def _cost(plan: FillPlan, further: int = 0) -> tuple[int, int]:
    return plan.left_out, plan.calls + further


def _outside(gaps: Gaps, spans: Sequence[Span]) -> Gaps:
    days = set(covered([day.day for day in gaps.days], spans))
    left = [gap for gap in gaps.gaps if not gap.identified or gap.day not in days]
    return msgspec.structs.replace(gaps, gaps=left)


def _spans(gaps: Gaps, count: int) -> Sequence[Span]:
    """`count` consecutive spans that contain the most gaps, the newest among equals. The newest
    span with many gaps comes first: the oldest traces are more often of orders that do not
    exist."""
    days = sorted(gap.day for gap in gaps.gaps if gap.identified)
    length = timedelta(days=LONGEST * count - 1)
    most: Sequence[date] = ()
    for last in sorted(set(days)):
        within = covered(days, [Span(last - length, last)])
        most = within if len(within) >= len(most) else most
    if not most:
        return ()
    parts = _parts(most[0] - LEAD, most[-1])
    counts = {part: len(covered(days, [part])) for part in parts}
    many = max(counts.values()) / 3
    return sorted(parts, key=lambda part: (counts[part] >= many, part.first), reverse=True)


def _parts(first: date, last: date) -> Sequence[Span]:
    """Spans of about equal length, none longer than allowed."""
    days = (last - first).days + 1
    count = -(-days // LONGEST)
    ends = [first + timedelta(days=days * number // count) for number in range(count + 1)]
    return [Span(begin, end - timedelta(days=1)) for begin, end in pairwise(ends)]
