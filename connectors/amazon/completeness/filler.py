"""Reads orders that other datasets show and that are not stored: by reports of another type, by
search, or one by one."""

from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta

import msgspec
import structlog

from connectors.amazon import pages
from connectors.amazon.client import AmazonClient, Operation, Refused, Unknown
from connectors.amazon.completeness.plan import MARGIN, Allowance, FillPlan, plan_fill
from connectors.amazon.completeness.report_plan import ReportAllowance, Span, covered, plan_reports
from connectors.amazon.completeness.second_report import SecondReports, expected_seconds
from connectors.amazon.context import ReadContext
from connectors.amazon.orders import search
from connectors.amazon.reports.desk import CREATE_REPORT, GET_DOCUMENT
from connectors.amazon.single_orders import AT_ONCE, GET_ORDER, is_elsewhere, read_order
from connectors.amazon.times import SETTLED
from connectors.base import (
    Connection,
    Misconfigured,
    Page,
    Record,
    Retryable,
    SourceError,
    Window,
)
from connectors.completing import Gap, Gaps

log = structlog.get_logger()

SETTLED_AFTER = timedelta(days=7)
"""How old the trace of an order must be to conclude that an order unknown to Amazon does not
exist: a new one may not be visible yet."""
HELPS = "orders:second-report"
"""The key under which a connection remembers whether reports by creation hold orders that those by
last update lack: YES, or the day on which one did not."""
YES = "yes"
HELPFUL = 0.5
"""The share of the missing orders that a report must contain so that others are read."""
RETRIED_AFTER = timedelta(days=7)
MAX_REFUSED = 3
"""Refused orders in a row after which no further one is requested."""


async def fill(context: ReadContext, gaps: Gaps) -> AsyncIterator[Page]:
    """Yield the missing orders.

    Raises Retryable or SourceError after the last page if some could not be read."""
    filling = _Filling(context, gaps)
    for step in (filling.by_report, filling.by_search, filling.by_id):
        async for page in step():
            yield page
    if filling.failure:
        raise filling.failure


def plan_of(client: AmazonClient, connection: Connection, gaps: Gaps) -> FillPlan:
    """The plan without reports, within the remaining quotas."""
    return plan_fill(gaps, *_allowances(client, connection, search.SEARCH_ORDERS, GET_ORDER))


def _allowances(
    client: AmazonClient, connection: Connection, *operations: Operation
) -> Sequence[Allowance]:
    return [
        Allowance(client.bucket(connection, operation).level, operation.rate, operation.burst)
        for operation in operations
    ]


