"""Reads orders that other datasets show and that are not stored: by search, or one by one."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from connectors.amazon import pages
from connectors.amazon.client import AmazonClient, Refused, Unknown
from connectors.amazon.completeness.plan import MARGIN, Allowance, FillPlan, plan_fill
from connectors.amazon.context import ReadContext
from connectors.amazon.orders import search
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
from connectors.completing import Gaps

SETTLED_AFTER = timedelta(days=7)
"""How old the trace of an order must be to conclude that an order unknown to Amazon does not
exist: a new one may not be visible yet."""
MOST_REFUSED = 3
"""Refused orders in a row after which no further one is requested."""


async def fill(context: ReadContext, gaps: Gaps) -> AsyncIterator[Page]:
    """Yield the missing orders.

    Raises Retryable or SourceError after the last page if some could not be read."""
    filling = _Filling(context, gaps)
    async for page in filling.by_search():
        yield page
    async for page in filling.by_id():
        yield page
    if filling.failure:
        raise filling.failure


def plan_of(client: AmazonClient, connection: Connection, gaps: Gaps) -> FillPlan:
    """The plan, by what is left of the quotas."""
    return plan_fill(
        gaps,
        *(
            Allowance(client.bucket(connection, operation).level, operation.rate, operation.burst)
            for operation in (search.SEARCH_ORDERS, GET_ORDER)
        ),
    )


class _Filling:
    """The state of one fill. `_left` are the orders that have not been read yet."""

    def __init__(self, context: ReadContext, gaps: Gaps) -> None:
        self._context = context
        self._gaps = gaps
        self._plan = plan_of(context.client, context.connection, gaps)
        self._left = {gap.key: gap.day for gap in gaps.gaps if gap.identified}
        self._refused = 0  # orders in a row that could not be read
        self.failure: SourceError | Retryable | None = None

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
        """Gaps without an id of days that were searched: orders do not explain them."""
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
        """The orders of these ids; `left` are they and those that follow. An error ends the fill,
        but what was read before it is returned."""
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
                self._refused = self._refused + 1 if single else MOST_REFUSED
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
        return self._refused >= MOST_REFUSED

    def _most(self) -> int:
        """Calls within an hour, at the published quota."""
        level = self._context.client.bucket(self._context.connection, GET_ORDER).level
        return Allowance(level, GET_ORDER.rate, GET_ORDER.burst).most
