"""The stored days of datasets."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from connectors.base import Record, Window
from connectors.completing import Compared, DatasetDay
from service.store import completeness
from service.store.completeness import CompletenessStore, close_gaps, keep_days, mark_compared
from service.store.engine import Engine
from service.store.syncs import save
from service.warnings import Code, SyncWarning
from tests.service.nodes import new_engine
from tests.service.store.stores import NOW, Stores, begin_sync, store_page
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio

COMPARED = SyncWarning(Code.SOURCE, "compared")
FIRST, SECOND = date(2026, 6, 1), date(2026, 6, 2)


@pytest.fixture
def store(engine: Engine) -> Stores:
    return Stores(engine)


async def test_a_later_comparison_replaces_a_day_and_adds_what_was_fetched(store: Stores) -> None:
    sync = await begin_sync(store, new_sync())
    short = [DatasetDay(FIRST, "short", 5, 2), DatasetDay(SECOND, "confirmed", 1)]
    later = [DatasetDay(FIRST, "confirmed", 7, 0)]
    for found, fetched in ((short, {FIRST: 3}), (later, {FIRST: 2})):
        sync = sync.warned(COMPARED, NOW)
        assert await store.write(save(sync), keep_days(sync, "orders", found, fetched))
    days = (await CompletenessStore(store.engine).days(sync.connection_id))["orders"]
    assert [(day.day, day.fetched) for day in days] == [
        (DatasetDay(FIRST, "confirmed", 7, 0), 5),
        (DatasetDay(SECOND, "confirmed", 1, 0), 0),
    ]


async def test_a_closed_gap_is_stored_once(store: Stores) -> None:
    sync = await begin_sync(store, new_sync())
    for _ in range(2):
        sync = sync.warned(COMPARED, NOW)
        assert await store.write(save(sync), close_gaps(sync, "orders", ["a", "b"]))
    days = CompletenessStore(store.engine)
    assert await days.closed(sync.connection_id, "orders", ["a", "b", "c"]) == {"a", "b"}
    assert not await days.closed("other", "orders", ["a", "b"])
    assert not await days.closed(sync.connection_id, "returns", ["a", "b"])


async def test_the_last_comparison_is_stored_with_its_days(store: Stores) -> None:
    sync = await begin_sync(store, new_sync())
    days = [DatasetDay(FIRST, "short", 5, 2, "single_sourced")]
    spans = {"orders": Window(NOW - timedelta(days=90), NOW)}
    kept = CompletenessStore(store.engine)
    assert await kept.compared(sync.connection_id, "orders") is None
    sync = sync.warned(COMPARED, NOW)
    statements = keep_days(sync, "orders", days, {}), mark_compared(sync, "orders", NOW, spans)
    assert await store.write(save(sync), *statements)
    assert await kept.compared(sync.connection_id, "orders") == Compared(NOW, spans, days)
    assert await kept.compared(sync.connection_id, "returns") is None


async def test_records_are_found_by_change_and_by_time(store: Stores) -> None:
    sync = await begin_sync(store, new_sync())
    times = {f"order-{number}": NOW - timedelta(days=number % 3) for number in range(10)}
    page = [Record(key, b"{}", at=at) for key, at in times.items()]
    await store_page(store, sync, [*page, Record("timeless", b"{}")])
    kept, of = CompletenessStore(store.engine), (sync.connection_id, "orders")
    found, after = list[str](), ("", "")
    while (rows := await kept.changed(*of, 4, after)).last:
        found += [key for key, _ in rows.rows]
        after = rows.last
    found += [key for key, _ in rows.rows]
    assert found == [*times, "timeless"]
    assert not (await kept.changed(*of, 4, ("2026-01-15T12:00:00.000001Z", ""))).rows
    since = (NOW - timedelta(days=1)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    between = await kept.between(*of, 100, (since, ""), NOW)
    assert {key for key, _ in between.rows} == {
        key for key, at in times.items() if at >= NOW - timedelta(days=1)
    }
    assert await kept.lacking(*of, ["order-1", "order-10"]) == {"order-10"}
    assert await kept.per_day(*of) == {
        (NOW - timedelta(days=days)).date(): count for days, count in ((0, 4), (1, 3), (2, 3))
    }


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (completeness._CHANGED, "records_by_change (connection_id=? AND dataset=? AND (updated_at"),
        (completeness._BETWEEN, "records_by_time (connection_id=? AND dataset=? AND (at,id)>"),
        (completeness._PER_DAY, "COVERING INDEX records_by_time"),
    ],
)
async def test_a_comparison_reads_records_by_an_index(tmp_path: Path, sql: str, index: str) -> None:
    names = ("connection_id", "dataset", "mark", "after", "until", "limit")
    async with new_engine(tmp_path) as engine:
        steps = await engine.read(f"EXPLAIN QUERY PLAN {sql}", dict.fromkeys(names, ""))
    (step, *others) = steps
    assert index in step["detail"]
    assert not any("ORDER BY" in other["detail"] for other in others)
