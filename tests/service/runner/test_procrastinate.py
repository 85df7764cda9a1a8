"""Syncs of a cluster: which worker runs which sync, and what happens to those of dead workers."""

import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import asyncpg  # type: ignore[import-untyped]
import msgspec
import psycopg
import pytest
from structlog.testing import capture_logs

from service.runner.connector import prepare
from service.runner.procrastinate import ProcrastinateRunner
from service.store import postgres_session
from service.store.engine import Statement
from service.store.postgres import PostgresEngine
from service.store.postgres_session import APPLICATION
from service.store.syncs import Conditions, SyncStore, save
from tests.databases import DATABASES, ON_POSTGRES
from tests.service.scripted import scripted
from tests.service.store.stores import NOW
from tests.service.test_model import new_sync
from tests.serving import PATIENCE, serve

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres"),
]


RUN_BY_DEAD_WORKER = """
WITH worker AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id)
UPDATE procrastinate_jobs SET status = 'doing', worker_id = worker.id FROM worker RETURNING 1
"""


class Nodes:
    """The database of a cluster, and runners of its processes."""

    def __init__(self, url: str, engine: PostgresEngine) -> None:
        self.url, self.engine, self.store = url, engine, SyncStore(engine)

    def runner(self, max_at_once: int = 1) -> ProcrastinateRunner:
        return ProcrastinateRunner(self.url, self.engine, max_at_once)

    async def begin(self, sync_id: str, running: bool = False) -> None:
        """Store a sync with its job; `running`: a process has taken it."""
        sync = msgspec.structs.replace(new_sync(), id=sync_id, user=sync_id, tenant=sync_id)
        assert await self.store.create(sync, Conditions(3), None, *self.runner(0).job(sync))
        if running:
            assert await self.store.write(save(sync.taken(NOW)))

    async def read(self, sql: str) -> list[tuple[Any, ...]]:
        rows = await self.engine.read(sql, {})
        return [tuple(row.values()) for row in rows]

    async def run_by_dead_worker(self) -> None:
        """Give all waiting jobs to a worker that signalled just now, but has no process."""
        await self.read(RUN_BY_DEAD_WORKER)


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    with DATABASES.one() as url:
        engine = await PostgresEngine.open(url, pool=10)
        try:
            yield Nodes(url, engine)
        finally:
            await engine.close()


async def test_the_syncs_of_a_process_that_ended_are_given_to_others_at_once(nodes: Nodes) -> None:
    await nodes.begin("sync_1", running=True)
    await nodes.run_by_dead_worker()
    assert await nodes.runner().rescue()
    assert await nodes.read("SELECT lock, status FROM procrastinate_jobs") == [("sync_1", "todo")]
    assert not await nodes.runner().rescue(), "nothing is left to do"


async def test_the_syncs_of_a_living_worker_stay_with_it(nodes: Nodes) -> None:
    await nodes.begin("sync_1", running=True)
    begun = anyio.Event()

    async def run(_: str) -> None:
        begun.set()
        await anyio.sleep_forever()

    async with nodes.runner().open(run):
        with anyio.fail_after(PATIENCE):
            await begun.wait()
        assert not await nodes.runner().rescue()
        assert await nodes.read("SELECT status FROM procrastinate_jobs") == [("doing",)]


async def test_interrupted_syncs_continue_before_waiting_ones_begin(nodes: Nodes) -> None:
    await nodes.begin("sync_2", running=True)
    await nodes.run_by_dead_worker()
    await nodes.begin("sync_1")
    await nodes.runner().rescue()
    order, done = list[str](), anyio.Event()

    async def run(sync_id: str) -> None:
        order.append(sync_id)
        if len(order) == 2:
            done.set()

    async with nodes.runner().open(run):
        with anyio.fail_after(PATIENCE):
            await done.wait()
    assert order == ["sync_2", "sync_1"]


async def test_rescues_at_once_give_each_sync_one_job(nodes: Nodes) -> None:
    for number in range(20):
        await nodes.begin(f"sync_{number}", running=True)
    await nodes.run_by_dead_worker()
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(nodes.runner().rescue)
    jobs = await nodes.read("SELECT lock FROM procrastinate_jobs")
    assert sorted(jobs) == sorted((f"sync_{number}",) for number in range(20))


