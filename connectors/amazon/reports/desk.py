"""The Reports API for one dataset of a connection: lists and requests reports, fetches their status
and documents."""

import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from connectors.amazon.answers import UNREADABLE, decode, plain
from connectors.amazon.client import Operation
from connectors.amazon.context import ReadContext
from connectors.amazon.repeats import Repeats
from connectors.amazon.reports.bookmark import PendingOrder
from connectors.amazon.reports.documents import Part, ReportKind
from connectors.amazon.times import stamp
from connectors.base import Connection, Retryable, SourceError

CREATE_REPORT = Operation("createReport", "/reports/2021-06-30/reports", 0.0167, 15)
GET_REPORTS = Operation("getReports", "/reports/2021-06-30/reports", 0.0222, 10)
GET_REPORT = Operation("getReport", "/reports/2021-06-30/reports/{}", 2, 15)
GET_DOCUMENT = Operation("getReportDocument", "/reports/2021-06-30/documents/{}", 0.0167, 15)

FIRST_POLL = 2.0
SHORTEST_POLL = 0.5
LONGEST_POLL = 30.0
REPORT_SECONDS = 60.0
"""The expected duration of a report for which none is known."""
POLL_SHARE = 0.05
"""A pause between polls is this share of the time passed, so that little time is lost at the
end."""
EARLY_SHARE = 0.5
"""The same before a report is due: all unfinished reports share one quota of polls, which must not
be used up when they are finished."""
EARLY_CALLS = 14.0
"""Upper bound of such a pause: the time in which that quota refills by two polls per dataset."""
PUNCTUAL = 1.02
"""The poll for a report that is due comes this factor after its expected duration."""
CALLS = 3
"""Calls for a report, at least: createReport, getReport, getReportDocument."""
LOOKS = 1.025
"""The factor by which polls see a report later than it is finished."""
DEADLINE = timedelta(hours=2)
"""A report that is not finished by then is requested again once, then given up."""
LISTING_PERIOD = timedelta(days=89)
"""How far back reports can be listed: 90 days, less one, since the limit moves during the call."""
SHORTEST = 0.5
"""Seconds assumed for a report that Amazon, whose times are whole seconds, made within one."""
DONE, CANCELLED, FATAL = "DONE", "CANCELLED", "FATAL"
UNFINISHED = ("IN_QUEUE", "IN_PROGRESS")
LISTED_STATUSES = (DONE, *UNFINISHED, FATAL)
"""The reports that Amazon makes or has tried to make. One of them may be the reason why it cancels
another request."""
MARGIN = timedelta(seconds=5)
"""Amazon's times are whole seconds, and its clock may differ."""
MAX_KEPT = 200
"""The most ids of own reports stored per type; the newest are kept. Stock has a report every 30
minutes and uses it for three days."""
LONGEST_ID = 100
"""The most characters of a stored report id. Amazon's have about 12."""
LARGEST_COMPLAINT = 64 * 1024
"""The most bytes read of the document of a report that ended as FATAL."""

T = TypeVar("T")


class Report(msgspec.Struct):
    """A report as Amazon describes it."""

    reportId: str
    reportType: str
    processingStatus: str
    createdTime: datetime
    reportDocumentId: str | None = None
    dataStartTime: datetime | None = None
    dataEndTime: datetime | None = None
    marketplaceIds: list[str] | None = None
    processingEndTime: datetime | None = None

    def __post_init__(self) -> None:
        """Times without an offset are UTC."""
        for name in TIMES:
            moment = getattr(self, name)
            if moment and not moment.tzinfo:
                setattr(self, name, moment.replace(tzinfo=UTC))


TIMES = [name for name in Report.__struct_fields__ if name.endswith("Time")]


class _Reports(msgspec.Struct):
    reports: list[Report]
    nextToken: str | None = None


class _CreatedReport(msgspec.Struct):
    reportId: str


class _Complaint(msgspec.Struct):
    errorDetails: str = ""


class Document(msgspec.Struct):
    """The address and encoding of a report's document."""

    url: str
    compressionAlgorithm: str | None = None


