"""Reads orders as planned: reports for the past are requested first, and Amazon makes them while
the last days are searched."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import msgspec

from connectors.amazon import pages
from connectors.amazon.client import AmazonClient
from connectors.amazon.context import AmazonDataset, ReadContext
from connectors.amazon.orders import search
from connectors.amazon.orders.bookmark import (
    OrdersBookmark,
    opened,
    with_density,
    with_orders_counted,
)
from connectors.amazon.orders.plan import (
    ROWS_AN_ORDER,
    USUAL_ORDERS_A_DAY,
    Figures,
    OrdersPlan,
    plan_orders,
    report_seconds,
    way,
)
from connectors.amazon.orders.report import ORDERS_KIND
from connectors.amazon.page_bookmark import MAX_SHARE
from connectors.amazon.repeats import Endless
from connectors.amazon.reports import bookmark as report_bookmark
from connectors.amazon.reports.bookmark import ReportBookmark
from connectors.amazon.reports.desk import took
from connectors.amazon.reports.reader import ReportReader
from connectors.base import (
    Connection,
    Cursor,
    Misconfigured,
    Page,
    SourceError,
    Unknowable,
    Way,
    Window,
)

A_DAY = "orders:a-day"
"""The key under which a connection remembers its number of orders per day."""
ENOUGH = 100
"""New order items that are enough to estimate the items per day."""


def planned(client: AmazonClient, connection: Connection, window: Window) -> OrdersPlan:
    """The plan for a window, by the figures that earlier syncs have learned: the number of orders,
    the quota of searchOrders, the duration of a report."""
    types = {part.type for part in ORDERS_KIND.parts(connection, window)}
    durations = [seconds for type in types if (seconds := took(connection, type))]
    figures = Figures(
        search_rate=client.rate(connection, search.SEARCH_ORDERS),
        report_seconds=max(durations, default=None),
        speed=client.speed,
    )
    return plan_orders(window, _orders_a_day(connection), figures)


def _plan(client: AmazonClient, connection: Connection, window: Window) -> Way:
    return way(planned(client, connection, window))


def _orders_a_day(connection: Connection) -> float | None:
    try:
        number = float(connection.learned[A_DAY])
    except (KeyError, ValueError):
        return None
    return number if 0 <= number < 1e9 else None


async def read_orders(context: ReadContext, cursor: Cursor | None) -> AsyncIterator[Page]:
    """Yield every order of the window. An order at the turn may be read both ways, as the same
    record.

    If a report fails, its span is searched: a report does not show whether a span has no orders.
    If reports are refused, everything is searched. If the search is refused, reports cover the last
    days too; since a report may lack the newest orders, the dataset is then incomplete. Raises
    Unknowable after the last page if orders may be missing."""
    reading = _OrdersRead(context, cursor)
    steps = (reading.order, reading.search, reading.documents)
    for step in steps if cursor else (reading.estimate, *steps):
        async for page in step():
            yield page
    if reading.lacking:
        raise Unknowable(reading.lacking)


class _OrdersRead:
    """The state of one read: `_mark` is its bookmark, `_reports` that of the reports."""

    def __init__(self, context: ReadContext, cursor: Cursor | None) -> None:
        self._context = context
        self._client = context.client
        self._connection = context.connection
        self._window = context.window
        self._started: AsyncIterator[Page] | None = None  # the search that `estimate` has started
        self._refusal: SourceError | None = None  # of the search
        self._has_reports = True
        first = opened(cursor, context.window)
        self._begin(first or OrdersBookmark(self._planned_turn()))

    def _planned_turn(self) -> datetime:
        return planned(self._client, self._connection, self._window).search_from

    def _begin(self, mark: OrdersBookmark) -> None:
        self._mark = mark
        self._past = Window(self._window.since, mark.turn)
        self._reader = ReportReader(self._for(self._past), ORDERS_KIND)
        self._by_report = mark.turn > self._window.since
        cursor = mark.reports if self._by_report else None
        self._reports = report_bookmark.opened(cursor, self._reader.parts)

    def _for(self, window: Window) -> ReadContext:
        return msgspec.structs.replace(self._context, window=window)

    @property
    def lacking(self) -> str:
        return self._mark.lacking

    async def estimate(self) -> AsyncIterator[Page]:
        """If the number of orders is unknown, estimate it by the first page of the search. If the
        search would take too long, reports cover more of the window. The estimate is stored at
        once, so that the call is not repeated after a crash."""
        if not self._by_report or _orders_a_day(self._connection) is not None:
            return
        pages_found = self._search(Window(self._mark.turn, self._window.until))
        try:
            first = await anext(pages_found)
        except Misconfigured:
            raise
        except SourceError as error:
            self._refuse(error)
            return
        mark = with_density(self._mark, first, self._window)
        if mark.turn == self._mark.turn:
            self._mark, self._started = mark, pages_found
            yield msgspec.structs.replace(self._found(first), share=0.0)
        else:
            self._begin(mark)
            yield self._wrapped(Page([], learned=first.learned), 0.0)

    # Reports are requested ------------------------------------------------------------------------

    async def order(self) -> AsyncIterator[Page]:
        """Request the reports, so that Amazon makes them during the search."""
        if not self._by_report:
            return
        try:
            async for page, mark in self._reader.order(self._reports):
                self._advance(page, mark)
                yield self._wrapped(self._with_reports(page), 0.0)
        except Misconfigured:
            raise
        except SourceError:  # a missing role, for example: the search is slower, but complete
            if self._refusal:
                raise self._refusal from None
            self._mark, self._by_report = OrdersBookmark(self._window.since), False
            self._started, self._has_reports = None, False

    # The last days are searched -------------------------------------------------------------------

    async def search(self) -> AsyncIterator[Page]:
        """Read the orders that are too new for a report; all orders if there are no reports."""
        if self._mark.searched:
            return
        if not self._mark.refused:
            try:
                async for page in self._by_search():
                    yield page
                return
            except Misconfigured:
                raise
            except Endless as error:
                self._mark_incomplete(str(error), searched=True, search=None)
                return
            except SourceError as error:
                if not self._has_reports:
                    raise
                self._refuse(error)
        async for page in self._by_late_report():
            yield page

    async def _by_search(self) -> AsyncIterator[Page]:
        rest = Window(self._mark.turn, self._window.until)
        async for page in self._started or self._search(rest):
            yield self._found(page)

    def _found(self, page: Page) -> Page:
        """Count a page of the search. Returns it with the bookmark as its cursor."""
        if self._by_report:
            self._mark = with_orders_counted(self._mark, page)
        self._count(page, search=page.cursor, searched=page.cursor is None)
        return self._beside_reports(page)

    async def _by_late_report(self) -> AsyncIterator[Page]:
        """Read the newest orders by a report after all, because the search is refused."""
        rest = Window(self._mark.turn, self._window.until)
        reader = ReportReader(self._for(rest), ORDERS_KIND)
        cursor = Cursor(self._mark.search) if self._mark.search else None
        try:
            async for page in reader.read(cursor):
                self._count(page, search=page.cursor, searched=page.cursor is None)
                yield self._beside_reports(page)
        except Misconfigured:
            raise
        except SourceError as error:
            if not self._by_report:
                raise self._refusal or error from None
            self._mark_incomplete(str(error), searched=True, search=None)

    def _beside_reports(self, page: Page) -> Page:
        if self._by_report:
            return self._wrapped(self._with_reports(page), 0.5 * (page.share or 0.0))
        return self._wrapped(page, page.share or 0.0, last=page.cursor is None)

    def _refuse(self, error: SourceError) -> None:
        """Note that the search is refused: from now on reports take its place."""
        self._refusal = error
        lag = "The newest orders come from a report, which may not contain all of them yet."
        self._mark_incomplete(f"{error} {lag}", refused=True, search=None)

    def _mark_incomplete(self, why: str, **changes: object) -> None:
        lacking = self._mark.lacking or why
        self._mark = msgspec.structs.replace(self._mark, lacking=lacking, **changes)

    # Reports are read -----------------------------------------------------------------------------

    async def documents(self) -> AsyncIterator[Page]:
        """Read the reports, one after the other. The span of one that fails is searched."""
        while self._by_report and self._reports.at < len(self._reports.orders):
            try:
                async for page, mark in self._reader.documents(self._reports):
                    self._advance(page, mark)
                    share = 0.5 + 0.5 * (page.share or 0.0)
                    yield self._wrapped(page, share, last=page.cursor is None)
            except Misconfigured:
                raise
            except SourceError as error:
                async for page in self._instead(error):
                    yield page

    async def _instead(self, error: SourceError) -> AsyncIterator[Page]:
        """Search the span of the current report; skip it if the search is also refused."""
        part = self._reader.span(self._reports)
        span = Window(part.since or self._past.since, part.until or self._past.until)
        try:
            if self._mark.refused:
                raise error
            async for page in self._search(span):
                mark = self._reports
                if page.cursor is None:
                    mark = self._reader.passed(mark)
                self._advance(page, mark, search=page.cursor)
                share = 0.5 + 0.5 * mark.at / len(mark.orders)
                yield self._wrapped(page, share, last=mark.at == len(mark.orders))
        except Misconfigured:
            raise
        except SourceError as other:
            self._reports = self._reader.passed(self._reports)
            cursor = msgspec.json.encode(self._reports).decode()
            self._mark_incomplete(str(other), search=None, reports=cursor)

    def _search(self, span: Window) -> AsyncIterator[Page]:
        cursor = Cursor(self._mark.search) if self._mark.search else None
        return pages.read(self._for(span), search.SOURCE, cursor)

    # The bookmark ---------------------------------------------------------------------------------

    def _advance(self, page: Page, mark: ReportBookmark, **changes: object) -> None:
        self._reports = mark
        self._count(page, reports=msgspec.json.encode(mark).decode(), **changes)

    def _count(self, page: Page, **changes: object) -> None:
        count = self._mark.count + len(page.records)
        self._mark = msgspec.structs.replace(self._mark, count=count, **changes)

    def _with_reports(self, page: Page) -> Page:
        """The page with the time that the reports will take, estimated from the number of orders.
        The search continues meanwhile."""
        span = self._past.until - self._past.since
        self._reader.watch.guess = report_seconds(span, self._rows_a_day()) / self._client.speed
        made = self._reader.ends(self._reports)
        estimates = [seconds for seconds in (made, page.seconds_left) if seconds is not None]
        return msgspec.structs.replace(page, seconds_left=max(estimates, default=None))

    def _rows_a_day(self) -> float:
        """Rows of a report per day, one per item: by the search once it is finished; until then by
        its first page, or by the number of orders that earlier syncs have learned."""
        mark = self._mark
        if mark.searched and mark.newest and mark.new >= ENOUGH:
            return mark.new / ((mark.newest - mark.turn) / timedelta(days=1))
        learned = _orders_a_day(self._connection)
        return mark.rows or (learned or USUAL_ORDERS_A_DAY) * ROWS_AN_ORDER

    def _wrapped(self, page: Page, share: float, last: bool = False) -> Page:
        """The page with the bookmark as its cursor; the last one with the orders per day."""
        learned = dict(page.learned)
        last = last and not self._mark.lacking
        days = (self._window.until - self._window.since) / timedelta(days=1)
        if last and days >= 1:  # a few hours say little about a day
            learned[A_DAY] = f"{self._mark.count / days:.1f}"
        cursor = None if last else Cursor(msgspec.json.encode(self._mark).decode())
        return msgspec.structs.replace(
            page,
            cursor=cursor,
            share=1.0 if last else min(share, MAX_SHARE),
            learned=learned,
        )


DATASET = AmazonDataset(search.ORDERS, read_orders, _plan)
