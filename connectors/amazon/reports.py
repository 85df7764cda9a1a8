"""Datasets that come as reports: reuse a fresh one or order one, wait for it, read its rows."""

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import msgspec

from connectors.amazon.client import Client, Operation
from connectors.amazon.tables import Malformed, Row, Table, lines, unpacked
from connectors.base import (
    Clock,
    Connection,
    Cursor,
    Page,
    Record,
    Retryable,
    Unknowable,
    Waiting,
    Window,
)

CREATE_REPORT = Operation("createReport", "/reports/2021-06-30/reports", 0.0167, 15, "POST")
GET_REPORTS = Operation("getReports", "/reports/2021-06-30/reports", 0.0222, 10)
GET_REPORT = Operation("getReport", "/reports/2021-06-30/reports/{}", 2, 15)
GET_DOCUMENT = Operation("getReportDocument", "/reports/2021-06-30/documents/{}", 0.0167, 15)

T = TypeVar("T")

ROWS_A_PAGE = 500
ROWS_A_TURN = 50
"""What is read of a document before others on the event loop get their turn."""
FIRST_POLL = 2.0
LONGEST_POLL = 30.0
REPORT_SECONDS = 60.0
"""What a report is expected to take of which nothing is known."""
POLL_SHARE = 0.05
"""The next look comes when this much more of the time has passed: so little is lost at the end."""
EARLY_SHARE = 0.5
"""The same, as long as a report is not expected yet: all that are being made share one quota of
looks, which must not be used up when they are done."""
PUNCTUAL = 1.02
"""So much longer than expected a report may take to be there at the look for it."""
DEADLINE = timedelta(hours=2)
LISTED = timedelta(days=89)
"""How far back reports can be listed: 90 days, less one, since the moment passes on the way."""
TRIES = 3
"""How often a document that comes damaged is downloaded."""
DONE, CANCELLED, FATAL = "DONE", "CANCELLED", "FATAL"
UNFINISHED = ("IN_QUEUE", "IN_PROGRESS")


class Part(msgspec.Struct, frozen=True):
    """One report to read: its type, its span, its marketplaces."""

    type: str
    marketplaces: tuple[str, ...]
    since: datetime | None = None
    until: datetime | None = None


