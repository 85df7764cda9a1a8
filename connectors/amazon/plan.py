"""Which way to read the orders: search page by page, or reports for the past and search for the
last days. Decided from the published quotas, by what is sooner done; the seconds are those that
earlier answers taught."""

import math
from datetime import datetime, timedelta

import msgspec

from connectors.amazon.datasets import SEARCH_ORDERS
from connectors.amazon.desk import LOOKS, REPORT_SECONDS
from connectors.amazon.kinds import LONGEST_ORDERS
from connectors.base import Way, Window

PAGE = 100
USUAL_ORDERS_A_DAY = 50.0
"""What is assumed of a seller of whom nothing is known yet."""
RECENT = timedelta(days=2)
"""What a report may not hold yet is searched for."""
LEAST_RECENT = timedelta(hours=6)
SEARCHED = 0.5
"""How much of searchOrders' burst the last days may take: search goes by the last change, which
many orders have that are not new, and not every day is like the others."""
REPORT_SECONDS_A_ROW = 0.001
ROWS_AN_ORDER = 1.25


class Figures(msgspec.Struct, frozen=True):
    """How fast the other side is: Amazon's published figures, unless others were learned.

    `search_rate` is searchOrders' calls a second; `report_seconds` is what the last report of
    orders took (None: unknown); `speed` divides what an unknown report takes.
    """

    search_rate: float = SEARCH_ORDERS.rate
    report_seconds: float | None = None
    speed: float = 1.0

    def search(self, span: timedelta, density: float) -> float:
        return search_seconds(span, density, self.search_rate)

    def report(self, span: timedelta, rows_a_day: float) -> float:
        if self.report_seconds is not None:
            return self.report_seconds
        return report_seconds(span, rows_a_day) / self.speed


PUBLISHED = Figures()


class OrdersPlan(msgspec.Struct, frozen=True):
    """Up to `search_from` by reports (None: no reports), from there on by searchOrders."""

    search_from: datetime
    by_report: bool
    seconds: float


def plan_orders(
    window: Window, orders_a_day: float | None, figures: Figures = PUBLISHED
) -> OrdersPlan:
    """The sooner of the two ways by what Amazon publishes, and the seconds by what is learned: an
    answer that announces an odd quota changes no way."""
    density = USUAL_ORDERS_A_DAY if orders_a_day is None else orders_a_day
    turn = window.until - recent_span(density)
    if turn > window.since:
        both = _both_seconds(window, turn, density, PUBLISHED)
        if PUBLISHED.search(window.until - window.since, density) > both:
            return OrdersPlan(turn, True, _both_seconds(window, turn, density, figures))
    return OrdersPlan(window.since, False, figures.search(window.until - window.since, density))


def _both_seconds(window: Window, turn: datetime, density: float, figures: Figures) -> float:
    past = figures.report(turn - window.since, density * ROWS_AN_ORDER) * LOOKS
    return max(past, figures.search(window.until - turn, density))


def recent_span(density: float) -> timedelta:
    """How much is searched for beside reports: less, where it would be more pages than come at
    once."""
    at_once = timedelta(days=SEARCHED * SEARCH_ORDERS.burst * PAGE / max(density, 1.0))
    return min(RECENT, max(LEAST_RECENT, at_once))


def search_seconds(span: timedelta, density: float, rate: float = SEARCH_ORDERS.rate) -> float:
    """The burst is free; each page beyond it waits for the quota."""
    pages = max(1, math.ceil(density * (span / timedelta(days=1)) / PAGE))
    return max(0.0, pages - SEARCH_ORDERS.burst) / rate


def report_seconds(span: timedelta, rows_a_day: float) -> float:
    """Until they are there: reports of a month each are made side by side."""
    rows = rows_a_day * (min(span, LONGEST_ORDERS) / timedelta(days=1))
    return REPORT_SECONDS + rows * REPORT_SECONDS_A_ROW


def way(plan: OrdersPlan) -> Way:
    name = "reports and searchOrders" if plan.by_report else SEARCH_ORDERS.name
    return Way(name, plan.seconds)