class ReportDesk:
    """Calls the Reports API for one dataset. A list that was fetched is remembered."""

    def __init__(self, context: ReadContext, kind: ReportKind) -> None:
        self._context = context
        self._clock = context.clock
        self._kind = kind
        self._listed: Sequence[Report] = ()
        self._listed_at: datetime | None = None
        self._ours: dict[str, list[str]] = {}
        #: The ids of own reports, to be stored with the connection; empty if nothing changed.
        self.learned: dict[str, str] = {}

    # Own reports ----------------------------------------------------------------------------------

    def ours(self, report: Report) -> bool:
        """Whether this application requested it. Another application may have requested the type
        with options that the list does not show, such as a filter of events."""
        return report.reportId in self._own_ids(report.reportType)

    def keep(self, type: str, report: str) -> None:
        """Remember a report as our own."""
        if len(report) <= LONGEST_ID and not set(report) & set(",\x00"):
            others = [id for id in self._own_ids(type) if id != report]
            self._store(type, [*others, report][-MAX_KEPT:])

    def drop(self, type: str, report: str) -> None:
        """Forget a report that failed."""
        ids = self._own_ids(type)
        if report in ids:
            self._store(type, [id for id in ids if id != report])

    def _own_ids(self, type: str) -> list[str]:
        if type not in self._ours:
            text = self._context.connection.learned.get(ordered(type), "")
            self._ours[type] = text.split(",") if text else []
        return self._ours[type]

    def _store(self, type: str, ids: list[str]) -> None:
        self._ours[type] = ids
        self.learned[ordered(type)] = ",".join(ids)

    # The list -------------------------------------------------------------------------------------

    def fresh(self, reports: Sequence[Report], age: timedelta | None = None) -> list[Report]:
        """The reports that are not too old; finished ones come last."""
        now = self._clock.now()
        ages = {DONE: age or self._kind.fresh}
        fresh = [
            report
            for report in reports
            if now - report.createdTime <= ages.get(report.processingStatus, DEADLINE)
        ]
        return sorted(fresh, key=lambda report: report.processingStatus == DONE)

    def covering(self, listed: Sequence[Report], part: Part) -> list[Report]:
        """Own reports that contain the whole part, oldest first. For a kind whose finished reports
        are all read, also reports of other applications: these types have no options."""
        covering = [
            report
            for report in made(listed)
            if (self._kind.all_finished or self.ours(report)) and self.covers(report, part)
        ]
        return sorted(covering, key=lambda report: report.createdTime)

    def sent(self, listed: Sequence[Report], part: Part, asked: PendingOrder) -> list[Report]:
        """Reports that can only result from a pending request of ours whose id was not stored, or
        from one before it, oldest first: they have the same marketplaces and, to the second, the
        same span."""
        sent = [
            report
            for report in made(listed)
            if report.reportType == part.type
            and set(report.marketplaceIds or ()) == set(part.marketplaces)
            and _same(report.dataStartTime, part.since)
            and any(
                report.createdTime >= order.at - MARGIN and _same(report.dataEndTime, order.until)
                for order in asked.attempts
            )
        ]
        return sorted(sent, key=lambda report: report.createdTime)

    async def listed_since(self, type: str, moment: datetime) -> Sequence[Report]:
        """A list that is not older than a moment. One list contains all parts; a call uses up a
        quota that refills once in 45 seconds."""
        if self._listed_at is None or self._listed_at < moment:
            now = self._clock.now()
            self._listed, self._listed_at = await self.list_reports(type), now
        return self._listed

    async def list_reports(self, type: str) -> list[Report]:
        """Fetch the finished, unfinished and failed reports of a type: as far back as one may be
        used, or may be the reason why Amazon cancels one that was requested earlier."""
        back = max(self._kind.fresh, self._kind.stale, self._kind.interval or timedelta(0))
        back = LISTING_PERIOD if self._kind.all_finished else back + DEADLINE
        params = {
            "reportTypes": type,
            "processingStatuses": ",".join(LISTED_STATUSES),
            "createdSince": stamp(self._clock.now() - back),
            "pageSize": "100",
        }
        listed: list[Report] = []
        repeats = Repeats()
        while True:
            page = _decode(await self._call(GET_REPORTS, params), _Reports)
            listed += page.reports
            if not page.nextToken or repeats.note(report.reportId for report in page.reports):
                return listed  # at worst, a report that is missing here is requested again
            params = {"nextToken": page.nextToken}  # Amazon refuses further parameters

    def covers(self, report: Report, part: Part) -> bool:
        """Whether a report contains all of a part, and nothing of other marketplaces."""
        if not self._kind.covers(set(report.marketplaceIds or ()), set(part.marketplaces)):
            return False
        if report.processingStatus == DONE and not report.reportDocumentId:
            return False
        # If each report is of another day, no listed one has today's span.
        if part.since is None or part.until is None or self._kind.all_finished:
            return True
        if report.dataStartTime is None or report.dataEndTime is None:
            return False
        slack = self._kind.fresh if self._kind.slack is None else self._kind.slack
        end = part.until - slack - timedelta(seconds=1)  # parameters are cut to whole seconds
        return report.dataStartTime <= part.since and report.dataEndTime >= end

    # Requests and documents -----------------------------------------------------------------------

    async def order(self, part: Part) -> str:
        """Request a report. Returns its id."""
        body: dict[str, object] = {
            "reportType": part.type,
            "marketplaceIds": list(part.marketplaces),
        }
        if part.since and part.until:
            body |= {"dataStartTime": stamp(part.since), "dataEndTime": stamp(part.until)}
        answer = await self._call(CREATE_REPORT, body=body)
        return _decode(answer, _CreatedReport).reportId

    async def status(self, report: str) -> Report:
        """The current state of the report."""
        return _decode(await self._call(GET_REPORT, argument=report), Report)

    async def failure_reason(self, report: Report) -> str:
        """Why a report ended as FATAL, from its document; empty if that is missing or unreadable.
        The document is `{"errorDetails": text}` (Reports API use case guide, "Verify that the
        report processing is complete")."""
        if not report.reportDocumentId:
            return ""
        try:
            document = await self.document(report.reportDocumentId)
            content = bytearray()
            async with self._context.client.download(document.url) as download:
                async for chunk in download.chunks:
                    content += chunk
                    if len(content) > LARGEST_COMPLAINT:
                        return ""
            complaint = msgspec.json.decode(_unpacked(bytes(content)), type=_Complaint)
        except (SourceError, Retryable, zlib.error, *UNREADABLE):
            return ""
        return " ".join(plain(complaint.errorDetails).split())

    async def document(self, document: str) -> Document:
        """The address of a document."""
        return _decode(await self._call(GET_DOCUMENT, argument=document), Document)

    async def _call(
        self,
        operation: Operation,
        params: Mapping[str, str] | None = None,
        argument: str = "",
        body: Mapping[str, object] | None = None,
    ) -> bytes:
        context = self._context
        return await context.client.call(
            context.connection,
            operation,
            params or {},
            context.waiting,
            argument,
            body,
            role=self._kind.role,
        )


