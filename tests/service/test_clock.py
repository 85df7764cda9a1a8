"""A clock that jumps forward or back during syncs and streams."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.service.clocks import FastClock
from tests.serving import json_of, read, serve

pytestmark = pytest.mark.anyio

SLOW: dict[str, Any] = {"DEMO_PAUSE": "5", "DEMO_PAGE": "25"}


@pytest.mark.parametrize("hours", [-100_000, -24, -1, 1, 24, 100])
async def test_a_running_sync_completes_after_a_jump(tmp_path: Path, hours: int) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        await ann.until_processed(sync_id, "orders", 50)
        clock.jump(timedelta(hours=hours))
        done = await ann.until(sync_id)
        assert (done["status"], done["datasets"][0]["created"]) == ("complete", 250)
        assert done["duration"] >= 0 and done["progress"] == 100
        assert len(await ann.records("orders")) == 250


async def test_after_a_jump_back_syncs_start_and_history_lists_them(tmp_path: Path) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        await ann.connect()
        first = await ann.whole_sync()
        clock.jump(timedelta(days=-2))
        second = await ann.whole_sync()
        assert second["status"] == "complete"
        listed = read(await ann.get("/api/sync/history"))
        assert {sync["syncId"] for sync in listed["syncs"]} == {first["syncId"], second["syncId"]}


async def test_an_open_stream_reports_the_end_after_a_jump(tmp_path: Path) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        statuses = []
        async for event in ann.events(sync_id):
            statuses.append(json_of(event))
            if len(statuses) == 3:
                clock.jump(timedelta(hours=-5))
        assert statuses[-1]["status"] == "complete"
        versions = [status["version"] for status in statuses]
        assert versions == sorted(set(versions))
