"""Datasets that come as reports: reuse a fresh one or order one (desk.py), wait for it, read it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

import msgspec

from connectors.amazon.client import Client, Unknown
from connectors.amazon.desk import (
    CREATE_REPORT,
    DONE,
    GET_DOCUMENT,
    GET_REPORT,
    GET_REPORTS,
    LOOKS,
    MARGIN,
    Desk,
    Report,
)
from connectors.amazon.documents import Kind, Part, Rows, whole_days
from connectors.amazon.marketplaces import COUNTRIES
from connectors.amazon.marks import (
    MOST_AGAIN,
    Asked,
    Mark,
    Order,
    added,
    asked_again,
    opened,
    planned,
    repeated,
)
from connectors.amazon.pages import SETTLED
from connectors.amazon.tables import lines, unpacked
from connectors.amazon.watch import PATIENCE, Failed, Watch
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
from connectors.http import Gone

ROWS_A_PAGE = 500
TRIES = 3
"""How often a document that comes damaged is downloaded."""


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
        self.watch = Watch(client, clock, kind, connection, waiting, self._desk, self._parts)

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
        seconds = max((self.watch.takes(each) for each in self._parts), default=0.0) * LOOKS
        now = self._clock.now()
        made = [each.made_at for each in mark.orders[mark.at :] if each.document is None]
        made += [mark.asking.at] if mark.asking else []
        return max(0.0, seconds - (now - max(made)).total_seconds()) if made else None

    async def order(self, mark: Mark) -> AsyncIterator[tuple[Page, Mark]]:
        """Find or order what is not ordered yet. Each is kept at once, as a page without records:
        a crash must not order it again."""
        if mark.planned < len(self._parts):
            listed = await self._desk.listed(self._parts[0].type)
            for number in self._unplanned(mark, listed):
                found, enough = self._usable(number, listed)
                if enough:
                    mark = planned(mark, found)
                    yield self._page([], mark), mark
                    continue
                async for page, ordered in self._ask(mark, number, added(found)):
                    mark = ordered
                    yield page, mark

    async def documents(self, mark: Mark) -> AsyncIterator[tuple[Page, Mark]]:
        """Read the reports, one after the other; one that fails is ordered again, as often as its
        counts allow. Raises Unknowable for what is not told; where each is of a marketplace, after
        all others are read."""
        while mark.at < len(mark.orders) or mark.again:
            steps = self._report if mark.at < len(mark.orders) else self._ask_again
            try:
                async for page, read in steps(mark):
                    mark = read
                    yield page, mark
            except Failed as failed:
                async for page, read in self._failed(mark, failed):
                    mark = read
                    yield page, mark
        if mark.lacking:
            raise Unknowable(self._lack(mark.lacking))

    async def _report(self, mark: Mark) -> AsyncIterator[tuple[Page, Mark]]:
        """The report in work. Raises Failed if it will not come."""
        try:
            mark = await self.watch.made(mark)
            async for page, read in self._document(mark):
                mark = read
                yield page, mark
        except (Unknown, Gone) as error:
            self.watch.given_up(mark.orders[mark.at])
            raise Failed("lost", str(error)) from error
        except Unknowable as error:
            if self._kind.interval is None or isinstance(error, Failed):
                raise
            mark = await self._put_off(mark, self._kind.interval)
            yield self._page([], mark), mark

    async def _failed(self, mark: Mark, failed: Failed) -> AsyncIterator[tuple[Page, Mark]]:
        """Behind a report that failed: it is ordered again, passed over or put off. Raises
        Failed."""
        order = mark.orders[mark.at]
        if self._kind.all_finished and order.part in {e.part for e in mark.orders[mark.at + 1 :]}:
            mark = self.passed(mark)  # it was of an earlier day, which no new one tells of
            yield self._page([], mark, failed.text), mark
        elif await self._may_repeat(mark, failed):
            said = f"{failed.text} It is ordered again." if failed.why in ("fatal", "stuck") else ""
            async for page, read in self._ask(mark, order.part, repeated(failed.why)):
                mark = read
                yield msgspec.structs.replace(page, warning=said), mark
        elif self._kind.interval is None:
            raise failed
        else:
            mark = await self._put_off(mark, self._kind.interval)
            # Why one was cancelled is known: what is lacking in the end is said of all together.
            yield self._page([], mark, "" if failed.why == "cancelled" else failed.text), mark

    async def _may_repeat(self, mark: Mark, failed: Failed) -> bool:
        """Whether the report in work may be ordered again. After FATAL only if no other of the type
        was made in its interval: Amazon would cancel it."""
        order = mark.orders[mark.at]
        if failed.why not in MOST_AGAIN or getattr(order, failed.why) >= MOST_AGAIN[failed.why]:
            return False
        return failed.why != "fatal" or bool(mark.asking) or not await self.watch.others(mark)

    # Finding and ordering -----------------------------------------------------------------------

    def _usable(self, number: int, listed: Sequence[Report]) -> tuple[list[Order], bool]:
        """Reports of the same scope that are listed; whether one of them is fresh enough."""
        found = self._desk.covering(listed, self._parts[number])
        done = [each for each in found if each.processingStatus == DONE]
        fresh = self._desk.fresh(found)
        usable = done if self._kind.all_finished else fresh[-1:]
        if self._kind.all_finished and fresh and fresh[-1] not in done:
            usable = [*done, fresh[-1]]
        orders = [
            Order(number, each.createdTime, each.reportId, each.reportDocumentId) for each in usable
        ]
        return orders, bool(fresh)

    async def _ask(
        self, mark: Mark, number: int, then: Callable[[Mark, Order], Mark]
    ) -> AsyncIterator[tuple[Page, Mark]]:
        """Order a part's report; `then` makes the mark with it. That it is about to be ordered is
        kept before: after a crash it is looked for in the list, not ordered twice."""
        part, asked, report = self._parts[number], mark.asking, None
        if asked and asked.part == number:
            listed = await self._list_since(asked.at)
            known = {each.report for each in mark.orders} | self.watch.ended
            sent = self._desk.sent(listed, part, asked)
            report = next((each for each in sent if each.reportId not in known), None)
        if not asked or not report:
            asked = Asked(number, self._clock.now(), part.until)
            mark = msgspec.structs.replace(mark, asking=asked)
            yield self._page([], mark), mark
        id = report.reportId if report else await self._desk.order(part)
        self._desk.keep(part.type, id)
        made_at = report.createdTime if report else self._clock.now()
        mark = then(mark, Order(number, made_at, id, asked=asked))
        mark = msgspec.structs.replace(mark, asking=None)
        yield self._page([], mark), mark

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
        if asking := mark.asking:  # which may have been sent before a crash
            return sorted(numbers, key=lambda number: number != asking.part)
        never = datetime.min.replace(tzinfo=UTC)

        def last(number: int) -> datetime:
            made = self._desk.covering(listed, self._parts[number])
            return made[-1].createdTime if made else never

        return sorted(numbers, key=last)

    async def _put_off(self, mark: Mark, interval: timedelta) -> Mark:
        """Behind a report that was not made. If Amazon made another one of the type at the time, it
        made that one instead, and this will be asked for again; else there is no telling why."""
        order = mark.orders[mark.at]
        if await self.watch.others(mark):
            return msgspec.structs.replace(self.passed(mark), again=(*mark.again, order.part))
        return msgspec.structs.replace(self.passed(mark), lacking=(*mark.lacking, order.part))

    async def _ask_again(self, mark: Mark) -> AsyncIterator[tuple[Page, Mark]]:
        """A new order for the next part, once Amazon will make it; none if it will not soon."""
        number = mark.again[0]
        due, now = await self._due(), self._clock.now()
        sent = mark.asking is not None and mark.asking.part == number
        if due > now + PATIENCE and not sent:
            lacking = (*mark.lacking, *mark.again)
            mark = msgspec.structs.replace(mark, again=(), lacking=lacking)
            yield self._page([], mark), mark
            return
        if due > now and not sent:
            await self._pause(due)
        async for page, ordered in self._ask(mark, number, asked_again):
            mark = ordered
            yield page, mark

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
        named = ", ".join(f"{COUNTRIES.get(each, '?')} ({each})" for each in places)
        minutes = (self._kind.interval or timedelta(0)) / timedelta(minutes=1)
        return (
            f"Amazon made no report {parts[0].type} for {named}. It makes one in {minutes:.0f} "
            "minutes, for all marketplaces together. What it would have told is unknown; a later "
            "sync asks again."
        )

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

    def _page(self, records: Sequence[Record], mark: Mark, warning: str = "") -> Page:
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
                **self.watch.took,
                **self._desk.learned,
            },
            warning=warning,
        )
