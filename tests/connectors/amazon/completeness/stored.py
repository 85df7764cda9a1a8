"""Stored records: written by hand, or of a whole seller of the sandbox."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from connectors.amazon.completeness import compare
from connectors.base import Connection, Money, Record, Window
from connectors.completing import DatasetDay, Gaps
from tests.connectors.amazon.bench import DATASETS, Bench

FIRST = date(2026, 6, 1)
US, CANADA = "ATVPDKIKX0DER", "A2EUQ1WTGCTBG2"
WITNESSES = ("orders", "transactions", "ledger", "returns", "reimbursements")

Row = dict[str, Any]


class StoredByHand:
    """Records in memory, by dataset and id."""

    learned: Mapping[str, str] = {}

    def __init__(self, **rows: Iterable[Row]) -> None:
        self.records: dict[str, dict[str, Record]] = {
            dataset: {
                f"{number:05}": Record(f"{number:05}", json.dumps(row).encode())
                for number, row in enumerate(dataset_rows)
            }
            for dataset, dataset_rows in rows.items()
        }

    def read(self, dataset: str) -> Iterable[Record]:
        return list(self.records.get(dataset, {}).values())

    def complete(self, dataset: str) -> bool:
        return True

    def cost(self, sku: str) -> Money | None:
        return None


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
    gaps = compare(stored, windows() if spans is None else spans, marketplaces, frozenset(closed))
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
                self.keep(dataset.name, page.records)
                learned = {**self.connection.learned, **page.learned}
                self.connection = msgspec.structs.replace(self.connection, learned=learned)
            self.seconds[dataset.name] = (self.bench.clock.now() - begun).total_seconds()
        self.calls = len(self.bench.wire.requests) - before

    def keep(self, dataset: str, records: Sequence[Record]) -> None:
        stored = self.records.setdefault(dataset, {})
        stored |= {record.id: record for record in records if record.error is None}

    def compare(self, closed: Iterable[str] = ()) -> Gaps:
        (gaps,) = self.bench.connector.complete(
            self.connection, self, self.windows, {"orders": frozenset(closed)}
        )
        return gaps

    async def fill(self) -> tuple[Gaps, Gaps]:
        """What was missing before and after reading the gaps."""
        before, closed = self.compare(), set[str]()
        calls, begun = len(self.bench.wire.requests), self.bench.clock.now()
        async for page in self.bench.connector.fill(self.connection, before, self.bench.waiting):
            self.keep("orders", page.records)
            closed |= set(page.absent)
        self.fill_calls = len(self.bench.wire.requests) - calls
        self.fill_seconds = (self.bench.clock.now() - begun).total_seconds()
        return before, self.compare(closed)
