"""The Reports API for one dataset of a connection: what is listed, what of it will do, orders."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from connectors.amazon.client import Client, Operation
from connectors.amazon.documents import Kind, Part
from connectors.amazon.pages import stamp
from connectors.amazon.repeats import Repeats
from connectors.base import Clock, Connection, Retryable, Waiting

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
"""How long Amazon may take for a report until it is given up."""
LISTED = timedelta(days=89)
"""How far back reports can be listed: 90 days, less one, since the moment passes on the way."""
DONE, CANCELLED, FATAL = "DONE", "CANCELLED", "FATAL"
UNFINISHED = ("IN_QUEUE", "IN_PROGRESS")

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


class _Reports(msgspec.Struct):
    reports: list[Report]
    nextToken: str | None = None


class _Created(msgspec.Struct):
    reportId: str


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

    def fresh(self, found: Sequence[Report], age: timedelta | None = None) -> list[Report]:
        """The best comes last: a finished one before one that is being made, whoever ordered it
        (perhaps we did, and broke off before we could keep its number)."""
        now = self._clock.now()
        ages = {DONE: age or self._kind.fresh}
        fresh = [
            each
            for each in found
            if now - each.createdTime <= ages.get(each.processingStatus, DEADLINE)
        ]
        return sorted(fresh, key=lambda each: each.processingStatus == DONE)

    def covering(self, listed: Sequence[Report], part: Part) -> list[Report]:
        """Those that tell all of the part, oldest first."""
        covering = [each for each in listed if self._covers(each, part)]
        return sorted(covering, key=lambda each: each.createdTime)

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
    try:
        return msgspec.json.decode(body, type=shape)
    except ValueError as error:
        raise Retryable(f"Amazon's answer about a report cannot be read: {error}") from error