class Kind(msgspec.Struct, frozen=True):
    """What is particular to one dataset of reports.

    `wanted` are the columns without which a document is not this report; `fresh` is how old a
    finished report may be to be used again; `key` makes the id of a record. With `numbered`, rows
    that are equal in their key are separate events, told apart by their number. `record` makes the
    JSON of the rows that follow one another under one key: of one row, unless `joined`. With
    `all_finished`, every report that Amazon still lists is read: each tells of another day.
    With `account_wide` a report for more marketplaces than are asked for tells the same. `slack`
    is how much earlier than asked for a report may end to be used again: late rows are usual, and
    the next reading brings them.
    """

    parts: Callable[[Connection, Window], Sequence[Part]]
    wanted: Sequence[str]
    key: Callable[[Row, Part, datetime], str]
    fresh: timedelta
    record: Callable[[Sequence[Row], Part, datetime], Mapping[str, object]]
    numbered: bool = False
    joined: bool = False
    all_finished: bool = False
    version: Callable[[Row], str] = lambda row: ""
    account_wide: bool = False
    slack: timedelta = timedelta(days=1)


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """A report that was ordered or found, for which part; its document, once it is known."""

    part: Annotated[int, msgspec.Meta(ge=0)]
    made_at: Annotated[datetime, msgspec.Meta(tz=True)]
    report: str
    document: str | None = None


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Our cursor: for how many parts reports are ordered, these orders, then which of them is in
    work and how many of its rows are read."""

    planned: Annotated[int, msgspec.Meta(ge=0)] = 0
    orders: tuple[Order, ...] = ()
    at: Annotated[int, msgspec.Meta(ge=0)] = 0
    rows: Annotated[int, msgspec.Meta(ge=0)] = 0


class _Report(msgspec.Struct):
    reportId: str
    reportType: str
    processingStatus: str
    createdTime: datetime
    reportDocumentId: str | None = None
    dataStartTime: datetime | None = None
    dataEndTime: datetime | None = None
    marketplaceIds: list[str] | None = None
    processingStartTime: datetime | None = None
    processingEndTime: datetime | None = None


class _Reports(msgspec.Struct):
    reports: list[_Report]
    nextToken: str | None = None


class _Created(msgspec.Struct):
    reportId: str


class _Document(msgspec.Struct):
    url: str
    compressionAlgorithm: str | None = None


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
        self._parts = kind.parts(connection, window)
        self._took: dict[str, str] = {}

    async def read(self, cursor: Cursor | None) -> AsyncIterator[Page]:
        """Order every part first, so that Amazon makes them side by side; then read each."""
        if not self._parts:
            yield Page([], share=1.0)
            return
        mark = opened(cursor, self.parts)
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
        return Mark(mark.planned, mark.orders, mark.at + 1)

    def ends(self, mark: Mark, seconds: float) -> float | None:
        """Seconds until the last of the reports is there, if each takes so many; None: all are."""
        now = self._clock.now()
        made = [each.made_at for each in mark.orders[mark.at :] if each.document is None]
        return max(0.0, seconds - (now - max(made)).total_seconds()) if made else None

    async def order(self, mark: Mark) -> AsyncIterator[tuple[Page, Mark]]:
        """Find or order what is not ordered yet. Each is kept at once, as a page without records:
        a crash must not order it again."""
        while mark.planned < len(self._parts):
            orders = await self._orders(mark.planned)
            mark = Mark(mark.planned + 1, (*mark.orders, *orders))
            yield self._page([], mark), mark

    async def documents(self, mark: Mark) -> AsyncIterator[tuple[Page, Mark]]:
        while mark.at < len(mark.orders):
            mark = await self._made(mark)
            async for page, read in self._document(mark):
                mark = read
                yield page, mark

    # Finding and ordering -----------------------------------------------------------------------

    async def _orders(self, number: int) -> list[Order]:
        """A report of the same scope that is fresh enough, else a new one."""
        found = await self._listed(self._parts[number])
        done = [each for each in found if each.processingStatus == DONE]
        fresh = self._fresh(found)
        usable = done if self._kind.all_finished else fresh[-1:]
        if self._kind.all_finished and fresh and fresh[-1] not in done:
            usable = [*done, fresh[-1]]
        orders = [
            Order(number, each.createdTime, each.reportId, each.reportDocumentId) for each in usable
        ]
        return orders if fresh else [*orders, await self._ordered(number)]

    def _fresh(self, found: Sequence[_Report]) -> list[_Report]:
        """The best comes last: a finished one before one that is being made, whoever ordered it
        (perhaps we did, and broke off before we could keep its number)."""
        now = self._clock.now()
        ages = {DONE: self._kind.fresh}
        fresh = [
            each
            for each in found
            if now - each.createdTime <= ages.get(each.processingStatus, DEADLINE)
        ]
        return sorted(fresh, key=lambda each: each.processingStatus == DONE)

    async def _listed(self, part: Part) -> list[_Report]:
        """What Amazon lists as done or being made and covers the part, oldest first."""
        back = LISTED if self._kind.all_finished else max(self._kind.fresh, DEADLINE)
        params = {
            "reportTypes": part.type,
            "processingStatuses": ",".join([DONE, *UNFINISHED]),
            "createdSince": stamp(self._clock.now() - back),
            "pageSize": "100",
        }
        listed: list[_Report] = []
        used: set[str] = set()
        while True:
            body = await self._client.call(self._connection, GET_REPORTS, params, self._waiting)
            found = _decode(body, _Reports)
            listed += found.reports
            if not found.nextToken or found.nextToken in used:
                break
            used.add(found.nextToken)
            params = {"nextToken": found.nextToken}  # which must come alone
        covering = [each for each in listed if self._covers(each, part)]
        return sorted(covering, key=lambda each: each.createdTime)

    def _covers(self, report: _Report, part: Part) -> bool:
        """Whether a report tells all that the part asks for, and nothing of other places."""
        told, asked = set(report.marketplaceIds or ()), set(part.marketplaces)
        if not (told >= asked if self._kind.account_wide else told == asked):
            return False
        if report.processingStatus == DONE and not report.reportDocumentId:
            return False
        # Where each is of another day, none covers the span of today's.
        if part.since is None or part.until is None or self._kind.all_finished:
            return True
        if report.dataStartTime is None or report.dataEndTime is None:
            return False
        end = part.until - self._kind.slack - timedelta(seconds=1)  # which is cut off on the way
        return report.dataStartTime <= part.since and report.dataEndTime >= end

    async def _ordered(self, number: int) -> Order:
        part = self._parts[number]
        body: dict[str, object] = {
            "reportType": part.type,
            "marketplaceIds": list(part.marketplaces),
        }
        if part.since and part.until:
            body |= {"dataStartTime": stamp(part.since), "dataEndTime": stamp(part.until)}
        answer = await self._client.call(
            self._connection, CREATE_REPORT, {}, self._waiting, body=body
        )
        return Order(number, self._clock.now(), _decode(answer, _Created).reportId)

    # Waiting ------------------------------------------------------------------------------------

    async def _made(self, mark: Mark) -> Mark:
        """The mark once its part's document is there. Raises Unknowable if it never will be."""
        order = mark.orders[mark.at]
        part = self._parts[order.part]
        announced = self._clock.now()
        while order.document is None:
            report = await self._look(order)
            if report.processingStatus == DONE and report.reportDocumentId:
                # Amazon's own moment: it is listed under it later, and may be part of a key.
                order = msgspec.structs.replace(
                    order, document=report.reportDocumentId, made_at=report.createdTime
                )
                self._remember(report)
                break
            if report.processingStatus == CANCELLED and (other := await self._instead(order)):
                order = other
                continue
            if report.processingStatus in (CANCELLED, FATAL):
                raise Unknowable(
                    f"Amazon ended the report {part.type} as {report.processingStatus}, without a "
                    "reason. What it would have told is unknown; a later sync asks again."
                )
            now = self._clock.now()
            if now - order.made_at > DEADLINE:
                raise Retryable(f"Amazon did not finish the report {part.type} in {DEADLINE}.")
            if now >= announced:
                announced = max(order.made_at + self._expected(part), now + timedelta(seconds=30))
                await self._waiting(announced, f"Amazon to make the report {part.type}")
            passed = (now - order.made_at).total_seconds()
            await self._clock.sleep(_pause(passed, self._expected(part).total_seconds()))
        orders = list(mark.orders)
        orders[mark.at] = order
        return msgspec.structs.replace(mark, orders=tuple(orders))

    async def _instead(self, order: Order) -> Order | None:
        """Who asks too often is cancelled, though another report of the same may be there."""
        found = self._fresh(await self._listed(self._parts[order.part]))
        others = [each for each in found if each.reportId != order.report]
        return Order(order.part, others[-1].createdTime, others[-1].reportId) if others else None

    async def _look(self, order: Order) -> _Report:
        body = await self._client.call(
            self._connection, GET_REPORT, {}, self._waiting, argument=order.report
        )
        return _decode(body, _Report)

    def _expected(self, part: Part) -> timedelta:
        """How long the last one of this type took; nothing is expected of the first."""
        known = self._took.get(_memory(part.type)) or self._connection.learned.get(
            _memory(part.type), "0"
        )
        return timedelta(seconds=float(known))

    def _remember(self, report: _Report) -> None:
        if report.processingEndTime:
            took = (report.processingEndTime - report.createdTime).total_seconds()
            self._took[_memory(report.reportType)] = f"{max(took, 0):.1f}"

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
        body = await self._client.call(
            self._connection, GET_DOCUMENT, {}, self._waiting, argument=order.document or ""
        )
        document = _decode(body, _Document)
        async with self._client.download(document.url) as download:
            packed = document.compressionAlgorithm == "GZIP"
            text = lines(unpacked(download.chunks, packed), download.charset)
            batch: list[Record] = []
            with closing(_Numbers()) as numbers:
                async for rows, records in self._records(text, part, order, numbers):
                    if rows <= mark.rows:
                        continue
                    batch += records
                    if len(batch) >= ROWS_A_PAGE:
                        mark = msgspec.structs.replace(mark, rows=rows)
                        yield self._page(batch, mark), mark
                        batch = []
        mark = self.passed(mark)
        yield self._page(batch, mark), mark

    async def _records(
        self,
        text: AsyncIterator[list[str]],
        part: Part,
        order: Order,
        numbers: "_Numbers",
    ) -> AsyncIterator[tuple[int, list[Record]]]:
        """Each record, and what cannot be read among its rows, with the number of the last row."""
        table = Table(self._kind.wanted)
        together: list[Row] = []
        spoilt: list[Record] = []
        key, number = "", 0
        async for found in text:
            for row in table.rows(found):
                if number % ROWS_A_TURN == 0:
                    await self._client.turns.mine()
                number += 1
                of = "" if isinstance(row, Malformed) else self._kind.key(row, part, order.made_at)
                if isinstance(row, Malformed) or not of.strip("/"):
                    spoilt.append(self._unreadable(number, row, order, numbers))
                    if not (together and self._kind.joined):
                        yield number, spoilt
                        spoilt = []
                    continue
                if together and of != key:
                    yield number - 1, [self._record(key, together, part, order, numbers), *spoilt]
                    together, spoilt = [], []
                key = of
                together.append(row)
                if not self._kind.joined:
                    yield number, [self._record(key, together, part, order, numbers)]
                    together = []
        if together:
            yield number, [self._record(key, together, part, order, numbers), *spoilt]
        if not number:
            # Where there is nothing to tell, Amazon ends a report as CANCELLED. A header without
            # rows is what it gives when something went wrong.
            raise Unknowable(
                f"Amazon's report {part.type} came without a single row. Whether there is nothing, "
                "or it could not be made, is unknown; a later sync asks again."
            )

    def _record(
        self, key: str, rows: Sequence[Row], part: Part, order: Order, numbers: "_Numbers"
    ) -> Record:
        if self._kind.numbered and (number := numbers.next(key)):
            key = f"{key}-{number}"
        try:
            data = msgspec.json.encode(self._kind.record(rows, part, order.made_at))
            version = self._kind.version(rows[0])
        except ValueError as error:
            return Record(key, b"{}", error=f"Cannot be read: {error}")
        name = rows[0].get("productname") or rows[0].get("title") or ""
        return Record(key, data, name, version=version)

    def _unreadable(
        self, number: int, row: Row | Malformed, order: Order, numbers: "_Numbers"
    ) -> Record:
        """Its id is made of what it says, the same at every reading; the text itself is not kept,
        for nobody knows what stands where in it."""
        why = str(row) if isinstance(row, Malformed) else "what it is about is empty"
        text = row.line if isinstance(row, Malformed) else repr(row)
        of = f"{order.made_at}" if self._kind.all_finished else ""
        digest = hashlib.blake2b(f"{order.part}{of}\t{text}".encode(), digest_size=8).hexdigest()
        key = f"unreadable-{digest}"
        if again := numbers.next(key):
            key = f"{key}-{again}"
        return Record(key, b"{}", error=f"Row {number} cannot be read: {why}")

    def _page(self, records: Sequence[Record], mark: Mark) -> Page:
        ended = mark.planned == len(self._parts) and mark.at == len(mark.orders)
        return Page(
            records=records,
            cursor=None if ended else Cursor(msgspec.json.encode(mark).decode()),
            share=mark.at / len(mark.orders) if mark.orders else 0.0,
            seconds_left=self._left(mark),
            learned={
                **self._client.learned(
                    self._connection, [CREATE_REPORT, GET_REPORTS, GET_REPORT, GET_DOCUMENT]
                ),
                **self._took,
            },
        )

    def _left(self, mark: Mark) -> float | None:
        """Until the last of the reports that are being made is expected."""
        known = [self._expected(each).total_seconds() for each in self._parts]
        return self.ends(mark, max(known, default=0.0) or REPORT_SECONDS)


