"""Selections of records: their order, their filters, their indexes, and snapshots."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connectors.base import Record
from service.store import selections
from service.store.engine import Engine, Statement, Unavailable, stamp
from service.store.postgres import PostgresEngine
from service.store.postgres_sql import positional
from service.store.selections import Position, Row, Selection
from service.store.sqlite import SqliteEngine
from tests.databases import DATABASES
from tests.service.nodes import new_engine
from tests.service.store.stores import NOW, Stores, begin_sync, records, store_page, stored_orders
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio

MINUTE = timedelta(minutes=1)
LAST = chr(0x10FFFF)
IDS = (
    *("a", "a-1", "a-10", "a-2", "aa", "A-1", "b", "é", "éa", "z", "_", "100%", "a%", "a_"),
    *(LAST, f"{LAST}a", f"x{LAST}", f"x{LAST}y", "\ud7ff", "\ud7ff1", "\ue000"),
)
PREFIXES = ("", "a", "a-", "a-1", "A", "é", "%", "a%", "_", LAST, f"x{LAST}", "\ud7ff", "none")


async def stored_minutes(engine: Engine) -> Stores:
    """A database with a record of each id, the first changed a minute before the second …"""
    stores = Stores(engine)
    sync = await begin_sync(stores, new_sync())
    for number, name in enumerate(IDS):
        at = NOW + number * MINUTE
        sync = await store_page(stores, sync, [Record(name, b"{}")], at)
    return stores


async def read_all(engine: Engine, selection: Selection, size: int) -> list[Row]:
    """All records, page by page."""
    rows: list[Row] = []
    after: Position = ()
    while True:
        batches = selection.batches(engine, size, after)
        page = [row async for batch in batches for row in batch]
        assert len(page) <= size
        rows += page
        if len(page) < size:
            return rows
        after = selection.position(page[-1])


async def test_each_prefix_and_time_selects_its_records_in_pages_of_any_size(
    engine: Engine,
) -> None:
    await stored_minutes(engine)
    for prefix in PREFIXES:
        expected = sorted(name for name in IDS if name.startswith(prefix))
        for size in (1, 3, 100):
            found = await read_all(engine, Selection("orders", ["conn_1"], prefix), size)
            assert [row[1] for row in found] == expected, prefix
        for first in (0, 5, len(IDS)):
            since = stamp(NOW + first * MINUTE)
            changed = [name for name in IDS[first:] if name.startswith(prefix)]
            selection = Selection("orders", ["conn_1"], prefix, since)
            for size in (1, 4):
                found = await read_all(engine, selection, size)
                assert [row[1] for row in found] == changed, (prefix, first)


async def test_records_of_several_connections_follow_one_another(engine: Engine) -> None:
    await stored_minutes(engine)
    sql = """INSERT INTO records (connection_id, dataset, id, sync_id, seen, hash, updated_at, data)
             SELECT 'conn_0', dataset, id, sync_id, seen, hash, updated_at, data FROM records
             RETURNING id"""
    assert await engine.write(Statement(sql, [{}]), [])
    for since in ("", stamp(NOW + 3 * MINUTE)):
        selection = Selection("orders", ["conn_0", "conn_1", "conn_2"], since=since)
        for size in (1, 7):
            found = await read_all(engine, selection, size)
            one = len(found) // 2
            assert {row[0] for row in found[:one]} == {"conn_0"}
            assert {row[0] for row in found[one:]} == {"conn_1"}
            assert [row[1] for row in found[:one]] == [row[1] for row in found[one:]]


def test_long_records_are_read_in_small_batches() -> None:
    def size(length: int) -> int:
        return selections._next_size([("c", "id", "s", "t", "x" * length)])

    assert size(0) == size(10) == selections.MAX_ROWS
    assert size(1024) == 64
    assert size(10_000_000) == 1


# Snapshots ------------------------------------------------------------------------------------


async def test_a_snapshot_does_not_see_what_is_written_after_it(engine: Engine) -> None:
    stores = Stores(engine)
    sync = await begin_sync(stores, new_sync())
    sync = await store_page(stores, sync, records(("a", "1"), ("b", "1")))
    selection = Selection("orders", ["conn_1"])
    async with engine.snapshot() as snapshot:
        before = await selections.states(snapshot, "orders", ["conn_1"])
        await store_page(stores, sync, records(("a", "2"), ("c", "1")))
        rows = [row async for batch in selection.batches(snapshot) for row in batch]
        assert [(row[1], row[4]) for row in rows] == [
            ("a", '{"value":"1"}'),
            ("b", '{"value":"1"}'),
        ]
        assert await selections.states(snapshot, "orders", ["conn_1"]) == before
    assert [row["id"] for row in await stored_orders(stores)] == ["a", "b", "c"]


async def test_open_snapshots_do_not_delay_reads_and_writes(engine: Engine) -> None:
    stores = Stores(engine)
    sync = await begin_sync(stores, new_sync())
    snapshots = [engine.snapshot() for _ in range(6)]
    for snapshot in snapshots:
        await (await snapshot.__aenter__()).fetch("SELECT 1 AS one", ("one",), {})
    try:
        await store_page(stores, sync, records(("a", "1")))
        assert len(await stored_orders(stores)) == 1
    finally:
        for snapshot in snapshots:
            await snapshot.__aexit__(None, None, None)


async def test_a_snapshot_of_a_deleted_database_is_refused(tmp_path: Path) -> None:
    async with new_engine(tmp_path) as engine:
        (tmp_path / "sync.db").unlink()
        with pytest.raises(Unavailable):
            async with engine.snapshot():
                pass
        assert not (tmp_path / "sync.db").exists()


# States and counts ----------------------------------------------------------------------------


async def test_the_state_changes_with_the_records_only(engine: Engine) -> None:
    stores = Stores(engine)
    sync = await begin_sync(stores, new_sync())

    async def state() -> Any:
        return [tuple(row) for row in await selections.states(engine, "orders", ["conn_1"])]

    async def store(at: int, *pairs: tuple[str, str]) -> None:
        nonlocal sync
        sync = await store_page(stores, sync, records(*pairs), NOW + at * MINUTE)

    assert await state() == [("conn_1", None, None)]
    await store(1, ("a", "1"))
    created = await state()
    await store(2, ("a", "1"))
    assert await state() == created == [("conn_1", 1, stamp(NOW + MINUTE))]
    await store(3, ("a", "2"))
    updated = await state()
    await store(4, ("b", "1"))
    assert len({*created, *updated, *await state()}) == 3
    assert await selections.counts(engine, ["conn_1", "conn_2"]) == {"orders": 2}
    assert await selections.counts(engine, ["conn_2"]) == await selections.counts(engine, []) == {}


# Indexes --------------------------------------------------------------------------------------

SINCE = stamp(NOW)
SELECTIONS = {
    "all": (Selection("orders", ["conn_1"]), (), "id>"),
    "the next page": (Selection("orders", ["conn_1"]), ("conn_1", "m"), "id>"),
    "a prefix": (Selection("orders", ["conn_1"], "m"), (), "id>? AND id<?"),
    "a prefix, the next page": (
        Selection("orders", ["conn_1"], "m"),
        ("conn_1", "m5"),
        "id>? AND id<?",
    ),
    "a time": (Selection("orders", ["conn_1"], since=SINCE), (), "(updated_at,id)>"),
    "a time and a prefix": (
        Selection("orders", ["conn_1"], "m", SINCE),
        ("conn_1", SINCE, "m"),
        "(updated_at,id)>",
    ),
}


class Explained:
    """Keeps the statement instead of running it."""

    async def fetch(self, sql: str, columns: Any, values: Any, table: Any = None) -> Any:
        self.sql, self.values = sql, values
        return []


@pytest.mark.parametrize("name", SELECTIONS)
async def test_sqlite_reads_a_selection_along_an_index(tmp_path: Path, name: str) -> None:
    selection, after, bound = SELECTIONS[name]
    explained = Explained()
    assert [rows async for rows in selection.batches(explained, 20, after)] == []
    async with new_engine(tmp_path) as engine:
        steps = await engine.read(f"EXPLAIN QUERY PLAN {explained.sql}", explained.values)
    (step,) = steps
    assert f"(connection_id=? AND dataset=? AND {bound}" in step["detail"].replace(", ", ",")


@pytest.mark.parametrize("analysed", [False, True])
async def test_postgresql_reads_a_selection_along_an_index(analysed: bool) -> None:
    fill = f"""
    INSERT INTO records (connection_id, dataset, id, sync_id, seen, hash, updated_at, data)
    SELECT 'conn_' || n %% 2, 'orders', chr(97 + n %% 26) || n, 's', 's', 'h',
           '{SINCE[:-8]}' || lpad(n::text, 7, '0') || 'Z', '{{}}'
      FROM generate_series(1, 100000) AS n""".replace("%%", "%")
    with DATABASES.one() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER TABLE records SET (autovacuum_enabled = false)")
            connection.execute(fill)
            if analysed:
                connection.execute("ANALYZE records")
        engine = await PostgresEngine.open(url, pool=2)
        try:
            for name, (selection, after, _) in SELECTIONS.items():
                explained = Explained()
                assert [rows async for rows in selection.batches(explained, 20, after)] == []
                sql, arguments = positional(explained.sql, explained.values)
                async with engine._connection() as raw:
                    rows = await raw.fetch(f"EXPLAIN (ANALYZE) {sql}", *arguments)
                plan = "\n".join(row[0] for row in rows)
                assert "Index" in plan and "Sort" not in plan and "Seq Scan" not in plan, plan
                if "prefix" not in name or "time" not in name:
                    assert "Rows Removed" not in plan, f"{name}\n{plan}"
        finally:
            await engine.close()
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("ALTER TABLE records RESET (autovacuum_enabled)")


async def test_sqlite_reads_states_by_indexes(tmp_path: Path) -> None:
    class Reading(SqliteEngine):
        async def read(self, sql: str, values: Any) -> Any:
            plan = await super().read(f"EXPLAIN QUERY PLAN {sql}", values)
            steps.extend(step["detail"] for step in plan)
            return await super().read(sql, values)

    steps: list[str] = []
    async with new_engine(tmp_path) as engine:
        engine.__class__ = Reading
        await selections.states(engine, "orders", ["conn_1"])
        await selections.counts(engine, ["conn_1"])
    searched = [step for step in steps if "records" in step or "landed" in step]
    assert any("COVERING INDEX records_by_change" in step for step in searched)
    assert not [step for step in searched if step.startswith("SCAN")], steps
