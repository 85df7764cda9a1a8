"""The Reports API for one dataset of a connection: what is listed, what of it will do, orders."""

import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from connectors.amazon.answers import UNREADABLE, decode, plain
from connectors.amazon.client import Client, Operation
from connectors.amazon.documents import Kind, Part
from connectors.amazon.marks import Asked
from connectors.amazon.pages import stamp
from connectors.amazon.repeats import Repeats
from connectors.base import Clock, Connection, Retryable, SourceError, Waiting

CREATE_REPORT = Operation("createReport", "/reports/2021-06-30/reports", 0.0167, 15)
GET_REPORTS = Operation("getReports", "/reports/2021-06-30/reports", 0.0222, 10)
GET_REPORT = Operation("getReport", "/reports/2021-06-30/reports/{}", 2, 15)
GET_DOCUMENT = Operation("getReportDocument", "/reports/2021-06-30/documents/{}", 0.0167, 15)

FIRST_POLL = 2.0
SHORTEST_POLL = 0.5
LONGEST_POLL = 30.0
REPORT_SECONDS = 60.0
"""What a report is expected to take of which nothing is known."""
POLL_SHARE = 0.05
"""The next look comes when this much more of the time has passed: so little is lost at the end."""
EARLY_SHARE = 0.5
"""The same, as long as a report is not expected yet: all that are being made share one quota of
looks, which must not be used up when they are done."""
EARLY_CALLS = 14.0
"""But not longer than it takes that quota to grow by so many: two for each dataset."""
PUNCTUAL = 1.02
"""So much longer than expected a report may take to be there at the look for it."""
LOOKS = 1.025
"""So much longer it takes until a finished report is seen."""
DEADLINE = timedelta(hours=2)
"""How long Amazon may take for a report until it is ordered again, once, then given up."""
LISTED = timedelta(days=89)
"""How far back reports can be listed: 90 days, less one, since the moment passes on the way."""
SHORTEST = 0.5
"""Seconds: a report that was made within one second, as Amazon tells its moments, took so long."""
DONE, CANCELLED, FATAL = "DONE", "CANCELLED", "FATAL"
UNFINISHED = ("IN_QUEUE", "IN_PROGRESS")
MARGIN = timedelta(seconds=5)
"""Amazon tells its moments in whole seconds, and its clock is not ours."""
MOST_KEPT = 200
"""How many ids of our reports are kept for each type, the newest; stock has one in 30 minutes, and
is used for three days."""
LONGEST_ID = 100
"""Characters of a report's id that is kept. Amazon's have about 12."""
LARGEST_COMPLAINT = 64 * 1024
"""Bytes of the document of a report that ended as FATAL."""

T = TypeVar("T")


class Report(msgspec.Struct):
    """What Amazon says of a report."""

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

    def __post_init__(self) -> None:
        """Moments without an offset are in UTC."""
        for name in MOMENTS:
            moment = getattr(self, name)
            if moment and not moment.tzinfo:
                setattr(self, name, moment.replace(tzinfo=UTC))


MOMENTS = [name for name in Report.__struct_fields__ if name.endswith("Time")]


class _Reports(msgspec.Struct):
    reports: list[Report]
    nextToken: str | None = None


class _Created(msgspec.Struct):
    reportId: str


class _Complaint(msgspec.Struct):
    errorDetails: str = ""


class Document(msgspec.Struct):
    """Where a report can be downloaded."""

    url: str
    compressionAlgorithm: str | None = None


