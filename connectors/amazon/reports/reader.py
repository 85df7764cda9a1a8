"""Reads datasets of reports: uses a fresh report or requests one, waits for it, reads its
document."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

import msgspec

from connectors.amazon.client import AmazonClient, Unknown
from connectors.amazon.context import AmazonDataset, ReadContext
from connectors.amazon.reports.bookmark import (
    MAX_AGAIN,
    OrderedReport,
    PendingOrder,
    ReportBookmark,
    added,
    asked_again,
    opened,
    repeated,
    with_part,
)
from connectors.amazon.reports.desk import (
    CALLS,
    CREATE_REPORT,
    DONE,
    GET_DOCUMENT,
    GET_REPORT,
    GET_REPORTS,
    LOOKS,
    MARGIN,
    REPORT_SECONDS,
    Report,
    ReportDesk,
    made,
    took,
)
from connectors.amazon.reports.documents import (
    DocumentRows,
    NoRows,
    Part,
    ReportKind,
    whole_days,
)
from connectors.amazon.reports.memory import RowMemory
from connectors.amazon.reports.tables import lines, unpacked
from connectors.amazon.reports.texts import missing, without_rows
from connectors.amazon.reports.watch import PATIENCE, ReportFailed, ReportWatch
from connectors.amazon.times import SETTLED
from connectors.base import (
    Connection,
    Cursor,
    Dataset,
    Page,
    Record,
    Retryable,
    SourceError,
    Unknowable,
    Way,
    Window,
)
from connectors.http import Gone

ROWS_A_PAGE = 500
TRIES = 3
"""How often a damaged document is downloaded."""

Steps = AsyncIterator[tuple[Page, ReportBookmark]]
"""The pages of a step, each with the bookmark after it."""


def reported(about: Dataset, kind: ReportKind) -> AmazonDataset:
    """The dataset of a kind of report."""

    def read(context: ReadContext, cursor: Cursor | None) -> AsyncIterator[Page]:
        return ReportReader(context, kind, about.name).read(cursor)

    def plan(client: AmazonClient, connection: Connection, window: Window) -> Way:
        """The plan, with the duration of the last reports, else the usual one; all reports are made
        in parallel."""
        parts = kind.parts(connection, window)
        types = {part.type for part in parts}
        durations = [seconds for type in types if (seconds := took(connection, type))]
        seconds = max(durations, default=REPORT_SECONDS / client.speed) * LOOKS
        return Way("report", seconds, len(parts) * CALLS)

    return AmazonDataset(about, read, plan)


class ReportReader:
    """Reads one dataset of reports for one connection. Without the dataset's name, a report that
    has no rows is inconclusive."""

    def __init__(self, context: ReadContext, kind: ReportKind, name: str = "") -> None:
        self._context = context
        self._clock = context.clock
        self._kind = kind
        self._desk = ReportDesk(context, kind)
        newest = context.clock.now() - SETTLED
        span = whole_days(context.window, newest) if kind.whole_days else context.window
        self._parts = kind.parts(context.connection, span)
        self._memory = RowMemory(name, kind, context.connection.learned)
        self.watch = ReportWatch(context, kind, self._desk, self._parts, self._memory)

    async def read(self, cursor: Cursor | None) -> AsyncIterator[Page]:
        """Request the reports of all parts first, so that Amazon makes them in parallel; then read
        each."""
        if not self._parts:
            yield Page([], share=1.0)
            return
        mark = opened(cursor, self.parts)
        if mark.lacking:  # a sync that resumes later may be able to get them
            mark = msgspec.structs.replace(mark, again=mark.lacking, lacking=())
        async for page, ordered in self.order(mark):
            mark = ordered
            yield page
        async for page, _ in self.documents(mark):
            yield page

    @property
    def parts(self) -> int:
        return len(self._parts)

    def span(self, mark: ReportBookmark) -> Part:
        """The part of the current report."""
        return self._parts[mark.orders[mark.at].part]

    def passed(self, mark: ReportBookmark) -> ReportBookmark:
        """The bookmark after the current report."""
        return msgspec.structs.replace(mark, at=mark.at + 1, rows=0)

    def ends(self, mark: ReportBookmark) -> float | None:
        """Seconds until the last report is expected; None if all are finished."""
        seconds = max((self.watch.takes(part) for part in self._parts), default=0.0) * LOOKS
        now = self._clock.now()
        rest = mark.orders[mark.at :]
        sent = [order.made_at for order in rest if not order.document and not order.empty]
        sent += [mark.asking.at] if mark.asking else []
        return max(0.0, seconds - (now - max(sent)).total_seconds()) if sent else None

    async def order(self, mark: ReportBookmark) -> Steps:
        """Find or request the reports that are not requested yet. Yield a page without records
        after each one, so that it is not requested again after a crash."""
        if mark.planned < len(self._parts):
            listed = await self._first_list(mark)
            for number in self._unplanned(mark, listed):
                usable, enough = self._usable(number, listed)
                if enough:
                    mark = with_part(mark, usable)
                    yield self._page([], mark), mark
                    continue
                async for page, ordered in self._order_part(mark, number, added(usable)):
                    mark = ordered
                    yield page, mark

    async def documents(self, mark: ReportBookmark) -> Steps:
        """Read the reports one after the other. One that fails is requested again as often as its
        counters allow. Raises Unknowable for one that is missing; if each part is a marketplace,
        only after all others are read."""
        while mark.at < len(mark.orders) or mark.again:
            steps = self._report if mark.at < len(mark.orders) else self._order_again
            try:
                async for page, read in steps(mark):
                    mark = read
                    yield page, mark
            except ReportFailed as failed:
                async for page, read in self._failed(mark, failed):
                    mark = read
                    yield page, mark
        if mark.lacking:
            raise Unknowable(missing([self._parts[number] for number in mark.lacking], self._kind))

    async def _report(self, mark: ReportBookmark) -> Steps:
        """Read the current report. Raises ReportFailed if it does not arrive."""
        try:
            mark = await self.watch.wait(mark)
            if mark.orders[mark.at].empty:
                yield self._nothing(mark), self.passed(mark)
                return
            async for page, read in self._document(mark):
                mark = read
                yield page, mark
        except (Unknown, Gone) as error:
            self.watch.give_up(mark.orders[mark.at])
            raise ReportFailed("lost", str(error)) from error
        except Unknowable as error:
            if not self._kind.per_marketplace or isinstance(error, ReportFailed):
                raise
            mark = await self._put_off(mark)
            yield self._page([], mark), mark

    async def _failed(self, mark: ReportBookmark, failed: ReportFailed) -> Steps:
        """Continue after a failed report: skip it, request it again or postpone it. Raises
        ReportFailed."""
        order = mark.orders[mark.at]
        later = {other.part for other in mark.orders[mark.at + 1 :]}
        if self._kind.all_finished and order.part in later:
            mark = self.passed(mark)  # it was of an earlier day, which no new report contains
            yield self._page([], mark, failed.text), mark
        elif await self._may_repeat(mark, failed):
            text = f"{failed.text} It is requested again." if failed.why != "lost" else ""
            again = repeated(failed.why)
            async for page, read in self._order_part(mark, order.part, again):
                mark = read
                yield msgspec.structs.replace(page, warning=text), mark
        elif not self._kind.per_marketplace:
            raise failed
        else:
            mark = await self._put_off(mark)
            # No warning for cancelled ones: the final error names all missing marketplaces.
            yield self._page([], mark, "" if failed.why == "cancelled" else failed.text), mark

    async def _may_repeat(self, mark: ReportBookmark, failed: ReportFailed) -> bool:
        """Whether the current report may be requested again. After FATAL only if no other report of
        the type was made in the interval: Amazon would cancel the request."""
        order = mark.orders[mark.at]
        if failed.why not in MAX_AGAIN or getattr(order, failed.why) >= MAX_AGAIN[failed.why]:
            return False
        return failed.why != "fatal" or bool(mark.asking) or not await self.watch.others(mark)

    # Finding and requesting ---------------------------------------------------------------------

    def _usable(self, number: int, listed: Sequence[Report]) -> tuple[list[OrderedReport], bool]:
        """The listed reports of a part to read, and whether one of them is fresh enough."""
        covering = self._desk.covering(listed, self._parts[number])
        done = [report for report in covering if report.processingStatus == DONE]
        fresh = self._desk.fresh(covering)
        usable = done if self._kind.all_finished else fresh[-1:]
        if self._kind.all_finished and fresh and fresh[-1] not in done:
            usable = [*done, fresh[-1]]
        orders = [
            OrderedReport(number, report.createdTime, report.reportId, report.reportDocumentId)
            for report in usable
        ]
        if not fresh and (empty := self._memory.fresh(number, self._parts[number], self._desk)):
            return [*orders, empty], True
        return orders, bool(fresh)

    async def _order_part(
        self,
        mark: ReportBookmark,
        number: int,
        then: Callable[[ReportBookmark, OrderedReport], ReportBookmark],
    ) -> Steps:
        """Request a part's report; `then` adds it to the bookmark. The pending request is stored
        first: after a crash the report is looked for in the list instead of being requested
        twice."""
        part, report = self._parts[number], None
        asked = mark.asking if mark.asking and mark.asking.part == number else None
        if asked:
            sent = self._desk.sent(await self._list_since(asked.at), part, asked)
            seen = {order.report for order in mark.orders} | self.watch.ended
            report = next((report for report in sent if report.reportId not in seen), None)
        if not asked or not report:
            asked = PendingOrder(number, self._clock.now(), part.until, before=asked)
            mark = msgspec.structs.replace(mark, asking=asked)
            yield self._page([], mark), mark
        id = report.reportId if report else await self._desk.order(part)
        self._desk.keep(part.type, id)
        made_at = report.createdTime if report else self._clock.now()
        mark = then(mark, OrderedReport(number, made_at, id, asked=asked))
        mark = msgspec.structs.replace(mark, asking=None)
        yield self._page([], mark), mark

    async def _first_list(self, mark: ReportBookmark) -> Sequence[Report]:
        """The list at the start of a read. After a crash it is remembered, since the pending
        request is also looked for in it."""
        if mark.asking:
            return await self._list_since(self._clock.now())
        return await self._desk.list_reports(self._parts[0].type)

    async def _list_since(self, moment: datetime) -> Sequence[Report]:
        """The list for any part: all parts have the same type."""
        return await self._desk.listed_since(self._parts[0].type, moment)

    # One report per marketplace -------------------------------------------------------------------

    def _unplanned(self, mark: ReportBookmark, listed: Sequence[Report]) -> Sequence[int]:
        """The parts to request. Amazon may make only the first one, so the part whose last report
        is the oldest comes first."""
        planned = {order.part for order in mark.orders}
        numbers = [number for number in range(len(self._parts)) if number not in planned]
        if not self._kind.per_marketplace or len(numbers) < 2:
            return numbers
        if asking := mark.asking:  # it may have been sent before a crash
            return sorted(numbers, key=lambda number: number != asking.part)
        never = datetime.min.replace(tzinfo=UTC)

        def last(number: int) -> datetime:
            covering = self._desk.covering(listed, self._parts[number])
            return covering[-1].createdTime if covering else never

        return sorted(numbers, key=last)

    async def _put_off(self, mark: ReportBookmark) -> ReportBookmark:
        """The bookmark after a report that was not made. If Amazon made another report of the type
        at the time, this one is requested again later; else the reason is unknown."""
        order = mark.orders[mark.at]
        if await self.watch.others(mark):
            return msgspec.structs.replace(self.passed(mark), again=(*mark.again, order.part))
        return msgspec.structs.replace(self.passed(mark), lacking=(*mark.lacking, order.part))

    async def _order_again(self, mark: ReportBookmark) -> Steps:
        """Request the next part again once Amazon accepts it; give up if that takes too long."""
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
        async for page, ordered in self._order_part(mark, number, asked_again):
            mark = ordered
            yield page, mark

    async def _due(self) -> datetime:
        """When Amazon makes another report of the type."""
        interval = self._kind.interval or timedelta(0)
        reports = made(await self._list_since(self._clock.now() - PATIENCE))
        times = [report.createdTime for report in reports]
        return max(times) + interval + MARGIN if times else self._clock.now()

    async def _pause(self, until: datetime) -> None:
        report, interval = self._parts[0].type, self._kind.interval or timedelta(0)
        minutes = interval / timedelta(minutes=1)
        why = (
            f"the next report {report}, which Amazon creates at most once in {minutes:.0f} minutes"
        )
        await self._context.waiting(until, f"{why} for all marketplaces")
        await self._clock.sleep((until - self._clock.now()).total_seconds())

    # Reading ------------------------------------------------------------------------------------

    async def _document(self, mark: ReportBookmark) -> Steps:
        """The pages of one document. If it is damaged, it is downloaded again and the read
        continues."""
        for attempt in range(1, TRIES + 1):
            try:
                async for page, read in self._rows(mark):
                    mark = read
                    yield page, mark
                return
            except Retryable:
                if attempt == TRIES:
                    raise

    async def _rows(self, mark: ReportBookmark) -> Steps:
        order, client = mark.orders[mark.at], self._context.client
        part = self._parts[order.part]
        document = await self._desk.document(order.document or "")
        async with client.download(document.url) as download:
            packed = document.compressionAlgorithm == "GZIP"
            text = lines(unpacked(download.chunks, packed), download.charset)
            batch: list[Record] = []
            content = DocumentRows(self._kind, part, order.part, order.made_at, client.turns)
            rows = 0
            with closing(content):
                try:
                    async for rows, records in content.records(text):
                        if rows <= mark.rows:
                            continue
                        batch += records
                        if len(batch) >= ROWS_A_PAGE:
                            self._memory.rows(part, order.made_at, batch)
                            mark = msgspec.structs.replace(mark, rows=rows)
                            yield self._page(batch, mark), mark
                            batch = []
                except NoRows:
                    if not self._memory.believes(part, order.made_at):
                        raise
                    yield self._nothing(mark), self.passed(mark)
                    return
                except SourceError:  # the document is too long: its records so far are kept
                    if batch:
                        self._memory.rows(part, order.made_at, batch)
                        mark = msgspec.structs.replace(mark, rows=rows)
                        yield self._page(batch, mark), mark
                    raise
        self._memory.rows(part, order.made_at, batch)
        mark = self.passed(mark)
        yield self._page(batch, mark), mark

    def _nothing(self, mark: ReportBookmark) -> Page:
        """The page for a report that shows that no data exists."""
        part, order = self.span(mark), mark.orders[mark.at]
        known = self._memory.empty(part, order)
        text = without_rows(part, self._kind, order, known.confirmed)
        page = self._page([], self.passed(mark), text)
        return msgspec.structs.replace(page, presumed_empty=not known.confirmed)

    def _page(self, records: Sequence[Record], mark: ReportBookmark, warning: str = "") -> Page:
        ended = mark.planned == len(self._parts) and mark.at == len(mark.orders)
        ended = ended and not mark.again and not mark.lacking
        whole = len(mark.orders) + len(mark.again)
        return Page(
            records=records,
            cursor=None if ended else Cursor(msgspec.json.encode(mark).decode()),
            share=mark.at / whole if whole else 0.0,
            seconds_left=self.ends(mark),
            learned={
                **self._context.client.learned(
                    self._context.connection, [CREATE_REPORT, GET_REPORTS, GET_REPORT, GET_DOCUMENT]
                ),
                **self.watch.took,
                **self._desk.learned,
                **self._memory.learned,
            },
            warning=warning,
        )
