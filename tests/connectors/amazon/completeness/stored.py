"""Stored records: written by hand, or of a whole seller of the sandbox."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from connectors.amazon.completeness import compare
from connectors.base import Connection, Record, Window
from connectors.completing import Compared, DatasetDay, Gaps
from tests.connectors.amazon.bench import DATASETS, Bench

FIRST = date(2026, 6, 1)
STORED = datetime(2026, 9, 1, tzinfo=UTC)
US, CANADA = "ATVPDKIKX0DER", "A2EUQ1WTGCTBG2"
WITNESSES = ("orders", "transactions", "ledger", "returns", "reimbursements")

Row = dict[str, Any]


class StoredByHand:
    """Records in memory, by dataset and id, as the service stores them."""

    def __init__(self, **rows: Iterable[Row]) -> None:
        self.records: dict[str, dict[str, Record]] = {}
        #: When each record was stored or changed last.
        self.changes: dict[tuple[str, str], datetime] = {}
        self.gone: set[str] = set()
        self.last: Compared | None = None
        #: The number of records of each dataset that comparisons have read.
        self.reads: Counter[str] = Counter()
        for dataset, dataset_rows in rows.items():
            self.store(dataset, *dataset_rows)

    def store(self, dataset: str, *rows: Row, when: datetime = STORED) -> None:
        for row in rows:
            key = row.get("orderId") or hashlib.md5(json.dumps(row).encode()).hexdigest()  # noqa: S324
            self.put(dataset, Record(key, json.dumps(row).encode(), at=_time(row)), when)

    def put(self, dataset: str, record: Record, when: datetime) -> None:
        stored = self.records.setdefault(dataset, {})
        if stored.get(record.id) != record:
            stored[record.id] = record
            self.changes[dataset, record.id] = when

    # As a comparison reads them -------------------------------------------------------------------

    def compared(self, dataset: str) -> Compared | None:
        return self.last if dataset == "orders" else None

    def changed(self, dataset: str, since: datetime | None) -> Iterable[Record]:
        return self._read(
            dataset, lambda record: not since or self.changes[dataset, record.id] >= since
        )

    def between(self, dataset: str, since: datetime, until: datetime) -> Iterable[Record]:
        return self._read(dataset, lambda record: record.at and since <= record.at <= until)

    def _read(self, dataset: str, wanted: Callable[[Record], object]) -> Iterable[Record]:
        for record in list(self.records.get(dataset, {}).values()):
            if wanted(record):
                self.reads[dataset] += 1
                yield record

    def lacking(self, dataset: str, ids: Iterable[str]) -> Set[str]:
        return set(ids) - self.records.get(dataset, {}).keys()

    def closed(self, dataset: str, keys: Iterable[str]) -> Set[str]:
        return self.gone & set(keys)

    def per_day(self, dataset: str) -> Mapping[date, int]:
        records = self.records.get(dataset, {}).values()
        return Counter(record.at.date() for record in records if record.at)

    def keep(self, gaps: Gaps, windows: Mapping[str, Window], when: datetime) -> None:
        """Store a comparison."""
        self.last = Compared(when, windows, gaps.days)


def _time(row: Row) -> datetime | None:
    """The time of a row written by hand."""
    names = ("lastUpdatedTime", "postedDate", "returndate", "approvaldate", "date")
    value = next((row[name] for name in names if name in row), "")
    if "/" in value:
        return datetime.strptime(value, "%m/%d/%Y").replace(tzinfo=UTC)
    return datetime.fromisoformat(value) if value[:1].isdigit() else None


# Rows by hand -----------------------------------------------------------------------------------


def at(day: float) -> datetime:
    return datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(days=day)


def order_id(number: int) -> str:
    return f"111-0000000-{number:07}"


def order(number: int, day: float, status: str = "SHIPPED", **more: Any) -> Row:
    """An order that was created a day before and shipped on `day`."""
    return {
        "orderId": order_id(number),
        "createdTime": at(day - 1).isoformat(),
        "lastUpdatedTime": at(day).isoformat(),
        "fulfillment": {"fulfillmentStatus": status, "fulfilledBy": more.get("by", "AMAZON")},
        "orderItems": [
            {"quantityOrdered": more.get("units", 1), "product": {"sellerSku": "SKU-1"}},
        ],
    }


def shipment(number: int, day: float, marketplace: str | None = US, **more: Any) -> Row:
    """The transaction of a shipment, posted on `day`."""
    context = {"sku": "SKU-1", "quantityShipped": more.get("units", 1), "fulfillmentNetwork": "AFN"}
    return {
        "transactionType": more.get("kind", "Shipment"),
        "postedDate": at(day).isoformat(),
        "relatedIdentifiers": [
            {
                "relatedIdentifierName": "ORDER_ID",
                "relatedIdentifierValue": more.get("id", order_id(number)),
            }
        ],
        **({"marketplaceDetails": {"marketplaceId": marketplace}} if marketplace else {}),
        "items": [{"contexts": [context]}],
    }


def returned(number: int, day: float) -> Row:
    return {"returndate": at(day).isoformat(), "orderid": order_id(number), "sku": "SKU-1"}


def reimbursed(number: int, day: float) -> Row:
    return {"approvaldate": at(day).isoformat(), "amazonorderid": order_id(number)}


def left(day: float, units: int = 1, fnsku: str = "X1", sku: str = "SKU-1") -> Row:
    """A row of the ledger: units that were shipped on `day`."""
    return {
        "date": at(day).strftime("%m/%d/%Y"),
        "fnsku": fnsku,
        "msku": sku,
        "eventtype": "Shipments",
        "quantity": str(-units),
    }


def windows(since: float = 0, until: float = 90, *names: str) -> dict[str, Window]:
    return {name: Window(at(since), at(until)) for name in names or WITNESSES}


def compared(
    stored: StoredByHand,
    spans: Mapping[str, Window] | None = None,
    marketplaces: Sequence[str] = (US,),
    closed: Iterable[str] = (),
) -> Gaps:
    stored.gone |= set(closed)
    gaps = compare(stored, windows() if spans is None else spans, marketplaces)
    assert gaps is not None
    return gaps


def day_of(gaps: Gaps, number: int) -> DatasetDay:
    wanted = at(number).date()
    return next(day for day in gaps.days if day.day == wanted)


# Sellers of the sandbox ---------------------------------------------------------------------------


class SyncedSeller(StoredByHand):
    """All records of a seller, read as a sync reads them, in simulated time."""

    def __init__(self, bench: Bench, connection: Connection) -> None:
        super().__init__()
        self.bench = bench
        self.connection = connection
        self.windows: dict[str, Window] = {}
        #: Seconds that each dataset took, and calls of the whole sync.
        self.seconds: dict[str, float] = {}
        self.calls = 0

    async def sync(self) -> None:
        before = len(self.bench.wire.requests)
        for dataset in DATASETS:
            begun = self.bench.clock.now()
            self.windows[dataset.name] = self.bench.window(dataset)
            for page in await self.bench.sync(dataset, self.connection):
                self.add(dataset.name, page.records)
                learned = {**self.connection.learned, **page.learned}
                self.connection = msgspec.structs.replace(self.connection, learned=learned)
            self.seconds[dataset.name] = (self.bench.clock.now() - begun).total_seconds()
        self.calls = len(self.bench.wire.requests) - before

    def add(self, dataset: str, records: Sequence[Record]) -> None:
        for record in records:
            if record.error is None:
                self.put(dataset, record, self.bench.clock.now())

    def compare(self) -> Gaps:
        """Compare, and remember it as the service does."""
        self.begun = self.bench.clock.now()
        (gaps,) = self.bench.connector.complete(self.connection, self, self.windows, {"orders"})
        return gaps

    async def fill(self) -> tuple[Gaps, Gaps]:
        """What was missing before and after reading the gaps."""
        before = self.before = self.compare()
        calls, begun = len(self.bench.wire.requests), self.bench.clock.now()
        async for page in self.bench.connector.fill(self.connection, before, self.bench.waiting):
            self.add("orders", page.records)
            self.gone |= set(page.absent)
            learned = {**self.connection.learned, **page.learned}
            self.connection = msgspec.structs.replace(self.connection, learned=learned)
        self.fill_calls = len(self.bench.wire.requests) - calls
        self.fill_seconds = (self.bench.clock.now() - begun).total_seconds()
        return before, self.compare()