class Desk:
    """Where the reports of a dataset are ordered. A list that was fetched is remembered."""

    def __init__(
        self, client: Client, clock: Clock, kind: Kind, connection: Connection, waiting: Waiting
    ) -> None:
        self._client = client
        self._clock = clock
        self._kind = kind
        self._connection = connection
        self._waiting = waiting
        self._listed: Sequence[Report] = ()
        self._listed_at: datetime | None = None
        self._ours: dict[str, list[str]] = {}
        self.learned: dict[str, str] = {}
        """The ids of our reports, to be kept with the connection; empty without a change."""

    # Which are ours -------------------------------------------------------------------------------

    def ours(self, report: Report) -> bool:
        """Whether this application ordered it. Another one may have ordered a report of the same
        type with options that a list does not tell: one kind of events only, say."""
        return report.reportId in self._kept(report.reportType)

    def keep(self, type: str, report: str) -> None:
        """Remember that it is ours."""
        if len(report) <= LONGEST_ID and not set(report) & set(",\x00"):
            others = [each for each in self._kept(type) if each != report]
            self._keep(type, [*others, report][-MOST_KEPT:])

    def drop(self, type: str, report: str) -> None:
        """Forget a report that came to nothing."""
        kept = self._kept(type)
        if report in kept:
            self._keep(type, [each for each in kept if each != report])

    def _kept(self, type: str) -> list[str]:
        if type not in self._ours:
            text = self._connection.learned.get(ordered(type), "")
            self._ours[type] = text.split(",") if text else []
        return self._ours[type]

    def _keep(self, type: str, kept: list[str]) -> None:
        self._ours[type] = kept
        self.learned[ordered(type)] = ",".join(kept)

    # What is listed -------------------------------------------------------------------------------

    def fresh(self, found: Sequence[Report], age: timedelta | None = None) -> list[Report]:
        """The best comes last: a finished one before one that is being made."""
        now = self._clock.now()
        ages = {DONE: age or self._kind.fresh}
        fresh = [
            each
            for each in found
            if now - each.createdTime <= ages.get(each.processingStatus, DEADLINE)
        ]
        return sorted(fresh, key=lambda each: each.processingStatus == DONE)

    def covering(self, listed: Sequence[Report], part: Part) -> list[Report]:
        """Those of ours that tell all of the part, oldest first. Where each finished one tells of
        another day, everybody's: such reports have no options."""
        covering = [
            each
            for each in listed
            if (self._kind.all_finished or self.ours(each)) and self._covers(each, part)
        ]
        return sorted(covering, key=lambda each: each.createdTime)

    def sent(self, listed: Sequence[Report], part: Part, asked: Asked) -> list[Report]:
        """Those that can only be what we ordered then, though their id was never kept, oldest
        first: of the same marketplaces and to the second of the same span."""
        found = [
            each
            for each in listed
            if each.reportType == part.type
            and set(each.marketplaceIds or ()) == set(part.marketplaces)
            and each.createdTime >= asked.at - MARGIN
            and _same(each.dataStartTime, part.since)
            and _same(each.dataEndTime, asked.until)
        ]
        return sorted(found, key=lambda each: each.createdTime)

    async def listed_since(self, type: str, moment: datetime) -> Sequence[Report]:
        """What is listed then or later. A list costs a call of a quota that grows by one in 45
        seconds, and all parts are in it."""
        if self._listed_at is None or self._listed_at < moment:
            now = self._clock.now()
            self._listed, self._listed_at = await self.listed(type), now
        return self._listed

    async def listed(self, type: str) -> list[Report]:
        """What Amazon lists of a type as done or being made."""
        back = max(self._kind.fresh, self._kind.stale, DEADLINE)
        back = LISTED if self._kind.all_finished else back
        params = {
            "reportTypes": type,
            "processingStatuses": ",".join([DONE, *UNFINISHED]),
            "createdSince": stamp(self._clock.now() - back),
            "pageSize": "100",
        }
        listed: list[Report] = []
        repeats = Repeats()
        while True:
            found = _decode(await self._call(GET_REPORTS, params), _Reports)
            listed += found.reports
            if not found.nextToken or repeats.note(each.reportId for each in found.reports):
                return listed  # what is not listed is at worst ordered, though it was there
            params = {"nextToken": found.nextToken}  # which must come alone

    def _covers(self, report: Report, part: Part) -> bool:
        """Whether a report tells all that the part asks for, and nothing of other places."""
        if not self._kind.covers(set(report.marketplaceIds or ()), set(part.marketplaces)):
            return False
        if report.processingStatus == DONE and not report.reportDocumentId:
            return False
        # Where each is of another day, none covers the span of today's.
        if part.since is None or part.until is None or self._kind.all_finished:
            return True
        if report.dataStartTime is None or report.dataEndTime is None:
            return False
        slack = self._kind.fresh if self._kind.slack is None else self._kind.slack
        end = part.until - slack - timedelta(seconds=1)  # which is cut off on the way
        return report.dataStartTime <= part.since and report.dataEndTime >= end

    async def order(self, part: Part) -> str:
        """A new report; its number."""
        body: dict[str, object] = {
            "reportType": part.type,
            "marketplaceIds": list(part.marketplaces),
        }
        if part.since and part.until:
            body |= {"dataStartTime": stamp(part.since), "dataEndTime": stamp(part.until)}
        answer = await self._call(CREATE_REPORT, body=body)
        return _decode(answer, _Created).reportId

    async def look(self, report: str) -> Report:
        return _decode(await self._call(GET_REPORT, argument=report), Report)

    async def complaint(self, report: Report) -> str:
        """Why a report ended as FATAL, by its document, as text for a message; empty if it has none
        or none that can be read. Its JSON is `{"errorDetails": text}` (Reports API use case guide,
        "Verify that the report processing is complete")."""
        if not report.reportDocumentId:
            return ""
        try:
            found = await self.document(report.reportDocumentId)
            content = bytearray()
            async with self._client.download(found.url) as download:
                async for chunk in download.chunks:
                    content += chunk
                    if len(content) > LARGEST_COMPLAINT:
                        return ""
            said = msgspec.json.decode(_unpacked(bytes(content)), type=_Complaint)
        except (SourceError, Retryable, zlib.error, *UNREADABLE):
            return ""
        return " ".join(plain(said.errorDetails).split())

    async def document(self, document: str) -> Document:
        return _decode(await self._call(GET_DOCUMENT, argument=document), Document)

    async def _call(
        self,
        operation: Operation,
        params: Mapping[str, str] | None = None,
        argument: str = "",
        body: Mapping[str, object] | None = None,
    ) -> bytes:
        return await self._client.call(
            self._connection,
            operation,
            params or {},
            self._waiting,
            argument,
            body,
            role=self._kind.role,
        )


