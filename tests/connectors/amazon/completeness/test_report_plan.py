"""Which reports are worth their calls."""

from collections.abc import Iterable
from itertools import pairwise

import pytest

from connectors.amazon.completeness.plan import Allowance, plan_fill
from connectors.amazon.completeness.report_plan import (
    CALLS,
    FEW,
    LEAD,
    LONGEST,
    ReportAllowance,
    Span,
    covered,
    plan_reports,
)
from connectors.amazon.completeness.spans import DAY
from tests.connectors.amazon.completeness.test_plan import BY_ID, SEARCH, gaps_of, on

QUOTA = Allowance(3, 0.0167, 15)
REPORTS = ReportAllowance(QUOTA, QUOTA, takes=62)


def spread(share: float, a_day: int = 33) -> list[int]:
    """The days of so many missing orders a day, evenly spread."""
    wanted = (int((day + 1) * a_day * share) - int(day * a_day * share) for day in range(90))
    return [day for day, count in enumerate(wanted) for _ in range(count)]


def planned(missing: Iterable[int], reports: ReportAllowance = REPORTS) -> list[Span]:
    return list(plan_reports(gaps_of(missing, a_day=33), SEARCH, BY_ID, reports))


@pytest.mark.parametrize("missing", [[], [40], range(0, 60, 4), [40] * 300, range(40, 47)])
def test_few_orders_and_few_days_need_no_report(missing: Iterable[int]) -> None:
    assert planned(missing) == []


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_orders_missing_everywhere_are_read_by_reports_of_30_days(share: float) -> None:
    missing = spread(share)
    spans = planned(missing)
    assert len(spans) in (3, 4)
    assert all((span.last - span.first).days < LONGEST for span in spans)
    inside = set(covered([on(day) for day in range(90)], spans))
    assert sum(on(day) in inside for day in missing) > 0.9 * len(missing)


def test_reports_follow_one_another_and_the_newest_is_tried_first() -> None:
    spans = planned(spread(0.1))
    assert spans == sorted(spans, key=lambda span: span.first, reverse=True)
    assert all(later.first == span.last + DAY for later, span in pairwise(spans))


def test_a_report_with_few_orders_is_not_the_one_to_try() -> None:
    spans = planned([*(day for day in range(8, 60) for _ in range(4)), 88])
    assert spans
    assert spans[0].last < on(61)


def test_orders_may_be_created_some_days_before_their_trace() -> None:
    days = [on(day) for day in range(60)]
    assert covered(days, [Span(on(10), on(29)), Span(on(30), on(49))]) == days[15:50]
    assert covered(days, []) == ()
    spans = planned([day for day in range(40, 60) for _ in range(40)])
    assert not spans or min(span.first for span in spans) == on(40) - LEAD


def test_reports_are_planned_where_they_save_calls() -> None:
    few, more = range(0, 3 * FEW, 3), range(0, 3 * FEW + 3, 3)
    assert planned(few) == []
    spans = planned(more)
    assert 0 < len(spans) * CALLS < len(more) / 2


def test_reports_that_take_longer_than_five_minutes_are_not_worth_saved_calls() -> None:
    missing = spread(0.05)
    assert planned(missing, ReportAllowance(QUOTA, QUOTA, takes=310)) == []
    assert planned(missing, ReportAllowance(QUOTA, QUOTA, takes=250)) != []
    empty = Allowance(0, 0.0167, 15)
    assert planned(missing, ReportAllowance(QUOTA, empty, takes=250)) == []


def test_orders_beyond_the_quota_of_an_hour_are_worth_waiting_for_reports() -> None:
    missing = spread(0.05, a_day=1_000)
    gaps = gaps_of(missing, a_day=1_000)
    assert plan_fill(gaps, SEARCH, BY_ID).left_out > 0
    slow = ReportAllowance(QUOTA, QUOTA, takes=900)
    assert len(plan_reports(gaps, SEARCH, BY_ID, slow)) >= 3


def test_a_gap_without_an_id_needs_no_report() -> None:
    gaps = gaps_of([], unknown=range(10, 80))
    assert plan_reports(gaps, SEARCH, BY_ID, REPORTS) == ()
