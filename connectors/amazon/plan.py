"""Which way to read the orders: search page by page, or reports for the past and search for the
last days. Decided from the published quotas, by what is sooner done."""

import math
from datetime import datetime, timedelta

import msgspec

from connectors.amazon.datasets import SEARCH_ORDERS
from connectors.amazon.kinds import LONGEST_ORDERS
from connectors.amazon.reports import REPORT_SECONDS
from connectors.base import Way, Window

PAGE = 100
USUAL_ORDERS_A_DAY = 50.0
"""What is assumed of a seller of whom nothing is known yet."""
RECENT = timedelta(days=2)
"""What a report may not hold yet is searched for."""
REPORT_SECONDS_A_ROW = 0.001
ROWS_AN_ORDER = 1.25
LOOKS = 1.025
"""So much longer it takes until a finished report is seen."""


class OrdersPlan(msgspec.Struct, frozen=True):
    """Up to `search_from` by reports (None: no reports), from there on by searchOrders."""

    search_from: datetime
    by_report: bool
    seconds: float


def plan_orders(window: Window, orders_a_day: float | None) -> OrdersPlan:
    """The sooner of the two ways."""
    density = USUAL_ORDERS_A_DAY if orders_a_day is None else orders_a_day
    alone = search_seconds(window.until - window.since, density)
    if window.until - window.since <= RECENT:
        return OrdersPlan(window.since, False, alone)
    turn = window.until - RECENT
    both = max(report_seconds(turn - window.since, density), search_seconds(RECENT, density))
    if alone <= both:
        return OrdersPlan(window.since, False, alone)
    return OrdersPlan(turn, True, both)


def search_seconds(span: timedelta, density: float) -> float:
    """The burst is free; each page beyond it waits for the quota."""
    pages = max(1, math.ceil(density * (span / timedelta(days=1)) / PAGE))
    return max(0.0, pages - SEARCH_ORDERS.burst) / SEARCH_ORDERS.rate


def report_seconds(span: timedelta, density: float) -> float:
    """Reports of a month each are made side by side."""
    days = min(span, LONGEST_ORDERS) / timedelta(days=1)
    rows = days * density * ROWS_AN_ORDER
    return (REPORT_SECONDS + rows * REPORT_SECONDS_A_ROW) * LOOKS


def way(plan: OrdersPlan) -> Way:
    name = "reports and searchOrders" if plan.by_report else SEARCH_ORDERS.name
    return Way(name, plan.seconds)