def _unpacked(content: bytes) -> bytes:
    """Without gzip, cut off where it becomes too large."""
    if content.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(content, LARGEST_COMPLAINT)
    return content


def _same(told: datetime | None, asked: datetime | None) -> bool:
    """Whether a moment comes back as it was sent, without its fraction of a second. Where none was
    sent, Amazon sets its own."""
    return asked is None or (told is not None and stamp(told) == stamp(asked))


def ordered(report_type: str) -> str:
    """The key of the ids of the reports that we ordered, of a type."""
    return f"ordered:{report_type}"


def took(connection: Connection, report_type: str) -> float | None:
    """Seconds that the last report of this type took, as the connection remembers; None where
    nothing is known."""
    try:
        seconds = float(connection.learned.get(memory(report_type), "0"))
    except ValueError:
        return None
    return seconds if 0 < seconds <= DEADLINE.total_seconds() else None


def memory(report_type: str) -> str:
    """The key of what was learned of a type."""
    return f"report:{report_type}"


def pause(passed: float, learned: bool, due: float, rate: float) -> float:
    """Seconds until the next look at a report, so long after it was ordered, which is due so long
    after: as was learned, or only guessed. It may take less, being of a shorter time. `rate` is how
    many looks a second there may be: more than usual, where time goes faster."""
    usual = max(passed * POLL_SHARE, min(FIRST_POLL, max(SHORTEST_POLL, 2 * FIRST_POLL / rate)))
    left = min(due, REPORT_SECONDS) * PUNCTUAL - passed
    if left > 0:
        early = max(usual, min(passed * EARLY_SHARE, EARLY_CALLS / rate))
        return min(left if learned else early, left, LONGEST_POLL)
    left = due * PUNCTUAL - passed
    return min(usual, LONGEST_POLL, left if left > 0 else usual)


def _decode(body: bytes, shape: type[T]) -> T:
    return decode(body, shape, "a report")