async def test_a_worker_that_loses_its_session_begins_again(nodes: Nodes) -> None:
    runs, begun = list[str](), anyio.Event()

    async def run(sync_id: str) -> None:
        runs.append(sync_id)
        begun.set()
        if len(runs) == 1:
            await anyio.sleep_forever()

    await nodes.begin("sync_1", running=True)
    async with nodes.runner().open(run):
        with anyio.fail_after(PATIENCE):
            await begun.wait()
            await nodes.read(
                """SELECT pg_terminate_backend(pid) FROM pg_locks
                    WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
                      AND database = (SELECT oid FROM pg_database
                                       WHERE datname = current_database())"""
            )
            await nodes.runner().rescue()
            while len(runs) < 2:
                await anyio.sleep(0.05)
    assert runs == ["sync_1", "sync_1"]


async def test_a_late_end_of_a_sync_that_another_worker_has_leaves_no_trace(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    runs, begun, may_end, done = list[str](), anyio.Event(), anyio.Event(), anyio.Event()

    async def run(sync_id: str) -> None:
        runs.append(sync_id)
        if len(runs) == 2:
            done.set()
        begun.set()
        await may_end.wait()

    await nodes.begin("sync_1", running=True)
    async with nodes.runner().open(run):
        with anyio.fail_after(PATIENCE):
            await begun.wait()
            await nodes.read("DELETE FROM procrastinate_jobs RETURNING 1")
            await nodes.begin("sync_2")
            may_end.set()
            await done.wait()
    gc.collect()  # an error that nobody has seen is logged when its task is deleted
    assert not [
        record for record in caplog.records if record.exc_info or record.levelname == "ERROR"
    ]


async def test_a_sync_that_comes_back_while_it_still_runs_here_runs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the only process had been thought dead, twice. Its earlier run ends without a trace."""
    script, gate = scripted(monkeypatch), anyio.Event()
    script.set_records("orders", "order-1")
    script.gates["orders"] = gate
    with anyio.fail_after(PATIENCE), capture_logs() as logs:
        async with serve(tmp_path) as service:
            ann = service.user()
            await ann.connect()
            sync_id = await ann.start()
            for reads in (1, 2, 3):
                while [name for name, _ in script.windows].count("orders") < reads:
                    await anyio.sleep(0.01)
                while gate.statistics().tasks_waiting != 1:
                    await anyio.sleep(0.01)
                if reads < 3:
                    assert await service.parts.store.write(Statement(RUN_BY_DEAD_WORKER, [{}]))
            assert service.parts.nodes.here().running == 1
            gate.set()
            done = await ann.until(sync_id)
            assert (done["status"], done["attempt"]) == ("complete", 1)
    assert [line["event"] for line in logs].count("run_replaced") == 2
    assert "sync_crashed" not in [line["event"] for line in logs]


async def test_a_write_that_hangs_does_not_keep_the_rows_of_its_syncs(nodes: Nodes) -> None:
    """As of a process that is paused between two statements, or cut off from the network."""
    await nodes.begin("sync_1", running=True)
    hanging = await psycopg.AsyncConnection.connect(nodes.url)
    await prepare(hanging)
    await hanging.execute("UPDATE sync_progress SET message = ''")
    with anyio.fail_after(PATIENCE):
        sync = await nodes.store.sync("sync_1")
        assert sync and await nodes.store.write(save(sync.taken(NOW)))
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        await hanging.execute("SELECT 1")
    await hanging.close()
    assert await nodes.read("SHOW idle_in_transaction_session_timeout") == [("5s",)]


async def test_a_process_that_stops_in_the_middle_of_a_request_does_not_hold_up_the_rescue(
    nodes: Nodes,
) -> None:
    """asyncpg sends a statement that is new to a connection in two parts, here in a rescue."""
    await nodes.begin("sync_1", running=True)
    await nodes.run_by_dead_worker()
    stopped = await asyncpg.connect(nodes.url, server_settings={"application_name": APPLICATION})
    await postgres_session.prepare(stopped)
    await stopped.execute("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('rescue', 0))")
    await stopped.prepare("SELECT $1::text")
    with anyio.fail_after(PATIENCE):
        while not await nodes.runner().rescue():
            await anyio.sleep(0.1)
    assert stopped.is_closed()
