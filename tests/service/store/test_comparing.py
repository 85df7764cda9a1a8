"""What a comparison reads of the database."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any, TypeVar

import anyio
import pytest

from connectors.amazon.completeness import compare
from connectors.base import Record, Window
from connectors.completing import Compared, DatasetDay
from service.pipeline import compared
from service.pipeline.compared import ComparedRows
from service.store.completeness import CompletenessStore
from service.store.engine import Engine
from tests.service.store.stores import NOW, Stores, begin_sync, store_page
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio

T = TypeVar("T")
DAY = timedelta(days=1)


class CountedStore(CompletenessStore):
    """Counts the rows that it returns of the records."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.read: list[str] = []

    async def _page(
        self, sql: str, of: Mapping[str, str], limit: int, after: tuple[str, str]
    ) -> Any:
        page = await super()._page(sql, of, limit, after)
        self.read += [key for key, _ in page.rows]
        return page


async def in_thread(call: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(call)


def orders(*numbers: int) -> list[Record]:
    return [Record(f"order-{number:02}", b"{}", at=NOW - number * DAY) for number in numbers]


async def test_all_records_are_read_page_by_page(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compared, "RECORDS_AT_ONCE", 3)
    monkeypatch.setattr(compared, "IDS_AT_ONCE", 2)
    stores = Stores(engine)
    sync = await begin_sync(stores, new_sync())
    await store_page(stores, sync, orders(*range(10)))
    rows = ComparedRows(CountedStore(engine), sync.connection_id, {})
    every = [f"order-{number:02}" for number in range(10)]
    assert await in_thread(lambda: [r.id for r in rows.changed("orders", None)]) == every
    between = await in_thread(lambda: list(rows.between("orders", NOW - 6 * DAY, NOW - DAY)))
    assert sorted(record.id for record in between) == every[1:7]
    lacking = await in_thread(lambda: rows.lacking("orders", [*every, "a", "b", "c"]))
    assert lacking == {"a", "b", "c"}
    assert await in_thread(lambda: rows.closed("orders", every)) == set()


async def test_unchanged_records_are_neither_read_nor_counted_again(engine: Engine) -> None:
    stores, store = Stores(engine), CountedStore(engine)
    sync = await begin_sync(stores, new_sync())
    sync = await store_page(stores, sync, orders(*range(10)))
    days = [DatasetDay(NOW.date(), "confirmed", 77)]
    last = Compared(NOW + DAY, {"orders": Window(NOW - 90 * DAY, NOW)}, days)
    rows = ComparedRows(store, sync.connection_id, {"orders": last})
    assert await in_thread(lambda: list(rows.changed("orders", last.at))) == []
    assert await in_thread(lambda: rows.per_day("orders")) == {NOW.date(): 77}
    assert store.read == []
    before = Compared(NOW - DAY, last.windows, days)
    changed = ComparedRows(store, sync.connection_id, {"orders": before})
    counts: Mapping[date, int] = await in_thread(lambda: changed.per_day("orders"))
    assert counts == {(NOW - number * DAY).date(): 1 for number in range(10)}
    assert len(store.read) == 1


async def test_a_first_comparison_without_a_witness_reads_no_order(engine: Engine) -> None:
    stores, store = Stores(engine), CountedStore(engine)
    sync = await begin_sync(stores, new_sync())
    await store_page(stores, sync, orders(*range(10)))
    rows = ComparedRows(store, sync.connection_id, {})
    windows = {"orders": Window(NOW - 90 * DAY, NOW)}
    gaps = await in_thread(lambda: compare(rows, windows, ()))
    assert gaps is not None
    assert sum(day.records for day in gaps.days) == 10
    assert store.read == []
