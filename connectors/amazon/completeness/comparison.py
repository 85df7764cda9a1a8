"""Compares the stored orders with the datasets that name orders or count shipped units. Pure: no
network, no clock.

A trace proves a gap only if the order lies in the span of time that was read, given the known delay
of its witness. An order of another marketplace or channel is not a gap.

A later comparison judges only traces that have changed, that lie on short days, or that the earlier
spans of time could not decide."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta

from connectors.amazon.completeness import rows
from connectors.amazon.completeness.shipped import (
    ShippedComparison,
    Unexplained,
    unread_shipments,
)
from connectors.amazon.completeness.spans import DAY, days_from, starts, stretches
from connectors.base import Record, Window
from connectors.completing import Compared, DatasetDay, DayState, Gap, Gaps, StoredRows

ORDERS = "orders"
TRANSACTIONS, RETURNS, REIMBURSEMENTS = "transactions", "returns", "reimbursements"
LEDGER = "ledger"
WITNESSES = (TRANSACTIONS, RETURNS, REIMBURSEMENTS, LEDGER)
MAX_POSTING_DELAY = timedelta(hours=48)
"""The longest delay from a shipment to its transaction."""
USUAL_RETURN_DELAY = timedelta(days=35)
USUAL_REIMBURSEMENT_DELAY = timedelta(days=120)
"""The usual delay from an order to its return or reimbursement."""
SETTLED = timedelta(days=5)
"""The age from which transactions and orders surely show a shipment."""
EDGE = timedelta(days=3)
"""Days at the start of a span in which the ledger's units cannot be matched with orders."""
MAX_GAPS = 5_000
"""The most gaps that are listed. All are counted."""
TRACES: Mapping[str, tuple[Callable[[Iterable[Record]], Iterator[rows.Trace]], timedelta]] = {
    RETURNS: (rows.returns, USUAL_RETURN_DELAY),
    REIMBURSEMENTS: (rows.reimbursements, USUAL_REIMBURSEMENT_DELAY),
}
"""The reader of the traces in a dataset, and their delay."""


def compare(
    stored: StoredRows, windows: Mapping[str, Window], marketplaces: Sequence[str]
) -> Gaps | None:
    """The days of the orders and their gaps; None if no span of orders was read completely."""
    if ORDERS not in windows:
        return None
    return _Comparison(stored, windows, frozenset(marketplaces)).gaps()


def days_of_witness(stored: StoredRows, dataset: str, window: Window) -> Gaps:
    """The days of another dataset. No source shows whether they lack records."""
    counts = stored.per_day(dataset)
    return Gaps(
        dataset,
        [
            DatasetDay(at, "single_sourced", counts.get(at, 0), filled="single_sourced")
            for at in days_from(window.since.date(), window.until.date())
        ],
    )


