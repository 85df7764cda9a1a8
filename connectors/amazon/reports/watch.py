"""Waits for requested reports: polls at growing intervals, and handles reports that fail."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from connectors.amazon.client import Unknown
from connectors.amazon.context import ReadContext
from connectors.amazon.reports.bookmark import OrderedReport, ReportBookmark
from connectors.amazon.reports.desk import (
    CANCELLED,
    DEADLINE,
    DONE,
    FATAL,
    GET_REPORT,
    LONGEST_POLL,
    REPORT_SECONDS,
    SHORTEST,
    Report,
    ReportDesk,
    duration_key,
    made,
    poll_delay,
    took,
)
from connectors.amazon.reports.documents import Part, ReportKind
from connectors.amazon.reports.memory import RowMemory
from connectors.amazon.reports.texts import unfinished
from connectors.base import Unknowable

PATIENCE = timedelta(minutes=10)
"""How long a sync waits until Amazon makes the report of a further marketplace, or names the
document of a finished report."""


class ReportFailed(Unknowable):
    """A report will not arrive. `why` names the counter of OrderedReport that limits new
    requests."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(f"{text} Its contents are unknown; a later sync tries again.")
        self.why = why
        self.text = text


class ReportWatch:
    """Waits for the reports of one dataset and connection."""

    def __init__(
        self,
        context: ReadContext,
        kind: ReportKind,
        desk: ReportDesk,
        parts: Sequence[Part],
        memory: RowMemory,
    ) -> None:
        self._context = context
        self._clock = context.clock
        self._kind = kind
        self._desk = desk
        self._parts = parts
        self._memory = memory
        #: How long reports took, to be stored with the connection.
        self.took: dict[str, str] = {}
        #: The ids of reports that failed.
        self.ended: set[str] = set()
        #: The expected seconds of a report of unknown duration; 0 if the caller has no estimate.
        self.guess = 0.0

    async def wait(self, mark: ReportBookmark) -> ReportBookmark:
        """Wait for the document of the current report, or until Amazon shows that it is empty.
        Raises Unknowable if it will not come."""
        order = mark.orders[mark.at]
        part = self._parts[order.part]
        announced = self._clock.now()
        while order.document is None and not order.empty:
            report = await self._desk.status(order.report)
            if report.reportType != part.type:  # a source that lost our report may reuse its id
                raise Unknown(f"The report {order.report} is not of the requested type.")
            if report.processingStatus == DONE and report.reportDocumentId:
                # Amazon's time, since it is listed later and may be part of a key.
                order = msgspec.structs.replace(
                    order,
                    document=report.reportDocumentId,
                    made_at=order.keyed or report.createdTime,
                )
                self._remember(report)
                break
            if report.processingStatus in (CANCELLED, FATAL):
                self.give_up(order)
                if other := await self._instead(order):
                    order = other
                    continue
                if await self._means_no_data(report, mark):
                    order = msgspec.structs.replace(
                        order, made_at=report.createdTime, report=report.reportId, empty=True
                    )
                    break
                raise await self._failure(report, mark)
            now = self._clock.now()
            if now - order.made_at > (PATIENCE if report.processingStatus == DONE else DEADLINE):
                self.give_up(order)
                text = unfinished(part, now - order.made_at, report.processingStatus == DONE)
                raise ReportFailed("stuck", text)
            if now >= announced:
                due = order.made_at + timedelta(seconds=self.takes(part))
                overdue = now + timedelta(seconds=LONGEST_POLL / self._context.client.speed)
                announced = due if due > now else overdue
                await self._context.waiting(announced, f"Amazon to make the report {part.type}")
            await self._pause(order, part)
        orders = list(mark.orders)
        orders[mark.at] = order
        return msgspec.structs.replace(mark, orders=tuple(orders))

    async def _pause(self, order: OrderedReport, part: Part) -> None:
        """Sleep until the next poll."""
        context = self._context
        passed = (self._clock.now() - order.made_at).total_seconds()
        rate = context.client.bucket(context.connection, GET_REPORT).rate
        seconds = poll_delay(passed, self._learned(part) > 0, self.takes(part), rate)
        await context.client.finished.sleep(self._clock, seconds, order.report)

    def give_up(self, order: OrderedReport) -> None:
        """Note that a report failed."""
        self.ended.add(order.report)
        self._desk.drop(self._parts[order.part].type, order.report)

    async def _failure(self, report: Report, mark: ReportBookmark) -> ReportFailed:
        """The error for a report that Amazon ended, with Amazon's reason if it gives one."""
        part = self._parts[mark.orders[mark.at].part]
        text = f"Amazon ended the report {part.type} as {report.processingStatus}"
        if report.processingStatus == FATAL:
            why = await self._desk.failure_reason(report)
            return ReportFailed("fatal", f"{text}: {why}" if why else f"{text}, without a reason.")
        if not self._kind.per_marketplace and await self.others(mark):
            return ReportFailed(
                "cancelled",
                f"{text}, since another report of the type was requested shortly before. This "
                "application did not request that one, so it may contain less and is not used.",
            )
        if _ordered_before(mark.orders[mark.at]):
            return ReportFailed(
                "cancelled",
                f"{text}. It was requested shortly before, and Amazon's answer was lost: Amazon "
                "may have made that report instead, but does not list it.",
            )
        return ReportFailed("cancelled", f"{text}, without a reason.")

    async def _means_no_data(self, report: Report, mark: ReportBookmark) -> bool:
        """Whether a report ended as CANCELLED because there is nothing to report, and not because
        another report of the type was requested in the interval. The only other reason that Amazon
        documents is a request to cancel, which this application never sends."""
        order, interval = mark.orders[mark.at], self._kind.interval
        if report.processingStatus != CANCELLED or interval is None:
            return False
        if order.lost or order.stuck or order.fatal or _ordered_before(order):
            return False  # the report that it replaces may be the other one
        # Amazon makes the first of the reports that are requested for several marketplaces.
        later = {other.report for other in mark.orders[mark.at + 1 :]}
        others = [
            other
            for other in await self._desk.listed_since(report.reportType, order.made_at)
            if other.reportId != report.reportId
            and abs(other.createdTime - report.createdTime) < interval
            and not (other.reportId in later and other.createdTime >= report.createdTime)
        ]
        return not others and self._memory.believes(self._parts[order.part], report.createdTime)

    async def _instead(self, order: OrderedReport) -> OrderedReport | None:
        """Another report to use in place of a cancelled one. Amazon cancels requests that come too
        often; an earlier report of ours may be finished, or the request was sent twice and the id
        of the first report never arrived."""
        age, part = max(self._kind.fresh, self._kind.stale), self._parts[order.part]
        listed = await self._desk.listed_since(self._parts[0].type, order.made_at)
        candidates = self._desk.covering(listed, part)
        if order.asked:
            candidates = [*self._desk.sent(listed, part, order.asked), *candidates]
        fresh = self._desk.fresh(candidates, age)
        others = [report for report in fresh if report.reportId not in self.ended]
        if not others:
            return None
        self._desk.keep(part.type, others[-1].reportId)
        return msgspec.structs.replace(
            order, made_at=others[-1].createdTime, report=others[-1].reportId
        )

    def _learned(self, part: Part) -> float:
        """Seconds that the last report of this type took; 0 if unknown."""
        seconds = self.took.get(duration_key(part.type))
        return float(seconds) if seconds else took(self._context.connection, part.type) or 0.0

    def takes(self, part: Part) -> float:
        """Expected seconds of a report."""
        return self._learned(part) or self.guess or REPORT_SECONDS / self._context.client.speed

    def _remember(self, report: Report) -> None:
        if report.processingEndTime:
            seconds = (report.processingEndTime - report.createdTime).total_seconds()
            self.took[duration_key(report.reportType)] = f"{max(seconds, SHORTEST):.1f}"

    async def others(self, mark: ReportBookmark) -> list[Report]:
        """Other reports of the type that were requested within the interval of the current one. If
        each part has a span of its own, the reports of the other parts do not count."""
        order, interval = mark.orders[mark.at], self._kind.interval
        parts = {other.report for other in mark.orders}
        own = {order.report} if self._kind.per_marketplace else parts
        return [
            report
            for report in made(await self._desk.listed_since(self._parts[0].type, order.made_at))
            if report.reportId not in self.ended | own
            and abs(report.createdTime - order.made_at) < (interval or self._kind.fresh)
        ]


def _ordered_before(order: OrderedReport) -> bool:
    """Whether the report was requested before, and the answer to that request was lost."""
    return order.asked is not None and order.asked.before is not None
