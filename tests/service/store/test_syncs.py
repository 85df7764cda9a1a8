"""The store: landing counts each record once, migrations, cheap pages."""

import sqlite3
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Cursor, Page, Record
from service.errors import StartupError
from service.model import Sync
from service.progress import Stage
from service.store.engine import Refused
from service.store.migrations import migrate, newest
from service.store.records import Landed, RecordStore
from service.store.sqlite import SqliteEngine
from service.store.syncs import SyncStore, save
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


class Stores(SyncStore):
    """Both halves over one engine."""

    def __init__(self, engine: SqliteEngine) -> None:
        super().__init__(engine)
        self.records = RecordStore(engine)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Stores]:
    migrate(f"sqlite:///{folder / 'sync.db'}")
    engine = await SqliteEngine.open(folder / "sync.db")
    yield Stores(engine)
    await engine.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Stores]:
    async with opened(tmp_path) as stores:
        yield stores


def named(sync: Sync, **changes: str) -> Sync:
    return msgspec.structs.replace(sync, **changes)


def records(*pairs: tuple[str, str]) -> list[Record]:
    return [Record(key, f'{{"value":"{value}"}}'.encode()) for key, value in pairs]


async def begin(store: Stores, sync: Sync) -> Sync:
    assert await store.create(sync, most_of_tenant=3)
    taken = sync.taken(NOW)
    assert await store.write(save(taken))
    return taken


async def step(store: Stores, sync: Sync, page: Sequence[Record]) -> Sync:
    landing = await store.records.landing(sync, "orders", page, NOW)
    sync = sync.advanced("orders", Page([], Cursor("c")), landing.tally, NOW)
    assert await store.write(save(sync), *landing.statements)
    return sync


async def test_a_record_is_created_then_unchanged_then_updated(store: Stores) -> None:
    first = await begin(store, new_sync())
    first = await step(store, first, records(("a", "1"), ("b", "1")))
    assert (first.dataset("orders").created, first.dataset("orders").processed) == (2, 2)
    assert await store.write(save(first.cancelled(NOW)))
    second = await begin(store, named(new_sync(), id="sync_2"))
    second = await step(store, second, records(("a", "1"), ("b", "2"), ("c", "1")))
    counted = second.dataset("orders")
    assert (counted.created, counted.updated, counted.unchanged) == (1, 1, 1)
    rows = await store.records.page("conn_1", "orders", 10)
    assert [(row["id"], row["sync_id"]) for row in rows] == [
        ("a", "sync_1"),
        ("b", "sync_2"),
        ("c", "sync_2"),
    ]


async def test_a_page_that_comes_twice_is_counted_once_and_its_news_are_kept(store: Stores) -> None:
    sync = await begin(store, new_sync())
    sync = await step(store, sync, records(("a", "1"), ("a", "1"), ("b", "1")))
    sync = await step(store, sync, records(("a", "1"), ("b", "2")))
    counted = sync.dataset("orders")
    assert (counted.created, counted.updated, counted.processed) == (2, 0, 2)
    rows = await store.records.page("conn_1", "orders", 10)
    assert [row["data"] for row in rows] == ['{"value":"1"}', '{"value":"2"}']


async def test_an_unreadable_record_is_one_item_however_often_it_is_read(store: Stores) -> None:
    sync = await begin(store, new_sync())
    bad = [Record("a", b"{}", error="no date")]
    sync = await step(store, await step(store, sync, bad), bad)
    assert (sync.dataset("orders").failed, sync.dataset("orders").processed) == (1, 1)
    items = await store.items("sync_1", "failed", None, 10, None)
    assert [(item["record_id"], item["error"]) for item in items] == [("a", "no date")]


@settings(max_examples=40, deadline=None)
@given(pages=st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("12")))))
def test_counters_always_add_up(pages: list[list[tuple[str, str]]]) -> None:
    """However pages repeat and change, processed is the number of different records."""

    none = Landed("orders", 0)

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with opened(Path(folder)) as store:
                sync = await begin(store, new_sync())
                for page in pages:
                    sync = await step(store, sync, records(*page))
                met = {key: value for page in pages for key, value in page}
                assert sync.dataset("orders").processed == len(met)
                assert (await store.records.landed("conn_1")).get("orders", none).records == len(
                    met
                )
                rows = await store.records.page("conn_1", "orders", 100)
                assert {row["id"]: row["data"] for row in rows} == {
                    key: f'{{"value":"{value}"}}' for key, value in met.items()
                }

    anyio.run(run)


async def test_a_stale_version_writes_nothing(store: Stores) -> None:
    sync = await begin(store, new_sync())
    stale = sync.staged(Stage.FETCHING, "x", NOW)
    assert await store.write(save(sync.cancelled(NOW)))
    landing = await store.records.landing(stale, "orders", records(("a", "1")), NOW)
    assert not await store.write(save(stale), *landing.statements)
    assert await store.records.page("conn_1", "orders", 10) == []


async def test_a_second_live_sync_of_a_user_is_refused_by_the_index(store: Stores) -> None:
    await begin(store, new_sync())
    with pytest.raises(Refused):
        await store.create(named(new_sync(), id="sync_2"), most_of_tenant=3)
    assert await store.count("ann", {}) == 1, "the refused one was not counted"


async def test_a_tenant_has_no_more_live_syncs_than_it_may(store: Stores) -> None:
    for number in range(3):
        await begin(store, named(new_sync(), id=f"sync_{number}", user=f"user_{number}"))
    fourth = named(new_sync(), id="sync_4", user="user_4")
    assert not await store.create(fourth, most_of_tenant=3)


async def test_pages_of_records_and_history_never_sort(tmp_path: Path, store: Stores) -> None:
    """Each list follows an index, so that a deep page costs the same as the first."""
    with sqlite3.connect(tmp_path / "sync.db") as database:
        for sql in (
            "SELECT data FROM records WHERE connection_id='c' AND dataset='d' AND id>'x' "
            "ORDER BY id LIMIT 20",
            "SELECT body FROM sync_progress WHERE user_id='u' AND id<'x' ORDER BY id DESC LIMIT 20",
            "SELECT name FROM sync_history_items WHERE sync_id='s' "
            "AND (dataset, record_id) > ('d', 'r') ORDER BY dataset, record_id LIMIT 20",
        ):
            plan = " ".join(row[3] for row in database.execute("EXPLAIN QUERY PLAN " + sql))
            assert "USING INDEX" in plan and "TEMP B-TREE" not in plan, plan
    database.close()


def test_migrating_twice_is_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sync.db'}"
    assert migrate(url) == migrate(url) == newest()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sync.db'}"
    migrate(url)
    with sqlite3.connect(tmp_path / "sync.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(StartupError, match="newer version"):
        migrate(url)
