"""PostgreSQL: tables as parameters, and the plans of every statement that the service sends."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.lowlevel
import psycopg
import pytest

from service.store import postgres, postgres_session
from service.store.engine import Statement, Unavailable, stamp
from service.store.postgres import PostgresEngine
from tests.databases import DATABASES, Databases
from tests.service.store.stores import NOW
from tests.serving import User, serve

pytestmark = pytest.mark.anyio

ROWS = 50_000
LONGEST = 120
"""Seconds that a sync may take on a busy machine."""
EXPLAIN = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_level = 'notice';
SET auto_explain.log_analyze = on;
SET auto_explain.log_timing = off;
"""
GROWING = "records|sync_history_items|sync_progress|claims|claim_evidence|audit_logs"
"""Tables of which no statement of a request or a page may read more than it needs."""
WRONG = re.compile(rf"Hash (?:\w+ )?Join|Seq Scan on (?:{GROWING})\b")
READ = re.compile(r"actual rows=(\d+) loops=(\d+)")
LEFT_OUT = re.compile(r"Rows Removed by [\w ]+: (\d+)")
RETAINED = "audit_logs|idempotency_keys|notifications|webhook_deliveries"
RARE = re.compile(rf"typeinfo_tree|sync_progress AS old|DELETE FROM (?:{RETAINED})")
"""Statements of the driver, once for each type, and of the retention, once an hour."""
MOST = 1_000
"""Rows that a step of a statement may read: a page has 100, a part of a detection 500."""
FILL = (
    """
    INSERT INTO records (connection_id, dataset, id, sync_id, seen, hash, updated_at, data, at)
    SELECT %(connection)s, 'orders', 'old-' || n, 'sync_0', 'sync_0', 'h', %(at)s, '{}', %(at)s
      FROM generate_series(1, %(rows)s) AS n
    """,
    """
    INSERT INTO sync_history_items (sync_id, dataset, record_id, name, outcome, at)
    SELECT 'sync_0', 'orders', 'old-' || n, '', 'failed', '' FROM generate_series(1, %(rows)s) AS n
    """,
    """
    INSERT INTO sync_progress (id, user_id, tenant_id, connection_id, connector, status, stage,
                               progress, message, version, started_at, completed_at, updated_at,
                               body)
    SELECT 'sync_00' || n, CASE WHEN n %% 5 > 0 THEN own.user_id ELSE 'other' END, own.tenant_id,
           own.connection_id, 'demo', 'complete', 'complete', 100, '', 9, '2026-01-15',
           '2026-01-15', '2026-01-15', own.body
      FROM generate_series(1, %(rows)s / 10) AS n,
           (SELECT * FROM sync_progress WHERE connection_id = %(connection)s LIMIT 1) AS own
    """,
    """
    INSERT INTO audit_logs (id, at, action, user_id, tenant_id, actor, details)
    SELECT 'old-' || n, '2026-01-15', 'x', 'other', 'other', 'other', '{}'
      FROM generate_series(1, %(rows)s) AS n
    """,
)


class Plans:
    """The plans of the statements that the engine has run, by their SQL."""

    def __init__(self) -> None:
        self.by_sql: dict[str, set[str]] = {}

    def keep(self, _: Any, message: Any) -> None:
        _, is_plan, text = str(message).partition("Query Text: ")
        if is_plan:
            lines = text.splitlines()
            first = next(n for n, line in enumerate(lines) if "cost=" in line)
            plans = self.by_sql.setdefault("\n".join(lines[:first]), set())
            plans.add("\n".join(lines[first:]))

    def wrong(self) -> list[str]:
        """The statements that read a whole table, or much more than they return."""
        return [
            f"{sql}\n{plan}"
            for sql, plans in self.by_sql.items()
            if not RARE.search(sql)
            for plan in plans
            if WRONG.search(plan) or _most_rows(plan) > MOST
        ]