def _pause(passed: float, expected: float) -> float:
    """Seconds until the next look at a report, so long after it was ordered; `expected` is 0 where
    nothing is known."""
    left = (expected or REPORT_SECONDS) * PUNCTUAL - passed
    if left <= 0:
        pause = max(FIRST_POLL, min(-left, passed * POLL_SHARE))
    elif expected:
        pause = left
    else:
        pause = min(max(FIRST_POLL, passed * EARLY_SHARE), left)
    return min(pause, LONGEST_POLL)


class _Numbers:
    """How often each key was met in a document: on disk, for a document may have millions."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a file that is gone when it is closed
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE met (key BLOB PRIMARY KEY, n INTEGER) WITHOUT ROWID")

    def next(self, key: str) -> int:
        digest = hashlib.blake2b(key.encode(), digest_size=12).digest()
        sql = """INSERT INTO met VALUES (?, 0)
                     ON CONFLICT (key) DO UPDATE SET n = n + 1 RETURNING n"""
        number: int = self._database.execute(sql, (digest,)).fetchone()[0]
        return number

    def close(self) -> None:
        self._database.close()


def opened(cursor: str | None, parts: int) -> Mark:
    try:
        mark = msgspec.json.decode(cursor, type=Mark) if cursor else Mark()
    except ValueError:
        return Mark()  # another version wrote it: from the beginning
    fits = mark.planned <= parts and all(order.part < parts for order in mark.orders)
    return mark if fits else Mark()


def _decode(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except ValueError as error:
        raise Retryable(f"Amazon's answer about a report cannot be read: {error}") from error


def _memory(report_type: str) -> str:
    return f"report:{report_type}"


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
