"""The demo, killed while its reports are made, continues at the next start.

Its source runs in the same process and forgets every report. `make crash` kills ten demos."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from tests.journeys.process import Process, demo
from tests.serving import PATIENCE, Json, User

pytestmark = pytest.mark.anyio

ORDERS = 200
#: A report takes 4 s: long enough to be killed meanwhile.
SPEED = 15.0
DEMOS = int(os.environ.get("DEMOS", "1"))


@pytest.mark.timeout(1200 + 60 * DEMOS)
async def test_a_demo_killed_while_reports_are_made_ends_complete_at_the_next_start(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    for number in range(DEMOS):
        folder = tmp_path / str(number)
        folder.mkdir()
        _complete(await _killed(folder, free_port(), 1), folder)


async def test_a_demo_killed_twice_in_one_sync_ends_complete(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    _complete(await _killed(tmp_path, free_port(), 2), tmp_path)


async def _killed(folder: Path, port: int, times: int) -> Json:
    """Kill the demo that often during a sync; the status when the sync has ended."""
    sync_id = ""
    for _ in range(times):
        with demo(folder, port, ORDERS, SPEED) as server:
            async with _user(server) as user:
                sync_id = sync_id or await user.start(onConflict="attach")
                await _until_reports_are_made(user, sync_id)
                server.kill()
    with demo(folder, port, ORDERS, SPEED) as server:
        async with _user(server) as user:
            return await user.until(sync_id)


def _complete(done: Json, folder: Path) -> None:
    log = (folder / "demo.log").read_text()
    failed = [item for item in done["datasets"] if item["status"] != "complete"]
    assert not failed, f"{failed}\n{log}"
    assert (done["status"], done["attempt"], done["error"]) == ("complete", 1, None), log
    assert done["ordersProcessed"] == ORDERS


async def _until_reports_are_made(user: User, sync_id: str) -> None:
    """Wait until three datasets wait for reports: by then, all orders of reports are stored."""
    with anyio.fail_after(PATIENCE):
        while True:
            status = await user.status(sync_id)
            assert status["status"] == "in_progress", status
            if sum(bool(item["waitingUntil"]) for item in status["datasets"]) >= 3:
                return
            await anyio.sleep(0.01)


@asynccontextmanager
async def _user(server: Process) -> AsyncIterator[User]:
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        yield User(client)