def _most_rows(plan: str) -> float:
    """The most rows that a step of the plan has read, those that it left out included."""
    read = [float(rows) * int(loops) for rows, loops in READ.findall(plan)]
    return max(read + [float(rows) for rows in LEFT_OUT.findall(plan)])


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    """Collects the plan of each statement, also of those that no test knows."""
    plans, explained = Plans(), set[int]()

    class ExplainingEngine(postgres.PostgresEngine):
        @asynccontextmanager
        async def _connection(self) -> AsyncIterator[Any]:
            async with super()._connection() as connection:
                connection.add_log_listener(plans.keep)
                try:
                    pid = connection.get_server_pid()
                    if pid not in explained:
                        explained.add(pid)
                        await connection.execute(EXPLAIN)
                    yield connection
                finally:
                    connection.remove_log_listener(plans.keep)

    monkeypatch.setattr(postgres, "PostgresEngine", ExplainingEngine)
    return plans


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A database whose tables are never analysed."""
    databases = Databases()
    try:
        with databases.one() as url:
            with psycopg.connect(url, autocommit=True) as connection:
                tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
                for (table,) in connection.execute(tables).fetchall():
                    connection.execute(f'ALTER TABLE "{table}" SET (autovacuum_enabled = false)')
            yield url
    finally:
        databases.drop()


@pytest.mark.timeout(10 * LONGEST)
@pytest.mark.parametrize("rows", [0, ROWS])
async def test_no_statement_of_a_request_or_a_page_reads_a_whole_table(
    tmp_path: Path, plans: Plans, database: str, rows: int
) -> None:
    environ = {"DATABASE_URL": database, "REDIS_URL": "", "DEMO_BAD": "50"}
    async with serve(tmp_path, None, **environ) as service:
        ann = service.user(f"ann-{rows}")
        connection_id = (await ann.connect())["id"]
        await ann.until(await ann.start(), seconds=LONGEST)
        _fill(database, connection_id, rows)
        for _ in range(7):  # from the sixth on, a statement may have another plan
            sync_id = await ann.start()
            await ann.until(sync_id, seconds=LONGEST)
            await _look_around(ann, sync_id)
        store, records = service.parts.store, service.parts.records
        sync = await store.sync(sync_id)
        assert sync and sync_id in await store.of_users([sync.user], sync.updated_at)
        assert await store.changes({sync_id: 0, "sync_x": 1}) == {sync_id: sync, "sync_x": None}
        assert len(await records.by_id(connection_id, "orders", ["x", "orders-0000001"])) <= 1
        await anyio.lowlevel.checkpoint()
    assert len(plans.by_sql) > 40
    wrong = plans.wrong()
    assert not wrong, "\n\n".join(wrong)


async def _look_around(ann: User, sync_id: str) -> None:
    """What clients ask for."""
    for path in (
        "sync/status",
        "sync/history?limit=5",
        f"sync/history/{sync_id}",
        f"sync/history/{sync_id}/items?limit=5",
        "data/orders?limit=5",
        "recoveries?limit=5",
        "audit?limit=5",
        "connections",
    ):
        answer = await ann.get(f"/api/{path}")
        assert answer.status_code == 200, answer.text


def _fill(database: str, connection_id: str, rows: int) -> None:
    values = {"connection": connection_id, "rows": rows, "at": stamp(NOW)}
    with psycopg.connect(database) as connection:
        for statement in FILL:
            connection.execute(statement, values)


async def test_a_transaction_of_a_process_without_processor_time_is_undone_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = postgres_session.SESSION.replace(
        "transaction_session_timeout = '5s'", "transaction_session_timeout = '50ms'"
    )
    monkeypatch.setattr(postgres_session, "SESSION", short)
    pauses = [0.5]
    run = postgres._run

    async def paused(*arguments: Any) -> None:
        if pauses:
            time.sleep(pauses.pop())  # noqa: ASYNC251 - the whole process, not only this task
        await run(*arguments)

    monkeypatch.setattr(postgres, "_run", paused)
    insert = "INSERT INTO costs (user_id, sku, amount, currency) VALUES ('ann', :sku, '1', 'USD')"
    write = [Statement(f"{insert} RETURNING 1", [{"sku": "a"}]), Statement(insert, [{"sku": "b"}])]
    with DATABASES.one() as url:
        engine = await PostgresEngine.open(url, pool=1)
        try:
            with pytest.raises(Unavailable, match=r"ended a (session|transaction) of this process"):
                await engine.write(write[0], write[1:])
            assert await engine.read("SELECT sku FROM costs", {}) == []
            assert await engine.write(write[0], write[1:])
        finally:
            await engine.close()


def test_long_texts_are_compressed_with_lz4() -> None:
    with DATABASES.one() as url, psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO records"
            " (connection_id, dataset, id, sync_id, seen, hash, updated_at, data)"
            " VALUES ('c', 'orders', '1', 's', 's', 'h', '', repeat('[1, 2]', 1000))"
        )
        used = connection.execute("SELECT pg_column_compression(data) FROM records").fetchall()
        connection.rollback()
    assert used == [("lz4",)]
