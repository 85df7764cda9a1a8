"""PostgreSQL: which writes are one statement, and that it stores what a transaction would."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from connectors.base import Cursor, Page, Record
from service.model import Sync
from service.store import postgres
from service.store.engine import Statement, bulk
from service.store.postgres import PostgresEngine
from service.store.postgres_sql import MOST, as_one
from service.store.syncs import save
from tests.databases import DATABASES
from tests.service.store.stores import NOW, Stores, begin_sync, records, store_page
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio

COUNT = "UPDATE sync_counts SET total = 1 WHERE user_id = :id RETURNING total"
GUARD = Statement(COUNT, [{"id": "ann"}])
COST = "INSERT INTO costs (user_id, sku, amount, currency) VALUES (:user, :sku, '1', :currency)"
ROW = {"user": "ann", "sku": "a", "currency": "USD"}
MANY = "INSERT INTO costs SELECT :user, rows.id, '1', 'USD' FROM {rows} WHERE true"


class Fetching:
    """A connection that can only fetch, and counts how often."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.fetched = 0

    async def fetch(self, sql: str, *values: Any, **options: Any) -> Any:
        self.fetched += 1
        return await self._connection.fetch(sql, *values, **options)


@asynccontextmanager
async def new_store() -> AsyncIterator[Stores]:
    with DATABASES.one() as url:
        engine = await PostgresEngine.open(url, pool=1)
        try:
            yield Stores(engine)
        finally:
            await engine.close()


async def page_of(
    store: Stores, sync: Sync, page: Sequence[Record]
) -> tuple[Sync, list[Statement]]:
    write = await store.records.page_write(sync, "orders", page, NOW)
    sync = sync.advanced("orders", Page([], Cursor("c")), write.tally, NOW)
    return sync, [statement for statement in write.statements if statement.rows]


async def test_a_page_is_one_round_trip() -> None:
    async with new_store() as store:
        engine: Any = store.engine
        sync, statements = await page_of(
            store, await begin_sync(store, new_sync()), [Record(str(n), b"{}") for n in range(100)]
        )
        assert len(statements) == 3, "the records, their number, and the outbox"
        async with engine._connection() as connection:
            fetching: Any = Fetching(connection)
            assert await postgres._write(fetching, save(sync), statements, engine._metrics)
        assert fetching.fetched == 1
        assert len(await engine.read("SELECT id FROM records", {})) == 100
        assert len(await engine.read("SELECT seq FROM outbox WHERE feed = 'records'", {})) == 1


async def test_one_statement_stores_what_a_transaction_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_one = await _pages_stored()
    monkeypatch.setattr(postgres, "as_one", lambda *_: None)
    assert await _pages_stored() == in_one
    assert [len(rows) for rows in in_one] == [5, 1, 5, 2]


async def test_a_guard_of_several_rows_inserts_once() -> None:
    guard = Statement("UPDATE sync_counts SET total = total + 1 RETURNING total", [{}])
    async with new_store() as store:
        count = "INSERT INTO sync_counts (user_id, total, ahead) VALUES (:id, 0, 0) RETURNING total"
        for user in ("ann", "bob"):
            assert await store.write(Statement(count, [{"id": user}]))
        cost = Statement(COST, [ROW])
        assert as_one(guard, [cost]) is not None
        assert await store.write(guard, cost)
        assert (
            len(await store.engine.read("SELECT total FROM sync_counts WHERE total = 1", {})) == 2
        )
        assert len(await store.engine.read("SELECT sku FROM costs", {})) == 1


async def _pages_stored() -> list[list[dict[str, Any]]]:
    """What two syncs have stored: new, changed, equal and odd records, and a page too late."""
    async with new_store() as store:
        for number in (1, 2):
            sync = msgspec.structs.replace(new_sync(), id=f"sync_{number}")
            sync = await begin_sync(store, sync)
            for page in (
                records(("1", "new"), ("2", "new")),
                records(("1", "new"), ("2", "changed"), ("3", "new")),
                records(("1", "new"), ("2", "changed")),
                records(("4", ""), ("5", "\x1f")),  # the separator of the cells of a column
            ):
                sync = await store_page(store, sync, page)
            late, statements = await page_of(store, sync, records(("6", "late")))
            assert await store.write(save(sync.cancelled(NOW)))
            assert not await store.write(save(late), *statements)
        selected = (
            "* FROM records ORDER BY id",
            "* FROM landed",
            "feed, type, sync_id, body FROM outbox ORDER BY seq",
            "* FROM sync_progress ORDER BY id",
        )
        read = [await store.engine.read(f"SELECT {what}", {}) for what in selected]
        return [[dict(row) for row in rows] for rows in read]


def test_inserts_behind_a_guard_are_one_statement() -> None:
    written = as_one(GUARD, [Statement(COST, [ROW])])
    assert written is not None
    sql, arguments = written
    assert sql.startswith("WITH guard AS (UPDATE sync_counts") and "COMMIT" not in sql
    assert "SELECT $2::text, $3::text, '1', $4::text WHERE EXISTS (SELECT 1 FROM guard)" in sql
    assert list(arguments) == ["ann", "ann", "a", "USD"]
    assert as_one(GUARD, []) == (
        "UPDATE sync_counts SET total = 1 WHERE user_id = $1::text RETURNING total",
        ["ann"],
    )


@pytest.mark.parametrize(
    ("guard", "rest"),
    [
        (Statement(COUNT, [{"id": "ann"}], alone=("tenant",)), []),
        (Statement(COUNT, [{"id": "ann"}, {"id": "bob"}]), []),
        (GUARD, [Statement(COST, [ROW], optional=True)]),
        (GUARD, [Statement(COST, [ROW, {**ROW, "sku": "b"}])]),
        (GUARD, [Statement(COST, [{**ROW, "currency": None}])]),
        (GUARD, [Statement(COST, [ROW]), bulk(MANY, {"user": "ann"}, {"id": ["b"]})]),
        (GUARD, [bulk(MANY, {"user": "ann"}, {"id": ["b"] * (MOST + 1)})]),
        (GUARD, [Statement("INSERT INTO costs SELECT user_id FROM sync_counts", [{}])]),
        (GUARD, [Statement("INSERT INTO costs SELECT id FROM tenants", [{}])]),
        (GUARD, [Statement("DELETE FROM costs WHERE user_id = :id", [{"id": "ann"}])]),
        (Statement("WITH old AS (DELETE FROM x) SELECT 1", [{}]), []),
    ],
    ids=[
        *("locks", "two guards", "may fail alone", "two rows", "a null", "one table twice", "long"),
        *("reads what the guard wrote", "no values", "no insert", "no plain guard"),
    ],
)
def test_a_write_that_needs_a_transaction_is_not_one_statement(
    guard: Statement, rest: Sequence[Statement]
) -> None:
    assert as_one(guard, rest) is None