def made(listed: Sequence[Report]) -> list[Report]:
    """The listed reports without those that failed."""
    return [report for report in listed if report.processingStatus != FATAL]


def _unpacked(content: bytes) -> bytes:
    """The content without gzip, cut off at LARGEST_COMPLAINT."""
    if content.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(content, LARGEST_COMPLAINT)
    return content


def _same(listed: datetime | None, sent: datetime | None) -> bool:
    """Whether a listed time is the one that was sent; Amazon drops the fraction of a second. If
    none was sent, Amazon sets its own."""
    return sent is None or (listed is not None and stamp(listed) == stamp(sent))


def ordered(report_type: str) -> str:
    """The key under which a connection remembers the ids of its own reports of a type."""
    return f"ordered:{report_type}"


def took(connection: Connection, report_type: str) -> float | None:
    """Seconds that the last report of a type took, as the connection remembers; None if
    unknown."""
    try:
        seconds = float(connection.learned.get(duration_key(report_type), "0"))
    except ValueError:
        return None
    return seconds if 0 < seconds <= DEADLINE.total_seconds() else None


def duration_key(report_type: str) -> str:
    """The key under which a connection remembers the duration of a report type."""
    return f"report:{report_type}"


def poll_delay(passed: float, learned: bool, due: float, rate: float) -> float:
    """Seconds until the next poll of a report. `passed` and `due` count from its request; `learned`
    is whether `due` was measured or only guessed. A report may be finished earlier, since its span
    may be shorter. `rate` is the quota of polls per second, which is higher in a fast sandbox."""
    usual = max(passed * POLL_SHARE, min(FIRST_POLL, max(SHORTEST_POLL, 2 * FIRST_POLL / rate)))
    left = min(due, REPORT_SECONDS) * PUNCTUAL - passed
    if left > 0:
        early = max(usual, min(passed * EARLY_SHARE, EARLY_CALLS / rate))
        return min(left if learned else early, left, LONGEST_POLL)
    left = due * PUNCTUAL - passed
    return min(usual, LONGEST_POLL, left if left > 0 else usual)


def _decode(body: bytes, shape: type[T]) -> T:
    return decode(body, shape, "a report")
