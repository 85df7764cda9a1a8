"""Reads reports of orders by creation, which may contain orders that reports by last update
lack."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta

import msgspec

from connectors.amazon.completeness.report_plan import Span
from connectors.amazon.completeness.spans import DAY, starts
from connectors.amazon.context import ReadContext
from connectors.amazon.orders.report import BY_CREATION, BY_UPDATE, ORDERS_KIND
from connectors.amazon.reports.bookmark import (
    MAX_AGAIN,
    OrderedReport,
    ReportBookmark,
    with_part,
)
from connectors.amazon.reports.desk import (
    CANCELLED,
    DONE,
    FATAL,
    LOOKS,
    REPORT_SECONDS,
    ReportDesk,
    duration_key,
    took,
)
from connectors.amazon.reports.documents import Part
from connectors.amazon.reports.reader import ReportReader
from connectors.amazon.times import SETTLED
from connectors.base import Page, SourceError

PATIENCE = timedelta(minutes=5)
"""The maximum delay of a report beyond its expected time: the orders can be read without it."""
SLOWER = 0.5
"""The pause before the next poll of an unfinished report, as a share of the time passed."""


def expected_seconds(context: ReadContext) -> float:
    """Seconds until a report is expected to finish, from the duration of earlier reports."""
    known = (took(context.connection, name) for name in (BY_CREATION, BY_UPDATE))
    usual = REPORT_SECONDS / context.client.speed
    return next((seconds for seconds in known if seconds), usual) * LOOKS


class SecondReports:
    """Reports of the orders that were created in the given spans, all requested at once.
    A failed report is not requested again."""

    def __init__(self, context: ReadContext, spans: Sequence[Span]) -> None:
        newest = context.clock.now() - SETTLED
        parts = [
            Part(
                BY_CREATION,
                context.connection.settings.marketplace_ids,
                starts(span.first),
                min(starts(span.last + DAY), newest),
            )
            for span in spans
        ]
        kind = msgspec.structs.replace(ORDERS_KIND, parts=lambda connection, window: parts)
        self._context = context
        self._parts = parts
        self._desk = ReportDesk(context, kind)
        self._reader = ReportReader(context, kind)
        self._orders: list[OrderedReport] = []

    async def order(self) -> None:
        """Request all reports. Raises Retryable or SourceError."""
        for number, part in enumerate(self._parts):
            id = await self._desk.order(part)
            order = OrderedReport(
                number,
                self._context.clock.now(),
                id,
                lost=MAX_AGAIN["lost"],  # at the maximum, so that it is not requested again
                stuck=MAX_AGAIN["stuck"],
                fatal=MAX_AGAIN["fatal"],
            )
            self._orders.append(order)

    async def read(self, number: int) -> AsyncIterator[Page]:
        """Yield all orders of one report. Raises Retryable or SourceError."""
        order, learned = await self._finished(self._orders[number])
        async for page, _ in self._reader.documents(with_part(ReportBookmark(), [order])):
            yield Page(page.records, learned={**page.learned, **learned})

    async def _finished(self, order: OrderedReport) -> tuple[OrderedReport, Mapping[str, str]]:
        """Wait until the report is finished. Returns it with its document, and how long it took."""
        context, clock = self._context, self._context.clock
        pause = expected_seconds(context)
        ends = order.made_at + timedelta(seconds=pause) + PATIENCE
        pause -= (clock.now() - order.made_at).total_seconds()
        while True:
            if pause > 0:
                due = clock.now() + timedelta(seconds=pause)
                await context.waiting(due, f"Amazon to make the report {BY_CREATION}")
                await clock.sleep(pause)
            report = await self._desk.status(order.report)
            if report.processingStatus == DONE and report.reportDocumentId:
                finished = msgspec.structs.replace(order, document=report.reportDocumentId)
                if not report.processingEndTime:
                    return finished, {}
                seconds = (report.processingEndTime - report.createdTime).total_seconds()
                return finished, {duration_key(BY_CREATION): f"{seconds:.1f}"}
            if report.processingStatus in (CANCELLED, FATAL) or clock.now() > ends:
                state = report.processingStatus
                raise SourceError(f"Amazon's report {BY_CREATION} is not available: {state}.")
            pause = SLOWER * (clock.now() - order.made_at).total_seconds()
