"""Datasets that come as reports: reuse a fresh one or order one (desk.py), wait for it, read it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from connectors.amazon.claims.places import MARKETPLACES
from connectors.amazon.client import Client
from connectors.amazon.desk import (
    CANCELLED,
    CREATE_REPORT,
    DEADLINE,
    DONE,
    FATAL,
    GET_DOCUMENT,
    GET_REPORT,
    GET_REPORTS,
    LONGEST_POLL,
    LOOKS,
    REPORT_SECONDS,
    SHORTEST,
    Desk,
    Report,
    memory,
    pause,
    took,
)
from connectors.amazon.documents import Kind, Part, Rows, whole_days
from connectors.amazon.pages import SETTLED
from connectors.amazon.tables import lines, unpacked
from connectors.base import (
    Clock,
    Connection,
    Cursor,
    Page,
    Record,
    Retryable,
    SourceError,
    Unknowable,
    Waiting,
    Window,
)

ROWS_A_PAGE = 500
PATIENCE = timedelta(minutes=10)
"""How long a sync waits until Amazon makes the report of a further marketplace."""
TRIES = 3
"""How often a document that comes damaged is downloaded."""
MARGIN = timedelta(seconds=5)
"""Amazon tells its moments in whole seconds, and its clock is not ours."""


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """A report that was ordered or found, for which part; its document, once it is known."""

    part: Annotated[int, msgspec.Meta(ge=0)]
    made_at: Annotated[datetime, msgspec.Meta(tz=True)]
    report: str
    document: str | None = None


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Our cursor: for how many parts reports are ordered, these orders, then which of them is in
    work and how many of its rows are read. Parts that will be ordered `again`, and those that are
    `lacking` in the end."""

    planned: Annotated[int, msgspec.Meta(ge=0)] = 0
    orders: tuple[Order, ...] = ()
    at: Annotated[int, msgspec.Meta(ge=0)] = 0
    rows: Annotated[int, msgspec.Meta(ge=0)] = 0
    again: tuple[Annotated[int, msgspec.Meta(ge=0)], ...] = ()
    lacking: tuple[Annotated[int, msgspec.Meta(ge=0)], ...] = ()