class _Filling:
    """The state of one fill. `_left` are the orders that have not been read yet."""

    def __init__(self, context: ReadContext, gaps: Gaps) -> None:
        self._context = context
        self._gaps = gaps
        self._plan = plan_of(context.client, context.connection, gaps)
        self._left = {gap.key: gap.day for gap in gaps.gaps if gap.identified}
        self._refused = 0  # orders in a row that could not be read
        self.failure: SourceError | Retryable | None = None

    # By report ------------------------------------------------------------------------------------

    async def by_report(self) -> AsyncIterator[Page]:
        """Read the reports that save calls. If the first one fails, or lacks most of the orders
        that it should contain, the others are not read."""
        spans = self._reports()
        if not self._left_in(spans[:1]):
            return
        reports = SecondReports(self._context, spans)
        for number in range(len(spans)):
            wanted = self._left_in(spans[number : number + 1])
            try:
                if number == 0:
                    await reports.order()
                async for page in reports.read(number):
                    yield self._found(page)
            except Misconfigured:
                raise
            except (Retryable, SourceError) as error:
                log.info("second_report_failed", error=str(error))
            if number == 0:
                found = len(wanted - self._left.keys())
                helps = found >= HELPFUL * len(wanted)
                yield Page((), learned={HELPS: YES if helps else self._today.isoformat()})
                if not helps:
                    break
        left = [gap for gap in self._gaps.gaps if self._is_left(gap)]
        rest = msgspec.structs.replace(self._gaps, gaps=left)
        self._plan = plan_of(self._context.client, self._context.connection, rest)

    def _reports(self) -> Sequence[Span]:
        """The reports to read. After one that did not help, no other is read for a while."""
        client, connection = self._context.client, self._context.connection
        last = connection.learned.get(HELPS, "")
        if last != YES and last > (self._today - RETRIED_AFTER).isoformat():
            return ()
        seconds = expected_seconds(self._context) * client.speed
        create, documents = _allowances(client, connection, CREATE_REPORT, GET_DOCUMENT)
        by_search, by_id = _allowances(client, connection, search.SEARCH_ORDERS, GET_ORDER)
        return plan_reports(
            self._gaps, by_search, by_id, ReportAllowance(create, documents, seconds)
        )

    @property
    def _today(self) -> date:
        return self._context.clock.now().date()

    def _left_in(self, spans: Sequence[Span]) -> AbstractSet[str]:
        """The orders that these reports should contain."""
        days = set(covered([day.day for day in self._gaps.days], spans))
        return {order for order, at in self._left.items() if at in days}

    def _is_left(self, gap: Gap) -> bool:
        return not gap.identified or gap.key in self._left

    def _found(self, page: Page) -> Page:
        """The readable orders of a page that were updated on a day that was compared."""
        first = self._gaps.days[0].day
        records = [
            record
            for record in page.records
            if record.error is None and record.at and record.at.date() >= first
        ]
        for record in records:
            self._left.pop(record.id, None)
        return msgspec.structs.replace(page, records=records)

    # By search ------------------------------------------------------------------------------------

    async def by_search(self) -> AsyncIterator[Page]:
        """Search the days of the plan. If that fails, their orders are read one by one."""
        if self._plan.search is None:
            return
        window = self._window(*self._plan.search)
        context = msgspec.structs.replace(self._context, window=window)
        try:
            async for page in pages.read(context, search.SOURCE, None):
                readable = [record for record in page.records if record.error is None]
                for record in readable:
                    self._left.pop(record.id, None)
                yield Page(readable, learned=page.learned)
        except Misconfigured:
            raise
        except (Retryable, SourceError) as error:
            self.failure = error
            return
        yield Page((), absent=self._searched())

    def _window(self, first: date, last: date) -> Window:
        newest = self._context.clock.now() - SETTLED
        until = datetime.combine(last, time(), UTC) + timedelta(days=1)
        return Window(datetime.combine(first, time(), UTC) - MARGIN, min(until, newest))

    def _searched(self) -> Sequence[str]:
        """Gaps without an id on searched days: no order explains them."""
        first, last = self._plan.search or (None, None)
        return [
            gap.key
            for gap in self._gaps.gaps
            if not gap.identified and first and last and first <= gap.day <= last
        ]

    # One by one -----------------------------------------------------------------------------------

    async def by_id(self) -> AsyncIterator[Page]:
        planned = [order for order in (*self._plan.ids, *self._left) if order in self._left]
        ids = list(dict.fromkeys(planned))[: self._most()]
        if len(ids) < len(self._left):
            self.failure = SourceError(
                f"Amazon's quota for {GET_ORDER.name} allows {len(ids):,} orders within an hour."
            )
        for start in range(0, len(ids), AT_ONCE):
            yield await self._batch(ids[start : start + AT_ONCE], len(ids) - start)
            if self._given_up:
                return

    async def _batch(self, ids: Sequence[str], left: int) -> Page:
        """The orders of these ids; `left` is the number of these and all later ones. An error ends
        the fill, but the orders read before it are returned."""
        records: list[Record] = []
        absent: list[str] = []
        for order_id in ids:
            try:
                record = await read_order(self._context, order_id)
            except Unknown as error:
                if self._is_settled(order_id):
                    absent.append(order_id)
                else:
                    self.failure = error
                continue
            except Misconfigured:
                raise
            except (Retryable, SourceError) as error:
                self.failure = error
                single = isinstance(error, (Refused, pages.MalformedResponse))
                self._refused = self._refused + 1 if single else MAX_REFUSED
                if self._given_up:
                    break
                continue
            self._refused = 0
            if is_elsewhere(self._context, record.data):
                absent.append(order_id)
            else:
                records.append(record)
        client, connection = self._context.client, self._context.connection
        return Page(
            records,
            absent=absent,
            learned=client.learned(connection, [GET_ORDER]),
            seconds_left=client.bucket(connection, GET_ORDER).seconds_for(left - len(ids)),
        )

    def _is_settled(self, order_id: str) -> bool:
        return self._left[order_id] <= (self._context.clock.now() - SETTLED_AFTER).date()

    @property
    def _given_up(self) -> bool:
        return self._refused >= MAX_REFUSED

    def _most(self) -> int:
        """Calls within an hour, at the published quota."""
        level = self._context.client.bucket(self._context.connection, GET_ORDER).level
        return Allowance(level, GET_ORDER.rate, GET_ORDER.burst).most
