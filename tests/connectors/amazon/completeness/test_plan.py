"""How missing orders are read: whichever way the quotas make faster."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta

from connectors.amazon.completeness.plan import Allowance, plan_fill
from connectors.completing import DatasetDay, Gap, Gaps

FIRST = date(2026, 6, 1)
SEARCH, BY_ID = Allowance(20, 0.0056, 20), Allowance(30, 0.5, 30)


def on(number: int) -> date:
    return FIRST + timedelta(days=number)


def gaps_of(missing: Iterable[int], a_day: int = 28, unknown: Iterable[int] = ()) -> Gaps:
    """Missing orders, by the day of each one; `a_day` orders of each day were read."""
    gaps = [Gap(f"order-{n:04}", on(day), ("transactions",)) for n, day in enumerate(missing)]
    gaps += [Gap(f"{on(day)}/X1", on(day), ("ledger",), identified=False) for day in unknown]
    counts = Counter(gap.day for gap in gaps)
    days = [
        DatasetDay(on(day), "short" if counts[on(day)] else "confirmed", a_day, counts[on(day)])
        for day in range(90)
    ]
    return Gaps("orders", days, sorted(gaps, key=lambda gap: (gap.day, gap.key)))


def test_a_few_orders_are_read_one_by_one_at_once() -> None:
    plan = plan_fill(gaps_of(range(0, 60, 2)), SEARCH, BY_ID)
    assert (plan.search, len(plan.ids), plan.calls, plan.seconds) == (None, 30, 30, 0.0)


def test_a_few_orders_of_few_days_are_searched_if_that_saves_calls() -> None:
    small = plan_fill(gaps_of(range(10, 80, 5), a_day=3), SEARCH, BY_ID)
    assert (small.search is not None, small.calls) == (True, 4)
    dense = plan_fill(gaps_of(range(10, 80, 5), a_day=30), SEARCH, BY_ID)
    assert (dense.search, dense.calls) == (None, 14)


def test_a_search_is_limited_to_the_days_where_it_saves_calls() -> None:
    plan = plan_fill(gaps_of([5, 80, *[40] * 20], a_day=28), SEARCH, BY_ID)
    assert plan.search == (on(40), on(40))
    assert plan.ids == ["order-0000", "order-0001"]


def test_a_plan_over_years_is_made_at_once() -> None:
    days = [DatasetDay(on(number), "confirmed", 100, 1) for number in range(3_000)]
    gaps = [Gap(f"order-{day.day}", day.day, ("transactions",)) for day in days]
    tried = [0]

    class Counted(Allowance, frozen=True):
        def seconds(self, calls: int) -> float:
            tried[0] += 1
            return super().seconds(calls)

    plan_fill(Gaps("orders", days, gaps), Counted(20, 0.0056, 20), BY_ID)
    assert tried[0] <= 3 * len(days)


def test_a_day_that_lacks_most_of_its_orders_is_searched() -> None:
    plan = plan_fill(gaps_of([40] * 400, a_day=100), SEARCH, BY_ID)
    assert plan.search is not None
    assert plan.search[0] <= on(40) <= plan.search[1]
    assert (plan.ids, plan.seconds) == ([], 0.0)
    assert plan.calls <= 18


def test_a_fifth_of_all_orders_is_read_both_ways_in_less_time_than_by_either_alone() -> None:
    gaps = gaps_of([day for day in range(2, 86) for _ in range(6)], a_day=22)
    plan = plan_fill(gaps, SEARCH, BY_ID)
    assert plan.search is not None
    assert 0 < len(plan.ids) < 300
    assert plan.seconds < BY_ID.seconds(len(gaps.gaps)) / 2
    assert plan.left_out == 0


def test_a_search_that_has_no_calls_left_is_not_used() -> None:
    empty = Allowance(3, 0.0056, 20)
    plan = plan_fill(gaps_of([40] * 400), empty, BY_ID)
    assert (plan.search, len(plan.ids)) == (None, 400)


def test_days_with_more_orders_than_the_calls_cover_are_not_searched() -> None:
    plan = plan_fill(gaps_of([40] * 40, a_day=5_000), SEARCH, BY_ID)
    assert (plan.search, len(plan.ids)) == (None, 40)


def test_no_more_orders_are_read_than_the_quota_of_an_hour_allows() -> None:
    plan = plan_fill(gaps_of([day for day in range(90) for _ in range(50)]), SEARCH, BY_ID)
    assert len(plan.ids) == 1_830
    assert plan.seconds <= 3_600
    assert plan.left_out > 0


def test_a_gap_without_an_id_is_searched() -> None:
    plan = plan_fill(gaps_of([], unknown=[40]), SEARCH, BY_ID)
    assert plan.search is not None
    assert plan.search[0] <= on(40) <= plan.search[1]
    assert plan.calls >= 1


def test_a_gap_without_an_id_stays_open_if_no_call_is_left() -> None:
    plan = plan_fill(gaps_of([], unknown=[40]), Allowance(0, 0.0056, 20), BY_ID)
    assert (plan.search, plan.calls, plan.left_out) == (None, 0, 1)
