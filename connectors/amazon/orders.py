"""Orders by the planned way: reports for the past are ordered first and made by Amazon while the
last days are searched for."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from connectors.amazon import datasets, reports
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
    both = _opened(cursor, window) or _Both(planned(connection, window).search_from)
    past = Window(window.since, both.turn)
    reader = reports.Reader(client, clock, ORDERS_KIND, connection, past, waiting)
    by_report = both.turn > window.since
    mark = reports.opened(both.reports, reader.parts) if by_report else reports.Mark()

    def search(part: Window) -> AsyncIterator[Page]:
        at = Cursor(both.search) if both.search else None
        return datasets.read(client, datasets.SOURCES["orders"], connection, part, at, waiting)

    def left(page: Page) -> Page:
        """With the time that the reports will take, by what is known of how many orders there are.
        Search goes on meanwhile."""
        density = _density(connection, both, window)
        made = reader.ends(mark, report_seconds(past.until - past.since, density))
        known = [each for each in (made, page.seconds_left) if each is not None]
        return msgspec.structs.replace(page, seconds_left=max(known, default=None))

    if by_report:
        try:
            async for page, ordered in reader.order(mark):
                mark = ordered
                both = _counted(both, page, reports=_text(mark))
                yield _wrapped(left(page), both, 0.0)
        except Misconfigured:
            raise
        except SourceError:  # no role for reports, say: searching takes longer, but it tells all
            both, by_report = _Both(window.since), False
    if not both.searched:
        async for page in search(Window(both.turn, window.until)):
            new = both.new + _created_since(page, both.turn)
            done = page.cursor is None
            both = _counted(both, page, search=page.cursor, searched=done, new=new)
            share = (page.share or 0.0) * (0.5 if by_report else 1.0)
            last = not by_report and both.searched
            yield _wrapped(left(page) if by_report else page, both, share, last, window)
    while by_report and mark.at < len(mark.orders):
        try:
            async for page, read in reader.documents(mark):
                mark = read
                both = _counted(both, page, reports=_text(mark))
                share = 0.5 + 0.5 * (page.share or 0.0)
                yield _wrapped(page, both, share, page.cursor is None, window)
        except Misconfigured:
            raise
        except SourceError:
            part = reader.span(mark)
            async for page in search(Window(part.since or past.since, part.until or past.until)):
                if page.cursor is None:
                    mark = reader.passed(mark)
                both = _counted(both, page, search=page.cursor, reports=_text(mark))
                share = 0.5 + 0.5 * mark.at / len(mark.orders)
                yield _wrapped(page, both, share, mark.at == len(mark.orders), window)


def _density(connection: Connection, both: _Both, window: Window) -> float:
    """Orders a day: as searched, once that is done; as the last sync learned, until then."""
    if both.searched:
        return both.new / max((window.until - both.turn) / timedelta(days=1), 1.0)
    return _known(connection) or USUAL_ORDERS_A_DAY


def _created_since(page: Page, moment: datetime) -> int:
    good = [record for record in page.records if not record.error]
    times = [msgspec.json.decode(each.data, type=_Created).createdTime for each in good]
    return sum((each if each.tzinfo else each.replace(tzinfo=UTC)) >= moment for each in times)


def _counted(both: _Both, page: Page, **changes: object) -> _Both:
    return msgspec.structs.replace(both, count=both.count + len(page.records), **changes)


def _wrapped(
    page: Page, both: _Both, share: float, last: bool = False, window: Window | None = None
) -> Page:
    learned = dict(page.learned)
    if last and window and (days := (window.until - window.since) / timedelta(days=1)) >= 1:
        learned[A_DAY] = f"{both.count / days:.1f}"  # a few hours tell little of a day
    cursor = None if last else Cursor(msgspec.json.encode(both).decode())
    return msgspec.structs.replace(
        page, cursor=cursor, share=1.0 if last else min(share, 0.99), learned=learned
    )


def _text(mark: reports.Mark) -> str:
    return msgspec.json.encode(mark).decode()


def _opened(cursor: Cursor | None, window: Window) -> _Both | None:
    """Where the cursor says; None for none, and for one that another version wrote."""
    try:
        both = msgspec.json.decode(cursor, type=_Both) if cursor else None
    except ValueError:
        return None
    return both if both and window.since <= both.turn <= window.until else None
