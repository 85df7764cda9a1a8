"""Pages stored in a PostgreSQL database that was never analysed, beside SQLite in the same run.

Needs a PostgreSQL server on this machine (TEST_POSTGRES_URL), whose processes it reads in /proc."""

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import anyio
import msgspec
import psycopg

from connectors import amazon_sandbox
from tests.benchmarks.landing import SIZE, local_source
from tests.databases import SERVER, Databases
from tests.serving import serve

PAGES = 1000
ENDS = 100
"""Pages at the beginning and at the end that are compared."""
EVERY = 0.1
"""Seconds between two status polls, which take time from what is measured."""
LONGEST = 1800
"""Seconds that a sync may take."""


class Measured(msgspec.Struct, frozen=True):
    """A sync that stored all pages."""

    rate: float
    #: CPU seconds of the server's processes; 0 for SQLite.
    server: float = 0.0


async def run() -> dict[str, float]:
    try:
        psycopg.connect(f"{SERVER}/postgres", connect_timeout=30).close()
    except psycopg.OperationalError as error:
        print(f"\nlanding-postgres is left out: no PostgreSQL at {SERVER} ({error})")
        return {}
    databases = Databases()
    try:
        async with local_source(PAGES) as url:
            with tempfile.TemporaryDirectory() as folder, databases.one() as database:
                _never_analyse(database)
                sqlite = await _sync(Path(folder), url, f"sqlite:///{folder}/sync.db")
                postgres = await _sync(Path(folder), url, database)
                first, last = _ends(database)
                analysed = _analysed(database)
    finally:
        databases.drop()
    assert not analysed, "the server has analysed a table meanwhile"
    return {
        "rows stored a second on PostgreSQL": postgres.rate,
        "rows stored a second on SQLite": sqlite.rate,
        "ratio (at least 0.6)": postgres.rate / sqlite.rate,
        "server CPU, ms a page (at most 3)": postgres.server * 1000 / PAGES,
        f"time of the last {ENDS} pages to that of the first (at most 1.3)": last / first,
    }


async def _sync(folder: Path, url: str, database: str) -> Measured:
    environ = {**amazon_sandbox.environ(url), "DATABASE_URL": database, "REDIS_URL": ""}
    async with serve(folder, None, **environ) as service:
        ann = service.user()
        await ann.connect(**amazon_sandbox.connection(1, 1), skipHistoricalSync=True)
        begin, server = perf_counter(), _server_seconds(database)
        yesterday = datetime.now(UTC) - timedelta(days=1)  # recent orders are searched
        sync_id = await ann.start(datasets=["orders"], since=yesterday.isoformat())
        with anyio.fail_after(LONGEST):
            while (done := await ann.status(sync_id))["status"] == "in_progress":
                await anyio.sleep(EVERY)
        seconds = perf_counter() - begin
        assert done["status"] == "complete" and done["ordersProcessed"] == PAGES * SIZE, done
        return Measured(PAGES * SIZE / seconds, _server_seconds(database) - server)


def _never_analyse(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for (table,) in connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall():
            connection.execute(f'ALTER TABLE "{table}" SET (autovacuum_enabled = false)')


def _analysed(database: str) -> bool:
    sql = "SELECT COALESCE(SUM(analyze_count + autoanalyze_count), 0) FROM pg_stat_user_tables"
    with psycopg.connect(database) as connection:
        ((count,),) = connection.execute(sql).fetchall()
    return bool(count)


def _server_seconds(database: str) -> float:
    """CPU seconds of the server's processes that serve this database."""
    if database.startswith("sqlite"):
        return 0.0
    sql = """SELECT pid FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    with psycopg.connect(database) as connection:
        pids = [pid for (pid,) in connection.execute(sql).fetchall()]
    return sum(map(_seconds, pids))


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _ends(database: str) -> tuple[float, float]:
    """Seconds of the first and of the last pages, from the times at which they were stored."""
    sql = "SELECT DISTINCT updated_at FROM records ORDER BY updated_at"
    with psycopg.connect(database) as connection:
        times = [datetime.fromisoformat(at) for (at,) in connection.execute(sql).fetchall()]
    assert len(times) == PAGES, len(times)
    spans = times[ENDS] - times[0], times[-1] - times[-1 - ENDS]
    return spans[0].total_seconds(), spans[1].total_seconds()
