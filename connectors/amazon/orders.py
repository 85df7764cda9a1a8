"""Orders by the planned way: reports for the past are ordered first and made by Amazon while the
last days are searched for."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from connectors.amazon import datasets, marks, pages, reports
from connectors.amazon.client import Client
from connectors.amazon.datasets import SEARCH_ORDERS
from connectors.amazon.desk import took
from connectors.amazon.kinds import ORDERS_KIND
from connectors.amazon.plan import (
    ROWS_AN_ORDER,
    USUAL_ORDERS_A_DAY,
    Figures,
    OrdersPlan,
    plan_orders,
    recent_span,
    report_seconds,
)
from connectors.amazon.repeats import Endless
from connectors.base import (
    Clock,
    Connection,
    Cursor,
    Misconfigured,
    Page,
    Record,
    SourceError,
    Unknowable,
    Waiting,
    Window,
)

A_DAY = "orders:a-day"
"""What is learned about a connection: how many orders a day it has."""


ENOUGH = 100
"""So many items of new orders tell how many there are in a day."""


class _Both(msgspec.Struct, frozen=True, omit_defaults=True):
    """Our cursor: where reports turn to search, how far each is, the orders so far; how many items
    a day there are, by the first page; and by those that were searched for and are new, not just
    changed: how many items they have, up to when. Where search is `refused`, a report takes its
    place, and `search` is how far that is. `lacking`: why not all orders can be said to be read,
    although the reading goes to its end."""

    turn: Annotated[datetime, msgspec.Meta(tz=True)]
    reports: str | None = None
    search: str | None = None
    searched: bool = False
    count: int = 0
    rows: float = 0.0
    new: int = 0
    newest: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    refused: bool = False
    lacking: str = ""


class _Created(msgspec.Struct):
    createdTime: datetime
    lastUpdatedTime: datetime
    orderItems: list[Any]


def planned(client: Client, connection: Connection, window: Window) -> OrdersPlan:
    """The way for a window, by what earlier syncs learned: how many orders there are, what
    searchOrders' quota is, how long a report takes."""
    types = {part.type for part in ORDERS_KIND.parts(connection, window)}
    figures = Figures(
        search_rate=client.rate(connection, SEARCH_ORDERS),
        report_seconds=max(filter(None, (took(connection, each) for each in types)), default=None),
        speed=client.speed,
    )
    return plan_orders(window, _known(connection), figures)


def _known(connection: Connection) -> float | None:
    try:
        known = float(connection.learned[A_DAY])
    except (KeyError, ValueError):
        return None
    return known if 0 <= known < 1e9 else None


async def read_orders(
    client: Client,
    clock: Clock,
    connection: Connection,
    window: Window,
    cursor: Cursor | None,
    waiting: Waiting,
) -> AsyncIterator[Page]:
    """Every order of the window; one at the turn may come both ways, as the same record. A part of
    the past of which the report tells nothing is searched too: there may have been no orders, and
    a report does not tell that from a failure. All is searched where reports are refused, and
    reports tell all where search is; then not all is known, since a report may lack the newest
    orders. Raises Unknowable after the last page where something may be missing."""
    reading = _Reading(client, clock, connection, window, cursor, waiting)
    if not cursor:
        await reading.look()
    for step in (reading.order, reading.search, reading.documents):
        async for page in step():
            yield page
    if reading.lacking:
        raise Unknowable(reading.lacking)


