"""Decides how orders are read: by search alone, or by reports for the past and search for the last
days. The faster way by Amazon's published quotas is chosen; the estimate of its duration uses what
earlier responses have shown."""

import math
from datetime import datetime, timedelta

import msgspec

from connectors.amazon.orders.report import LONGEST_SPAN
from connectors.amazon.orders.search import SEARCH_ORDERS
from connectors.amazon.reports.desk import CALLS, LOOKS, REPORT_SECONDS
from connectors.base import Way, Window

PAGE = 100
USUAL_ORDERS_A_DAY = 50.0
"""Assumed for a seller about whom nothing is known yet."""
RECENT = timedelta(days=2)
"""The span that is searched because a report may not contain it yet."""
LEAST_RECENT = timedelta(hours=6)
SEARCHED = 0.5
"""Share of searchOrders' burst that the last days may use. The search is by last update, so it also
returns older orders that changed, and days differ."""
REPORT_SECONDS_A_ROW = 0.001
ROWS_AN_ORDER = 1.25


class Figures(msgspec.Struct, frozen=True):
    """How fast the source is: Amazon's published figures unless others have been learned."""

    #: Calls of searchOrders per second.
    search_rate: float = SEARCH_ORDERS.rate
    #: Duration of the last report of orders; None if unknown.
    report_seconds: float | None = None
    #: Divides the usual duration of a report while the real one is unknown.
    speed: float = 1.0

    def search(self, span: timedelta, density: float) -> float:
        return search_seconds(span, density, self.search_rate)

    def report(self, span: timedelta, rows_a_day: float) -> float:
        if self.report_seconds is not None:
            return self.report_seconds
        return report_seconds(span, rows_a_day) / self.speed


PUBLISHED = Figures()


class OrdersPlan(msgspec.Struct, frozen=True):
    """How the orders of a window are read."""

    #: Start of the search; orders before it come from reports.
    search_from: datetime
    by_report: bool
    seconds: float
    #: The estimated number of calls; for each report, the lowest possible.
    calls: int


def plan_orders(
    window: Window, orders_a_day: float | None, figures: Figures = PUBLISHED
) -> OrdersPlan:
    """Choose by the published figures and estimate by the learned ones: a response that announces
    an unusual quota does not change the choice."""
    density = USUAL_ORDERS_A_DAY if orders_a_day is None else orders_a_day
    turn = window.until - recent_span(density)
    if turn > window.since:
        both = _both_seconds(window, turn, density, PUBLISHED)
        if PUBLISHED.search(window.until - window.since, density) > both:
            reports = math.ceil((turn - window.since) / LONGEST_SPAN)
            calls = reports * CALLS + _pages(window.until - turn, density)
            return OrdersPlan(turn, True, _both_seconds(window, turn, density, figures), calls)
    whole = window.until - window.since
    seconds, calls = figures.search(whole, density), _pages(whole, density)
    return OrdersPlan(window.since, False, seconds, calls)


def _pages(span: timedelta, density: float) -> int:
    return max(1, math.ceil(density * (span / timedelta(days=1)) / PAGE))


def _both_seconds(window: Window, turn: datetime, density: float, figures: Figures) -> float:
    past = figures.report(turn - window.since, density * ROWS_AN_ORDER) * LOOKS
    return max(past, figures.search(window.until - turn, density))


def recent_span(density: float) -> timedelta:
    """The span that is searched in addition to reports; shorter if it has more pages than the burst
    allows."""
    at_once = timedelta(days=SEARCHED * SEARCH_ORDERS.burst * PAGE / max(density, 1.0))
    return min(RECENT, max(LEAST_RECENT, at_once))


def search_seconds(span: timedelta, density: float, rate: float = SEARCH_ORDERS.rate) -> float:
    """Duration of a search: the pages of the burst take no time, each further one waits for the
    quota."""
    return max(0.0, _pages(span, density) - SEARCH_ORDERS.burst) / rate


def report_seconds(span: timedelta, rows_a_day: float) -> float:
    """Duration until the reports of a span are available. They are made in parallel, one per
    month."""
    rows = rows_a_day * (min(span, LONGEST_SPAN) / timedelta(days=1))
    return REPORT_SECONDS + rows * REPORT_SECONDS_A_ROW


def way(plan: OrdersPlan) -> Way:
    name = "reports and searchOrders" if plan.by_report else SEARCH_ORDERS.name
    return Way(name, plan.seconds, plan.calls)
