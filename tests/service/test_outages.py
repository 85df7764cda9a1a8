"""SQLite is unavailable for a while: its file is locked by another program, or the disk is full."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from service.store.sqlite import SqliteEngine
from tests.service.api.answers import problem
from tests.serving import PATIENCE, Serving, User, read, serve

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]  # they lock its file, and let it grow no more

SLOW: dict[str, Any] = {"DEMO_PAUSE": "0.05", "DEMO_PAGE": "10"}


@asynccontextmanager
async def locked_database(folder: Path) -> AsyncIterator[None]:
    """Hold the write lock of the database, as another program."""
    with closing(sqlite3.connect(folder / "sync.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


@asynccontextmanager
async def full_disk(service: Serving) -> AsyncIterator[None]:
    """Forbid the file to grow, so that SQLite reports a full disk."""
    engine = service.parts.store._engine
    assert isinstance(engine, SqliteEngine)
    writer = engine._writer.raw
    (row,) = await writer.execute_fetchall("PRAGMA page_count")
    await writer.execute_fetchall(f"PRAGMA max_page_count = {row[0]}")
    try:
        yield
    finally:
        await writer.execute_fetchall("PRAGMA max_page_count = 1073741823")


async def start_running_sync(service: Serving) -> tuple[User, str]:
    ann = service.user()
    await ann.connect()
    sync_id = await ann.start()
    await ann.until_processed(sync_id, "orders", 30)
    return ann, sync_id


async def assert_nothing_was_lost(user: User, sync_id: str) -> None:
    done = await user.until(sync_id)
    assert (done["status"], done["attempt"], done["warnings"]) == ("complete", 1, [])
    assert done["datasets"][0]["created"] == 250
    assert len(await user.records("orders")) == 250


async def test_a_sync_waits_for_a_locked_database_while_polls_are_answered(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann, sync_id = await start_running_sync(service)
        async with locked_database(tmp_path):
            await anyio.sleep(0.3)
            stuck = await ann.status(sync_id)
            for _ in range(20):
                assert await ann.status(sync_id) == stuck
                await anyio.sleep(0.1)
            assert stuck["status"] == "in_progress"
        await assert_nothing_was_lost(ann, sync_id)


async def test_a_start_reports_an_unavailable_database_and_changes_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as service:
        ann = service.user()
        await ann.connect()
        async with locked_database(tmp_path):
            refused = await ann.post("/api/sync/start")
            problem(refused, 503, "store_unavailable")
            assert int(refused.headers["retry-after"]) > 0
            assert read(await ann.get("/api/sync/history"))["total"] == 0
        assert (await ann.whole_sync())["status"] == "complete"


async def test_a_cancel_that_cannot_be_stored_is_not_shown(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann, sync_id = await start_running_sync(service)
        async with locked_database(tmp_path):
            problem(await ann.post(f"/api/sync/cancel/{sync_id}"), 503, "store_unavailable")
            assert (await ann.status(sync_id))["status"] == "in_progress"
        await assert_nothing_was_lost(ann, sync_id)


async def test_a_sync_waits_for_space_on_a_full_disk(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann, sync_id = await start_running_sync(service)
        async with full_disk(service):
            await anyio.sleep(0.5)
            stuck = await ann.status(sync_id)
            await anyio.sleep(0.5)
            assert await ann.status(sync_id) == stuck
            assert stuck["status"] == "in_progress"
        await assert_nothing_was_lost(ann, sync_id)


async def test_a_process_stops_in_time_while_its_database_is_locked(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        _, sync_id = await start_running_sync(service)
        async with locked_database(tmp_path):
            await anyio.sleep(0.3)
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    group.start_soon(service.parts.registry.take, sync_id)
                    await anyio.sleep(0.1)
                    group.cancel_scope.cancel()
    async with serve(tmp_path) as service:
        await assert_nothing_was_lost(service.user(), sync_id)
