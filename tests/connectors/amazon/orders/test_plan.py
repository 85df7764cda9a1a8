"""How orders are read, and the estimated duration."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.amazon.orders.plan import (
    ROWS_AN_ORDER,
    Figures,
    plan_orders,
    report_seconds,
    search_seconds,
)
from connectors.amazon.orders.search import SEARCH_ORDERS
from connectors.amazon.reports.desk import CALLS, LOOKS
from connectors.base import Window

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


def window(days: float) -> Window:
    return Window(NOW - timedelta(days=days), NOW)


def test_a_recent_window_is_searched() -> None:
    plan = plan_orders(window(1), 1000)
    assert not plan.by_report and plan.search_from == window(1).since


def test_a_small_seller_is_searched_within_the_burst() -> None:
    plan = plan_orders(window(90), 5)
    assert not plan.by_report and plan.seconds == 0


def test_many_orders_are_read_by_reports_and_the_last_days_by_search() -> None:
    plan = plan_orders(window(90), 400)
    assert plan.by_report
    assert plan.search_from == NOW - timedelta(days=2)


def test_a_plan_counts_pages_and_the_fewest_calls_of_reports() -> None:
    assert plan_orders(window(90), 5).calls == 5  # 450 orders
    assert plan_orders(window(0.1), 0).calls == 1
    reports_and_days = plan_orders(window(90), 400)  # 88 days are three reports
    assert reports_and_days.calls == 3 * CALLS + 8


def test_the_searched_span_fits_into_the_burst() -> None:
    plan = plan_orders(window(90), 2_000)
    assert NOW - plan.search_from == timedelta(hours=12)
    assert plan.seconds == LOOKS * report_seconds(timedelta(days=30), 2_000 * ROWS_AN_ORDER)


def test_an_unknown_seller_is_read_by_reports() -> None:
    assert plan_orders(window(90), None).by_report


def test_fifty_thousand_orders_are_read_fifty_times_faster_than_by_search_alone() -> None:
    density = 50_000 / 90
    alone = search_seconds(timedelta(days=90), density)
    assert alone > 50 * plan_orders(window(90), density).seconds


@given(st.floats(0.1, 700), st.floats(0, 100_000))
def test_the_plan_is_never_slower_than_either_way_alone(days: float, density: float) -> None:
    plan = plan_orders(window(days), density)
    assert plan.seconds <= search_seconds(timedelta(days=days), density)
    assert plan.seconds >= 0
    assert window(days).since <= plan.search_from < NOW
    if plan.by_report:
        past = plan.search_from - window(days).since
        assert plan.seconds >= report_seconds(past, density)


def test_learned_figures_change_the_estimate_and_not_the_choice() -> None:
    learned = Figures(search_rate=1e5, report_seconds=20.0)
    plan, published = plan_orders(window(90), 400, learned), plan_orders(window(90), 400)
    assert (plan.by_report, plan.search_from) == (True, published.search_from)
    assert plan.seconds == 20.0 * LOOKS


def test_a_sandbox_at_sixty_times_the_speed_takes_a_sixtieth_of_the_time() -> None:
    fast = Figures(search_rate=SEARCH_ORDERS.rate * 60, speed=60.0)
    for days, density in ((90, 400), (1, 5_000)):
        usual = plan_orders(window(days), density).seconds
        assert plan_orders(window(days), density, fast).seconds == pytest.approx(usual / 60)