class _Comparison:
    """The state of one comparison."""

    def __init__(
        self,
        stored: StoredRows,
        windows: Mapping[str, Window],
        marketplaces: AbstractSet[str],
    ) -> None:
        self._stored = stored
        self._windows = windows
        self._window = windows[ORDERS]
        self._marketplaces = marketplaces
        self._before = stored.compared(ORDERS)
        self._shipped_before: set[str] = set()  # named by transactions, but not gaps
        self._posted: list[rows.Shipment] = []  # of orders that are not stored
        self._missing: dict[str, tuple[date, set[str]]] = {}

    def gaps(self) -> Gaps:
        self._add_shipments()
        self._add_traces()
        units = self._units()
        # Without transactions, units of other channels cannot be told from those of orders: then a
        # day is merely not confirmed.
        lots = units.lots if TRANSACTIONS in self._windows else ()
        found = [
            *(Gap(key, at, tuple(sorted(by))) for key, (at, by) in self._missing.items()),
            *(Gap(rows.unit_key(*lot), lot[1], (LEDGER,), identified=False) for lot in lots),
        ]
        closed = self._stored.closed(ORDERS, [gap.key for gap in found])
        gaps = [gap for gap in found if gap.key not in closed]
        gaps.sort(key=lambda gap: (gap.day, gap.key))
        counts = Counter(gap.day for gap in gaps)
        return Gaps(ORDERS, list(self._days(counts, units)), gaps[:MAX_GAPS])

    # Order ids ------------------------------------------------------------------------------------

    def _add_shipments(self) -> None:
        for shipment in unread_shipments(
            self._stored, self._to_judge(TRANSACTIONS, MAX_POSTING_DELAY)
        ):
            self._posted.append(shipment)
            if self._is_gap(shipment):
                self._note(shipment.order, shipment.at.date(), TRANSACTIONS)
            else:
                self._shipped_before.add(shipment.order)

    def _is_gap(self, shipment: rows.Shipment) -> bool:
        """Whether the order was surely updated in the span that was read."""
        here = not shipment.marketplace or shipment.marketplace in self._marketplaces
        return here and self._window.since + MAX_POSTING_DELAY <= shipment.at <= self._window.until

    def _add_traces(self) -> None:
        """Add the traces of returns and reimbursements. Transactions date an order more exactly,
        and may show that it is not a gap."""
        named: defaultdict[str, list[tuple[str, date]]] = defaultdict(list)
        for dataset, (traces, delay) in TRACES.items():
            for trace in traces(self._to_judge(dataset, delay)):
                if trace.day <= self._window.until.date():
                    named[trace.order].append((dataset, trace.day))
        dated = {order: named[order] for order in named.keys() & self._missing.keys()}
        recent = {
            order: proofs
            for order in named.keys() - self._missing.keys() - self._shipped_before
            if rows.AMAZON_ORDER.fullmatch(order)
            and (proofs := [proof for proof in named[order] if self._is_recent(*proof)])
        }
        unread = self._stored.lacking(ORDERS, recent)
        unread -= self._stored.closed(ORDERS, unread)
        unread -= self._shipped_earlier(unread)
        for order, proofs in {**dated, **{order: recent[order] for order in unread}}.items():
            for dataset, at in proofs:
                self._note(order, at, dataset)

    def _is_recent(self, dataset: str, at: date) -> bool:
        """Whether an order that left this trace was surely updated in the span that was read."""
        return at - TRACES[dataset][1] >= self._window.since.date()

    def _shipped_earlier(self, orders: AbstractSet[str]) -> AbstractSet[str]:
        """The orders that are not gaps by the transactions of earlier syncs. The newest
        transactions are read first; they usually show all of the orders."""
        span, found = self._windows.get(TRANSACTIONS), set[str]()
        until = self._window.until
        while self._before and span and until >= span.since and orders - found:
            earlier = self._stored.between(TRANSACTIONS, until - USUAL_RETURN_DELAY, until)
            found |= {
                shipment.order
                for shipment in rows.shipments(earlier)
                if shipment.order in orders and not self._is_gap(shipment)
            }
            until -= USUAL_RETURN_DELAY
        return found

    def _note(self, order: str, at: date, dataset: str) -> None:
        if rows.AMAZON_ORDER.fullmatch(order):
            self._missing.setdefault(order, (at, set()))[1].add(dataset)

    # Traces to judge ------------------------------------------------------------------------------

    def _to_judge(self, dataset: str, delay: timedelta) -> Iterator[Record]:
        """The records of a witness that may show a gap now. Some may occur twice."""
        yield from self._stored.changed(dataset, self._before.at if self._before else None)
        if self._before:
            for span in self._again(self._before, delay):
                yield from self._stored.between(dataset, span.since, span.until)

    def _again(self, before: Compared, delay: timedelta) -> Iterator[Window]:
        """The spans whose traces are judged again although they have not changed: those that were
        too early or too late for the orders, and days that were short, with a day on either side
        for the time zones of reports."""
        window, earlier = self._window, before.windows[ORDERS]
        if window.since < earlier.since:
            yield Window(window.since, earlier.since + delay)
        if window.until.date() > earlier.until.date():
            yield Window(starts(earlier.until.date()), window.until + DAY)
        elif window.until > earlier.until:
            yield Window(earlier.until, window.until)
        for first, last in stretches(day.day for day in before.days if day.missing):
            yield Window(starts(first - DAY), starts(last + 2 * DAY))

    # Units of the ledger --------------------------------------------------------------------------

    def _units(self) -> Unexplained:
        """The units that the ledger shows as shipped, but neither orders nor transactions
        explain."""
        span = _ledger_span(self._windows)
        if span is None:
            return Unexplained()
        comparison = ShippedComparison(self._stored, span)
        if self._before is None:
            return comparison.of_everything(self._posted)
        return comparison.of_days(self._days_to_judge(self._before, span))

    def _days_to_judge(self, before: Compared, span: tuple[date, date]) -> AbstractSet[date]:
        changed = self._stored.changed(LEDGER, before.at)
        judged = {row.day for row in rows.ledger_shipments(changed)}
        judged |= {day.day for day in before.days if day.missing}
        earlier = _ledger_span(before.windows)
        new = set(days_from(*span))
        if earlier:
            new -= set(days_from(*earlier))
        return {at for at in judged | new if span[0] <= at <= span[1]}

    # Days -----------------------------------------------------------------------------------------

    def _days(self, missing: Mapping[date, int], units: Unexplained) -> Iterator[DatasetDay]:
        """Every day of the span. Gaps of a day outside it do not exist: see `_is_gap`."""
        counts = self._stored.per_day(ORDERS)
        states = {day.day: day.filled for day in self._before.days} if self._before else {}
        for at in days_from(self._window.since.date(), self._window.until.date()):
            count = missing.get(at, 0)
            filled = self._filled(at, units, states.get(at))
            yield DatasetDay(at, "short" if count else filled, counts.get(at, 0), count, filled)

    def _filled(self, at: date, units: Unexplained, before: DayState | None) -> DayState:
        """The state of a day if it lacks nothing."""
        begins = starts(at)
        if self._covers(TRANSACTIONS, begins, MAX_POSTING_DELAY):
            return "confirmed"
        if TRANSACTIONS in self._windows or not self._covers(LEDGER, begins, SETTLED):
            return "single_sourced"
        if units.judged is not None and at not in units.judged and before:
            return before
        agrees = all(at != day for _, day in units.lots) and at >= self._window.since.date() + EDGE
        return "confirmed" if agrees else "single_sourced"

    def _covers(self, dataset: str, begins: datetime, delay: timedelta) -> bool:
        """Whether the witness was read far enough to show the whole day."""
        window = self._windows.get(dataset)
        if window is None:
            return False
        ends = min(begins + DAY, self._window.until)
        return window.since <= max(begins, self._window.since) and ends + delay <= window.until


def _ledger_span(windows: Mapping[str, Window]) -> tuple[date, date] | None:
    """The first and the last day whose units can be matched; None if there is none."""
    if LEDGER not in windows:
        return None
    names = [name for name in (ORDERS, TRANSACTIONS, LEDGER) if name in windows]
    first = max(windows[name].since for name in names).date() + EDGE
    last = (min(windows[name].until for name in names) - SETTLED - DAY).date()
    return (first, last) if first <= last else None
