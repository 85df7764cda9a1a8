"""Records: a page is compared with the stored records, and each record is counted once."""

import tempfile
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Record
from service.progress import Stage
from service.store.engine import Engine
from service.store.syncs import save
from tests.service.store.conftest import OpenEngine
from tests.service.store.stores import (
    NOW,
    Stores,
    begin_sync,
    records,
    store_page,
    stored_orders,
    with_fields,
)
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(engine: Engine) -> Stores:
    return Stores(engine)


async def test_a_record_is_created_then_unchanged_then_updated(store: Stores) -> None:
    first = await begin_sync(store, new_sync())
    first = await store_page(store, first, records(("a", "1"), ("b", "1")))
    assert (first.dataset("orders").created, first.dataset("orders").processed) == (2, 2)
    assert await store.write(save(first.cancelled(NOW)))
    second = await begin_sync(store, with_fields(new_sync(), id="sync_2"))
    second = await store_page(store, second, records(("a", "1"), ("b", "2"), ("c", "1")))
    counted = second.dataset("orders")
    assert (counted.created, counted.updated, counted.unchanged) == (1, 1, 1)
    rows = await stored_orders(store)
    assert [(row["id"], row["sync_id"]) for row in rows] == [
        ("a", "sync_1"),
        ("b", "sync_2"),
        ("c", "sync_2"),
    ]


async def test_a_repeated_page_is_counted_once_and_its_changes_are_stored(
    store: Stores,
) -> None:
    sync = await begin_sync(store, new_sync())
    sync = await store_page(store, sync, records(("a", "1"), ("a", "1"), ("b", "1")))
    sync = await store_page(store, sync, records(("a", "1"), ("b", "2")))
    counted = sync.dataset("orders")
    assert (counted.created, counted.updated, counted.processed) == (2, 0, 2)
    rows = await stored_orders(store)
    assert [row["data"] for row in rows] == ['{"value":"1"}', '{"value":"2"}']


async def test_an_unreadable_record_that_is_read_twice_is_one_item(store: Stores) -> None:
    sync = await begin_sync(store, new_sync())
    bad = [Record("a", b"{}", error="no date")]
    sync = await store_page(store, await store_page(store, sync, bad), bad)
    assert (sync.dataset("orders").failed, sync.dataset("orders").processed) == (1, 1)
    items = await store.items("sync_1", "failed", None, 10, None)
    assert [(item["record_id"], item["error"]) for item in items] == [("a", "no date")]


@settings(max_examples=40, deadline=None)
@given(pages=st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("12")))))
def test_counters_always_add_up(
    open_engine: OpenEngine, pages: list[list[tuple[str, str]]]
) -> None:
    """Even if pages repeat and change, `processed` is the number of different records."""

    async def run(engine: Engine) -> None:
        stores = Stores(engine)
        sync = await begin_sync(stores, new_sync())
        for page in pages:
            sync = await store_page(stores, sync, records(*page))
        newest = {key: value for page in pages for key, value in page}
        assert sync.dataset("orders").processed == len(newest)
        datasets = await stores.records.datasets("conn_1")
        assert sum(dataset.records for dataset in datasets.values()) == len(newest)
        rows = await stored_orders(stores)
        assert {row["id"]: row["data"] for row in rows} == {
            key: f'{{"value":"{value}"}}' for key, value in newest.items()
        }

    async def run_in_new_database() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_engine(Path(folder)) as engine:
                await run(engine)

    anyio.run(run_in_new_database)


async def test_a_stale_version_writes_nothing(store: Stores) -> None:
    sync = await begin_sync(store, new_sync())
    stale = sync.staged(Stage.FETCHING, "x", NOW)
    assert await store.write(save(sync.cancelled(NOW)))
    write = await store.records.page_write(stale, "orders", records(("a", "1")), NOW)
    assert not await store.write(save(stale), *write.statements)
    assert await stored_orders(store) == []