class _Reading:
    """One reading: `both` is its bookmark, `mark` that of the reports."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        connection: Connection,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> None:
        self._client = client
        self._clock = clock
        self._connection = connection
        self._window = window
        self._waiting = waiting
        self._found: AsyncIterator[Page] | None = None  # what look began to search
        self._refusal: SourceError | None = None  # of search
        self._has_reports = True
        first = _opened(cursor, window)
        self._begin(first or _Both(planned(client, connection, window).search_from))

    def _begin(self, both: "_Both") -> None:
        self._both = both
        self._past = Window(self._window.since, both.turn)
        self._reader = reports.Reader(
            self._client, self._clock, ORDERS_KIND, self._connection, self._past, self._waiting
        )
        self._by_report = both.turn > self._window.since
        kept = both.reports if self._by_report else None
        self._mark = marks.opened(kept, self._reader.parts)

    @property
    def lacking(self) -> str:
        return self._both.lacking

    async def look(self) -> None:
        """Where nothing is known of the orders: what the first page of the search tells of how many
        there are. If it would go on for too long, reports shall tell more of them."""
        if not self._by_report or _known(self._connection) is not None:
            return
        found = self._searched(Window(self._both.turn, self._window.until))
        try:
            first = await anext(found)
        except Misconfigured:
            raise
        except SourceError as error:
            self._refuse(error)
            return
        looked = _looked(self._both, first, self._window)
        if looked.turn == self._both.turn:
            self._both, self._found = looked, _after(first, found)
        else:
            self._begin(looked)

    async def order(self) -> AsyncIterator[Page]:
        """The reports, so that Amazon makes them while the rest is searched."""
        if not self._by_report:
            return
        try:
            async for page, mark in self._reader.order(self._mark):
                self._turn(page, mark)
                yield self._wrapped(self._with_reports(page), 0.0)
        except Misconfigured:
            raise
        except SourceError:  # no role for reports, say: searching takes longer, but it tells all
            if self._refusal:
                raise self._refusal from None
            self._both, self._by_report = _Both(self._window.since), False
            self._found, self._has_reports = None, False

    async def search(self) -> AsyncIterator[Page]:
        """What is too new for a report; everything, where there are none."""
        if self._both.searched:
            return
        if not self._both.refused:
            try:
                async for page in self._by_search():
                    yield page
                return
            except Misconfigured:
                raise
            except Endless as error:
                self._lack(str(error), searched=True, search=None)
                return
            except SourceError as error:
                if not self._has_reports:
                    raise
                self._refuse(error)
        async for page in self._not_by_search():
            yield page

    async def _by_search(self) -> AsyncIterator[Page]:
        rest = Window(self._both.turn, self._window.until)
        async for page in self._found or self._searched(rest):
            self._both = _with_new(self._both, page)
            self._count(page, search=page.cursor, searched=page.cursor is None)
            yield self._beside_reports(page)

    async def _not_by_search(self) -> AsyncIterator[Page]:
        """What is too new for a report, by a report all the same: search is refused."""
        rest = Window(self._both.turn, self._window.until)
        reader = reports.Reader(
            self._client, self._clock, ORDERS_KIND, self._connection, rest, self._waiting
        )
        at = Cursor(self._both.search) if self._both.search else None
        try:
            async for page in reader.read(at):
                self._count(page, search=page.cursor, searched=page.cursor is None)
                yield self._beside_reports(page)
        except Misconfigured:
            raise
        except SourceError as error:
            if not self._by_report:
                raise self._refusal or error from None
            self._lack(str(error), searched=True, search=None)

    def _beside_reports(self, page: Page) -> Page:
        if self._by_report:
            return self._wrapped(self._with_reports(page), 0.5 * (page.share or 0.0))
        return self._wrapped(page, page.share or 0.0, last=page.cursor is None)

    def _refuse(self, error: SourceError) -> None:
        """Search is refused: from now on reports take its place."""
        self._refusal = error
        lag = "The newest orders come from a report, which may not hold all of them yet."
        self._lack(f"{error} {lag}", refused=True, search=None)

    def _lack(self, why: str, **changes: object) -> None:
        lacking = self._both.lacking or why
        self._both = msgspec.structs.replace(self._both, lacking=lacking, **changes)

    async def documents(self) -> AsyncIterator[Page]:
        """The reports, one after the other; what one does not tell is searched."""
        while self._by_report and self._mark.at < len(self._mark.orders):
            try:
                async for page, mark in self._reader.documents(self._mark):
                    self._turn(page, mark)
                    share = 0.5 + 0.5 * (page.share or 0.0)
                    yield self._wrapped(page, share, last=page.cursor is None)
            except Misconfigured:
                raise
            except SourceError as error:
                async for page in self._instead(error):
                    yield page

    async def _instead(self, error: SourceError) -> AsyncIterator[Page]:
        """What the report in work is about, by search; nothing, where that is refused too."""
        part = self._reader.span(self._mark)
        span = Window(part.since or self._past.since, part.until or self._past.until)
        try:
            if self._both.refused:
                raise error
            async for page in self._searched(span):
                mark = self._reader.passed(self._mark) if page.cursor is None else self._mark
                self._turn(page, mark, search=page.cursor)
                share = 0.5 + 0.5 * mark.at / len(mark.orders)
                yield self._wrapped(page, share, last=mark.at == len(mark.orders))
        except Misconfigured:
            raise
        except SourceError as other:
            self._mark = self._reader.passed(self._mark)
            kept = msgspec.json.encode(self._mark).decode()
            self._lack(str(other), search=None, reports=kept)

    def _searched(self, span: Window) -> AsyncIterator[Page]:
        at = Cursor(self._both.search) if self._both.search else None
        source = datasets.SOURCES[datasets.ORDERS.name]
        return pages.read(self._client, source, self._connection, span, at, self._waiting)

    def _turn(self, page: Page, mark: marks.Mark, **changes: object) -> None:
        self._mark = mark
        self._count(page, reports=msgspec.json.encode(mark).decode(), **changes)

    def _count(self, page: Page, **changes: object) -> None:
        count = self._both.count + len(page.records)
        self._both = msgspec.structs.replace(self._both, count=count, **changes)

    def _with_reports(self, page: Page) -> Page:
        """With the time that the reports will take, by what is known of how many orders there are.
        Search goes on meanwhile."""
        span = self._past.until - self._past.since
        self._reader.watch.guess = report_seconds(span, self._rows_a_day()) / self._client.speed
        made = self._reader.ends(self._mark)
        known = [each for each in (made, page.seconds_left) if each is not None]
        return msgspec.structs.replace(page, seconds_left=max(known, default=None))

    def _rows_a_day(self) -> float:
        """Of a report, a row an item: as searched, once that is done; until then by the first page,
        or by how many orders the last sync learned of."""
        both = self._both
        if both.searched and both.newest and both.new >= ENOUGH:
            return both.new / ((both.newest - both.turn) / timedelta(days=1))
        return both.rows or (_known(self._connection) or USUAL_ORDERS_A_DAY) * ROWS_AN_ORDER

    def _wrapped(self, page: Page, share: float, last: bool = False) -> Page:
        """The page with our cursor; the last one with what the reading taught."""
        learned = dict(page.learned)
        last = last and not self._both.lacking
        days = (self._window.until - self._window.since) / timedelta(days=1)
        if last and days >= 1:  # a few hours tell little of a day
            learned[A_DAY] = f"{self._both.count / days:.1f}"
        cursor = None if last else Cursor(msgspec.json.encode(self._both).decode())
        return msgspec.structs.replace(
            page,
            cursor=cursor,
            share=1.0 if last else min(share, pages.MOST_SHARE),
            learned=learned,
        )


def _looked(both: _Both, first: Page, window: Window) -> _Both:
    """What the first page of the search tells of how many orders there are; with a later turn, if
    from the planned one on more would be found than comes at once."""
    orders = [_times(record) for record in first.records if not record.error]
    if first.cursor is None or not orders:
        return both
    changed = [each.lastUpdatedTime for each in orders]
    days = max((max(changed) - min(changed)) / timedelta(days=1), 1e-3)
    turn = max(both.turn, window.until - recent_span(len(orders) / days))
    rows = sum(len(each.orderItems) for each in orders) / days
    return msgspec.structs.replace(both, turn=turn, rows=rows)


async def _after(first: Page, rest: AsyncIterator[Page]) -> AsyncIterator[Page]:
    yield first
    async for page in rest:
        yield page


def _with_new(both: _Both, page: Page) -> _Both:
    new, newest = both.new, both.newest or both.turn
    for record in page.records:
        if not record.error and (order := _times(record)).createdTime >= both.turn:
            new, newest = new + len(order.orderItems), max(newest, order.createdTime)
    return msgspec.structs.replace(both, new=new, newest=newest)


def _times(record: Record) -> _Created:
    order = msgspec.json.decode(record.data, type=_Created)
    for name in ("createdTime", "lastUpdatedTime"):
        moment: datetime = getattr(order, name)
        if not moment.tzinfo:
            setattr(order, name, moment.replace(tzinfo=UTC))
    return order


def _opened(cursor: Cursor | None, window: Window) -> _Both | None:
    """Where the cursor says; None for none, and for one that another version wrote."""
    try:
        both = msgspec.json.decode(cursor, type=_Both) if cursor else None
    except ValueError:
        return None
    return both if both and window.since <= both.turn <= window.until else None
