"""The stored days of datasets."""

from datetime import date

import pytest

from connectors.completing import DatasetDay, Gaps
from service.store.completeness import CompletenessStore, close_gaps, keep_days
from service.store.engine import Engine
from service.store.syncs import save
from tests.service.store.stores import NOW, Stores, begin_sync
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio

FIRST, SECOND = date(2026, 6, 1), date(2026, 6, 2)


@pytest.fixture
def store(engine: Engine) -> Stores:
    return Stores(engine)


async def test_a_later_comparison_replaces_a_day_and_adds_what_was_fetched(store: Stores) -> None:
    sync = await begin_sync(store, new_sync())
    short = Gaps("orders", [DatasetDay(FIRST, "short", 5, 2), DatasetDay(SECOND, "confirmed", 1)])
    later = Gaps("orders", [DatasetDay(FIRST, "confirmed", 7, 0)])
    for gaps, fetched in ((short, {FIRST: 3}), (later, {FIRST: 2})):
        sync = sync.warned("compared", NOW)
        assert await store.write(save(sync), keep_days(sync, gaps, fetched))
    days = (await CompletenessStore(store.engine).days(sync.connection_id))["orders"]
    assert [(day.day, day.fetched) for day in days] == [
        (DatasetDay(FIRST, "confirmed", 7, 0), 5),
        (DatasetDay(SECOND, "confirmed", 1, 0), 0),
    ]


async def test_a_closed_gap_is_stored_once(store: Stores) -> None:
    sync = await begin_sync(store, new_sync())
    for _ in range(2):
        sync = sync.warned("compared", NOW)
        assert await store.write(save(sync), close_gaps(sync, "orders", ["a", "b"]))
    closed = await CompletenessStore(store.engine).closed(sync.connection_id)
    assert closed == {"orders": {"a", "b"}}
    assert not await CompletenessStore(store.engine).closed("other")
