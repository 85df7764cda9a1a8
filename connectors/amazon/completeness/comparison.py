"""Compares the stored orders with the datasets that name orders or count shipped units. Pure: no
network, no clock.

A trace proves a gap only if the order lies in the span of time that was read, by what is known of
the delays of its witness. An order of another marketplace or channel is no gap."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta

from connectors.amazon.completeness import rows
from connectors.amazon.completeness.units import ShippableUnits, unexplained
from connectors.base import Records, Window
from connectors.completing import DatasetDay, DayState, Gap, Gaps

ORDERS = "orders"
TRANSACTIONS, RETURNS, REIMBURSEMENTS = "transactions", "returns", "reimbursements"
LEDGER = "ledger"
POSTED = timedelta(hours=48)
"""How much later than the shipment its transaction appears, at most."""
RETURNED = timedelta(days=35)
REIMBURSED = timedelta(days=120)
"""How much later than its order a return or a reimbursement is dated, usually."""
EDGE = timedelta(days=3)
"""Days at both ends of a span in which the ledger's units cannot be matched with orders."""
SETTLED = timedelta(days=5)
"""How old a shipment must be so that transactions and orders surely show it."""
MOST_GAPS = 5_000
"""Gaps that are listed. All are counted."""
DAY = timedelta(days=1)


def compare(
    records: Records,
    windows: Mapping[str, Window],
    marketplaces: Sequence[str],
    closed: AbstractSet[str] = frozenset(),
) -> Gaps | None:
    """The days of the orders and what they lack; None if no span of orders was read completely."""
    if ORDERS not in windows:
        return None
    return _Comparison(records, windows, frozenset(marketplaces), closed).gaps()


class _Comparison:
    """The state of one comparison."""

    def __init__(
        self,
        records: Records,
        windows: Mapping[str, Window],
        marketplaces: AbstractSet[str],
        closed: AbstractSet[str],
    ) -> None:
        self._records = records
        self._windows = windows
        self._window = windows[ORDERS]
        self._marketplaces = marketplaces
        self._closed = closed
        self._stored: set[str] = set()
        self._a_day: Counter[date] = Counter()
        self._supply = ShippableUnits()
        self._shipped_before: set[str] = set()  # named by transactions, and no gap
        self._missing: dict[str, tuple[date, set[str]]] = {}
        self._units: dict[str, date] = {}
        self._disagreeing: set[date] = set()

    def gaps(self) -> Gaps:
        for order in rows.orders(self._records.read(ORDERS)):
            self._stored.add(order.id)
            self._a_day[order.updated] += 1
            self._supply.add_order(order)
        self._add_shipments()
        self._add_traces(RETURNS, rows.returns(self._records.read(RETURNS)), RETURNED)
        payments = rows.reimbursements(self._records.read(REIMBURSEMENTS))
        self._add_traces(REIMBURSEMENTS, payments, REIMBURSED)
        self._add_units()
        gaps = [
            *(Gap(key, at, tuple(sorted(by))) for key, (at, by) in self._missing.items()),
            *(Gap(key, at, (LEDGER,), identified=False) for key, at in self._units.items()),
        ]
        gaps.sort(key=lambda gap: (gap.day, gap.key))
        counts = Counter(gap.day for gap in gaps)
        return Gaps(ORDERS, list(self._days(counts)), gaps[:MOST_GAPS])

    # Order ids ------------------------------------------------------------------------------------

    def _add_shipments(self) -> None:
        for shipment in rows.shipments(self._records.read(TRANSACTIONS)):
            if shipment.order in self._stored:
                continue
            self._supply.add_posted(shipment.at.date(), shipment.units())
            if self._is_gap(shipment):
                self._note(shipment.order, shipment.at.date(), TRANSACTIONS)
            else:
                self._shipped_before.add(shipment.order)

    def _is_gap(self, shipment: rows.Shipment) -> bool:
        """Whether the order was surely updated in the span that was read."""
        here = not shipment.marketplace or shipment.marketplace in self._marketplaces
        return here and self._window.since + POSTED <= shipment.at <= self._window.until

    def _add_traces(self, dataset: str, traces: Iterator[rows.Trace], delay: timedelta) -> None:
        since, until = self._window.since.date(), self._window.until.date()
        for trace in traces:
            known = trace.order in self._stored or trace.order in self._shipped_before
            if known or trace.day > until:
                continue
            # Transactions date the order better.
            if trace.order in self._missing or trace.day - delay >= since:
                self._note(trace.order, trace.day, dataset)

    def _note(self, order: str, at: date, dataset: str) -> None:
        if order in self._closed or not rows.AMAZON_ORDER.fullmatch(order):
            return
        self._missing.setdefault(order, (at, set()))[1].add(dataset)

    # Units of the ledger --------------------------------------------------------------------------

    def _add_units(self) -> None:
        """What the ledger shows as shipped, and neither orders nor transactions explain. Without
        transactions, units of other channels cannot be told from those of orders: then the day is
        only not confirmed."""
        if LEDGER not in self._windows:
            return
        names = [name for name in (ORDERS, TRANSACTIONS, LEDGER) if name in self._windows]
        since = max(self._windows[name].since for name in names).date() + EDGE
        until = min(self._windows[name].until for name in names).date() - SETTLED
        shipped = rows.ledger_shipments(self._records.read(LEDGER))
        for fnsku, at in unexplained(shipped, self._supply, since, until):
            key = f"{at.isoformat()}/{fnsku}"
            if TRANSACTIONS not in self._windows:
                self._disagreeing.add(at)
            elif key not in self._closed:
                self._units[key] = at

    # Days -----------------------------------------------------------------------------------------

    def _days(self, missing: Mapping[date, int]) -> Iterator[DatasetDay]:
        """Every day of the span. Gaps of a day outside it do not exist: see `_is_gap`."""
        at, last = self._window.since.date(), self._window.until.date()
        while at <= last:
            count = missing.get(at, 0)
            yield DatasetDay(at, self._state(at, count), self._a_day.get(at, 0), count)
            at += DAY

    def _state(self, at: date, missing: int) -> DayState:
        if missing:
            return "short"
        begins = datetime.combine(at, time(), UTC)
        if self._covers(TRANSACTIONS, begins, POSTED):
            return "confirmed"
        by_ledger = TRANSACTIONS not in self._windows and self._covers(LEDGER, begins, SETTLED)
        agrees = by_ledger and at not in self._disagreeing
        return (
            "confirmed" if agrees and at >= self._window.since.date() + EDGE else "single_sourced"
        )

    def _covers(self, dataset: str, begins: datetime, delay: timedelta) -> bool:
        """Whether the witness was read so far that it shows all of that day."""
        window = self._windows.get(dataset)
        if window is None:
            return False
        ends = min(begins + DAY, self._window.until)
        return window.since <= max(begins, self._window.since) and ends + delay <= window.until
