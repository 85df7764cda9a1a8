"""Orders by the planned way: reports for the past are ordered first and made by Amazon while the
last days are searched for."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from connectors.amazon import datasets, pages, reports
from connectors.amazon.client import Client
from connectors.amazon.kinds import ORDERS_KIND
from connectors.amazon.plan import (
    USUAL_ORDERS_A_DAY,
    OrdersPlan,
    plan_orders,
    report_seconds,
)
from connectors.base import (
    Clock,
    Connection,
    Cursor,
    Misconfigured,
    Page,
    SourceError,
    Waiting,
    Window,
)

A_DAY = "orders:a-day"
"""What is learned about a connection: how many orders a day it has."""


class _Both(msgspec.Struct, frozen=True, omit_defaults=True):
    """Our cursor: where reports turn to search, how far each is, the orders so far; and how many of
    those that were searched for are new, not just changed."""

    turn: Annotated[datetime, msgspec.Meta(tz=True)]
    reports: str | None = None
    search: str | None = None
    searched: bool = False
    count: int = 0
    new: int = 0


class _Created(msgspec.Struct):
    createdTime: datetime


def planned(connection: Connection, window: Window) -> OrdersPlan:
    """The way for a window, by what the last sync learned of how many orders there are."""
    return plan_orders(window, _known(connection))


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
    a report does not tell that from a failure. All is searched where reports are refused."""
    reading = _Reading(client, clock, connection, window, cursor, waiting)
    for step in (reading.order, reading.search, reading.documents):
        async for page in step():
            yield page


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
        self._connection = connection
        self._window = window
        self._waiting = waiting
        self._both = _opened(cursor, window) or _Both(planned(connection, window).search_from)
        self._past = Window(window.since, self._both.turn)
        self._reader = reports.Reader(client, clock, ORDERS_KIND, connection, self._past, waiting)
        self._by_report = self._both.turn > window.since
        kept = self._both.reports if self._by_report else None
        self._mark = reports.opened(kept, self._reader.parts)

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
            self._both, self._by_report = _Both(self._window.since), False

    async def search(self) -> AsyncIterator[Page]:
        """What is too new for a report; everything, where there are none."""
        if self._both.searched:
            return
        turn = self._both.turn
        async for page in self._searched(Window(turn, self._window.until)):
            self._count(
                page,
                search=page.cursor,
                searched=page.cursor is None,
                new=self._both.new + _created_since(page, turn),
            )
            if self._by_report:
                yield self._wrapped(self._with_reports(page), 0.5 * (page.share or 0.0))
            else:
                yield self._wrapped(page, page.share or 0.0, last=page.cursor is None)

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
            except SourceError:
                async for page in self._instead():
                    yield page

    async def _instead(self) -> AsyncIterator[Page]:
        """What the report in work is about, by search."""
        part = self._reader.span(self._mark)
        span = Window(part.since or self._past.since, part.until or self._past.until)
        async for page in self._searched(span):
            mark = self._reader.passed(self._mark) if page.cursor is None else self._mark
            self._turn(page, mark, search=page.cursor)
            share = 0.5 + 0.5 * mark.at / len(mark.orders)
            yield self._wrapped(page, share, last=mark.at == len(mark.orders))

    def _searched(self, span: Window) -> AsyncIterator[Page]:
        at = Cursor(self._both.search) if self._both.search else None
        source = datasets.SOURCES[datasets.ORDERS.name]
        return pages.read(self._client, source, self._connection, span, at, self._waiting)

    def _turn(self, page: Page, mark: reports.Mark, **changes: object) -> None:
        self._mark = mark
        self._count(page, reports=msgspec.json.encode(mark).decode(), **changes)

    def _count(self, page: Page, **changes: object) -> None:
        count = self._both.count + len(page.records)
        self._both = msgspec.structs.replace(self._both, count=count, **changes)

    def _with_reports(self, page: Page) -> Page:
        """With the time that the reports will take, by what is known of how many orders there are.
        Search goes on meanwhile."""
        span = self._past.until - self._past.since
        made = self._reader.ends(self._mark, report_seconds(span, self._density()))
        known = [each for each in (made, page.seconds_left) if each is not None]
        return msgspec.structs.replace(page, seconds_left=max(known, default=None))

    def _density(self) -> float:
        """Orders a day: as searched, once that is done; as the last sync learned, until then."""
        if self._both.searched:
            days = (self._window.until - self._both.turn) / timedelta(days=1)
            return self._both.new / max(days, 1.0)
        return _known(self._connection) or USUAL_ORDERS_A_DAY

    def _wrapped(self, page: Page, share: float, last: bool = False) -> Page:
        """The page with our cursor; the last one with what the reading taught."""
        learned = dict(page.learned)
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


def _created_since(page: Page, moment: datetime) -> int:
    good = [record for record in page.records if not record.error]
    times = [msgspec.json.decode(each.data, type=_Created).createdTime for each in good]
    return sum((each if each.tzinfo else each.replace(tzinfo=UTC)) >= moment for each in times)


def _opened(cursor: Cursor | None, window: Window) -> _Both | None:
    """Where the cursor says; None for none, and for one that another version wrote."""
    try:
        both = msgspec.json.decode(cursor, type=_Both) if cursor else None
    except ValueError:
        return None
    return both if both and window.since <= both.turn <= window.until else None