class Reader:
    """Reads one dataset of reports for one connection."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        kind: Kind,
        connection: Connection,
        window: Window,
        waiting: Waiting,
    ) -> None:
        self._client = client
        self._clock = clock
        self._kind = kind
        self._connection = connection
        self._waiting = waiting
        self._desk = Desk(client, clock, kind, connection, waiting)
        span = whole_days(window, clock.now() - SETTLED) if kind.whole_days else window
        self._parts = kind.parts(connection, span)
        self._took: dict[str, str] = {}
        self._ended: set[str] = set()  # the reports that came to nothing
        self.guess = 0.0
        """Seconds that a report may take of which nothing is known, where the caller can tell."""

    async def read(self, cursor: Cursor | None) -> AsyncIterator[Page]:
        """Order every part first, so that Amazon makes them side by side; then read each."""
        if not self._parts:
            yield Page([], share=1.0)
            return
        mark = opened(cursor, self.parts)
        if mark.lacking:  # a sync that goes on later may have more luck
            mark = msgspec.structs.replace(mark, again=mark.lacking, lacking=())
        async for page, ordered in self.order(mark):
            mark = ordered
            yield page
        async for page, _ in self.documents(mark):
            yield page

    @property
    def parts(self) -> int:
        return len(self._parts)

    def span(self, mark: Mark) -> Part:
        """What the report in work is about."""
        return self._parts[mark.orders[mark.at].part]

    def passed(self, mark: Mark) -> Mark:
        """The mark behind the report in work."""
        return msgspec.structs.replace(mark, at=mark.at + 1, rows=0)

    def ends(self, mark: Mark) -> float | None:
        """Seconds until the last of the reports is seen; None: all are."""
        seconds = max((self._takes(each) for each in self._parts), default=0.0) * LOOKS
        now = self._clock.now()
        made = [each.made_at for each in mark.orders[mark.at :] if each.document is None]
        return max(0.0, seconds - (now - max(made)).total_seconds()) if made else None

    async def order(self, mark: Mark) -> AsyncIterator[tuple[Page, Mark]]:
        """Find or order what is not ordered yet. Each is kept at once, as a page without records:
        a crash must not order it again."""
        if mark.planned < len(self._parts):
            listed = await self._desk.listed(self._parts[0].type)
            for number in self._unplanned(mark, listed):
                orders = (*mark.orders, *await self._orders(number, listed))
                mark = msgspec.structs.replace(mark, planned=mark.planned + 1, orders=orders)
                yield self._page([], mark), mark

    async def documents(self, mark: Mark) -> AsyncIterator[tuple[Page, Mark]]:
        """Read the reports, one after the other. Raises Unknowable for what is not told; where
        each is of a marketplace, after all others are read."""
        while mark.at < len(mark.orders) or mark.again:
            try:
                if mark.at == len(mark.orders):
                    mark = await self._ask_again(mark)
                    yield self._page([], mark), mark
                    continue
                mark = await self._made(mark)
                async for page, read in self._document(mark):
                    mark = read
                    yield page, mark
            except Unknowable:
                if self._kind.interval is None:
                    raise
                mark = await self._put_off(mark, self._kind.interval)
                yield self._page([], mark), mark
        if mark.lacking:
            raise Unknowable(self._lack(mark.lacking))

    # Finding and ordering -----------------------------------------------------------------------

    async def _orders(self, number: int, listed: Sequence[Report]) -> list[Order]:
        """A report of the same scope that is fresh enough, else a new one."""
        found = self._desk.covering(listed, self._parts[number])
        done = [each for each in found if each.processingStatus == DONE]
        fresh = self._desk.fresh(found)
        usable = done if self._kind.all_finished else fresh[-1:]
        if self._kind.all_finished and fresh and fresh[-1] not in done:
            usable = [*done, fresh[-1]]
        orders = [
            Order(number, each.createdTime, each.reportId, each.reportDocumentId) for each in usable
        ]
        return orders if fresh else [*orders, await self._ordered(number)]

    async def _ordered(self, number: int) -> Order:
        report = await self._desk.order(self._parts[number])
        return Order(number, self._clock.now(), report)

    async def _list_since(self, moment: datetime) -> Sequence[Report]:
        """For whichever part: all are of one type."""
        return await self._desk.listed_since(self._parts[0].type, moment)

    # A report for each marketplace ----------------------------------------------------------------

    def _unplanned(self, mark: Mark, listed: Sequence[Report]) -> Sequence[int]:
        """The parts that are to be ordered. If Amazon will make only the first of them, it shall be
        the one that was not made for the longest time."""
        planned = {order.part for order in mark.orders}
        numbers = [each for each in range(len(self._parts)) if each not in planned]
        if self._kind.interval is None or len(numbers) < 2:
            return numbers
        never = datetime.min.replace(tzinfo=UTC)

        def last(number: int) -> datetime:
            made = self._desk.covering(listed, self._parts[number])
            return made[-1].createdTime if made else never

        return sorted(numbers, key=last)

    async def _put_off(self, mark: Mark, interval: timedelta) -> Mark:
        """Behind a report that was not made. If Amazon made another one of the type at the time, it
        made that one instead, and this will be asked for again; else there is no telling why."""
        order = mark.orders[mark.at]
        others = [
            each
            for each in await self._list_since(order.made_at)
            if each.reportId not in self._ended
            and each.reportId != order.report
            and abs(each.createdTime - order.made_at) < interval
        ]
        if others:
            return msgspec.structs.replace(self.passed(mark), again=(*mark.again, order.part))
        return msgspec.structs.replace(self.passed(mark), lacking=(*mark.lacking, order.part))

    async def _ask_again(self, mark: Mark) -> Mark:
        """With a new order for the next part, once Amazon will make it; without, if it will not
        soon."""
        number, *rest = mark.again
        due, now = await self._due(), self._clock.now()
        if due > now + PATIENCE:
            lacking = (*mark.lacking, *mark.again)
            return msgspec.structs.replace(mark, again=(), lacking=lacking)
        if due > now:
            await self._pause(due)
        orders = (*mark.orders, await self._ordered(number))
        return msgspec.structs.replace(mark, orders=orders, again=tuple(rest))

    async def _due(self) -> datetime:
        """When Amazon makes another report of the type."""
        interval = self._kind.interval or timedelta(0)
        listed = await self._list_since(self._clock.now() - PATIENCE)
        made = [each.createdTime for each in listed]
        return max(made) + interval + MARGIN if made else self._clock.now()

    async def _pause(self, until: datetime) -> None:
        report, interval = self._parts[0].type, self._kind.interval or timedelta(0)
        minutes = interval / timedelta(minutes=1)
        why = f"the next report {report}, which Amazon makes once in {minutes:.0f} minutes"
        await self._waiting(until, f"{why} for all marketplaces")
        await self._clock.sleep((until - self._clock.now()).total_seconds())

    def _lack(self, lacking: Sequence[int]) -> str:
        parts = [self._parts[each] for each in lacking]
        places = [place for part in parts for place in part.marketplaces]
        named = ", ".join(f"{MARKETPLACES.get(each, '?')} ({each})" for each in places)
        minutes = (self._kind.interval or timedelta(0)) / timedelta(minutes=1)
        return (
            f"Amazon made no report {parts[0].type} for {named}. It makes one in {minutes:.0f} "
            "minutes, for all marketplaces together. What it would have told is unknown; a later "
            "sync asks again."
        )

    # Waiting ------------------------------------------------------------------------------------

    async def _made(self, mark: Mark) -> Mark:
        """The mark once its part's document is there. Raises Unknowable if it never will be."""
        order = mark.orders[mark.at]
        part = self._parts[order.part]
        announced = self._clock.now()
        while order.document is None:
            report = await self._desk.look(order.report)
            if report.processingStatus == DONE and report.reportDocumentId:
                # Amazon's own moment: it is listed under it later, and may be part of a key.
                order = msgspec.structs.replace(
                    order, document=report.reportDocumentId, made_at=report.createdTime
                )
                self._remember(report)
                break
            if report.processingStatus in (CANCELLED, FATAL):
                self._ended.add(order.report)
                if other := await self._instead(order):
                    order = other
                    continue
                raise Unknowable(
                    f"Amazon ended the report {part.type} as {report.processingStatus}, without a "
                    "reason. What it would have told is unknown; a later sync asks again."
                )
            now = self._clock.now()
            if now - order.made_at > DEADLINE:
                raise Retryable(f"Amazon did not finish the report {part.type} in {DEADLINE}.")
            if now >= announced:
                due = order.made_at + timedelta(seconds=self._takes(part))
                overdue = now + timedelta(seconds=LONGEST_POLL / self._client.speed)
                announced = due if due > now else overdue
                await self._waiting(announced, f"Amazon to make the report {part.type}")
            passed = (now - order.made_at).total_seconds()
            rate = self._client.bucket(self._connection, GET_REPORT).rate
            seconds = pause(passed, self._learned(part) > 0, self._takes(part), rate)
            await self._clock.sleep(seconds)
        orders = list(mark.orders)
        orders[mark.at] = order
        return msgspec.structs.replace(mark, orders=tuple(orders))

    async def _instead(self, order: Order) -> Order | None:
        """Who asks too often is cancelled, though another report of the same may be there."""
        age = max(self._kind.fresh, self._kind.stale)
        listed = await self._list_since(order.made_at)
        found = self._desk.fresh(self._desk.covering(listed, self._parts[order.part]), age)
        others = [each for each in found if each.reportId not in self._ended]
        return Order(order.part, others[-1].createdTime, others[-1].reportId) if others else None

    def _learned(self, part: Part) -> float:
        """Seconds that the last one of this type took; 0 where nothing is known."""
        known = self._took.get(memory(part.type))
        return float(known) if known else took(self._connection, part.type) or 0.0

    def _takes(self, part: Part) -> float:
        return self._learned(part) or self.guess or REPORT_SECONDS / self._client.speed

    def _remember(self, report: Report) -> None:
        if report.processingEndTime:
            seconds = (report.processingEndTime - report.createdTime).total_seconds()
            self._took[memory(report.reportType)] = f"{max(seconds, SHORTEST):.1f}"

    # Reading ------------------------------------------------------------------------------------

    async def _document(self, mark: Mark) -> AsyncIterator[tuple[Page, Mark]]:
        """The pages of one document. One that comes damaged is fetched again, and read on."""
        for tried in range(1, TRIES + 1):
            try:
                async for page, read in self._rows(mark):
                    mark = read
                    yield page, mark
                return
            except Retryable:
                if tried == TRIES:
                    raise

    async def _rows(self, mark: Mark) -> AsyncIterator[tuple[Page, Mark]]:
        order = mark.orders[mark.at]
        part = self._parts[order.part]
        document = await self._desk.document(order.document or "")
        async with self._client.download(document.url) as download:
            packed = document.compressionAlgorithm == "GZIP"
            text = lines(unpacked(download.chunks, packed), download.charset)
            batch: list[Record] = []
            found = Rows(self._kind, part, order.part, order.made_at, self._client.turns)
            rows = 0
            with closing(found):
                try:
                    async for rows, records in found.records(text):
                        if rows <= mark.rows:
                            continue
                        batch += records
                        if len(batch) >= ROWS_A_PAGE:
                            mark = msgspec.structs.replace(mark, rows=rows)
                            yield self._page(batch, mark), mark
                            batch = []
                except SourceError:  # of a document that does not end: what it told is kept
                    if batch:
                        mark = msgspec.structs.replace(mark, rows=rows)
                        yield self._page(batch, mark), mark
                    raise
        mark = self.passed(mark)
        yield self._page(batch, mark), mark

    def _page(self, records: Sequence[Record], mark: Mark) -> Page:
        ended = mark.planned == len(self._parts) and mark.at == len(mark.orders)
        ended = ended and not mark.again and not mark.lacking
        whole = len(mark.orders) + len(mark.again)
        return Page(
            records=records,
            cursor=None if ended else Cursor(msgspec.json.encode(mark).decode()),
            share=mark.at / whole if whole else 0.0,
            seconds_left=self.ends(mark),
            learned={
                **self._client.learned(
                    self._connection, [CREATE_REPORT, GET_REPORTS, GET_REPORT, GET_DOCUMENT]
                ),
                **self._took,
            },
        )


def opened(cursor: str | None, parts: int) -> Mark:
    try:
        mark = msgspec.json.decode(cursor, type=Mark) if cursor else Mark()
    except ValueError:
        return Mark()  # another version wrote it: from the beginning
    numbers = [*(order.part for order in mark.orders), *mark.again, *mark.lacking]
    fits = mark.planned <= parts and all(number < parts for number in numbers)
    return mark if fits else Mark()
