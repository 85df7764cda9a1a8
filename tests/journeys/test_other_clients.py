"""The feeds read by the official client of the Durable Streams protocol, unpatched (Node)."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.serving import PATIENCE, Json, Serving, User, serve, token

pytestmark = pytest.mark.anyio

CLIENTS = Path(__file__).parents[1] / "clients"
READY = bool(shutil.which("node")) and (CLIENTS / "node_modules").is_dir()
REASON = "the client is not installed: make tests/clients/node_modules"
SMALL = {"DEMO_ORDERS": "40", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.02"}


@pytest.fixture(autouse=True)
def installed() -> None:
    if not READY:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(REASON)


async def follow(service: Serving, path: str, live: str, count: int = 0) -> list[Json]:
    """What the client reads: `count` entries, or in catch-up all that is there."""
    command = ["node", str(CLIENTS / "follow.js"), service.url + path]
    command += [token("ann"), live, str(count)]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)

    done = await anyio.to_thread.run_sync(run)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def stored(user: User) -> list[tuple[str, str]]:
    return [
        (dataset, record["id"])
        for dataset in ("orders", "inventory", "transactions")
        for record in await user.records(dataset)
    ]


async def test_it_catches_up_page_by_page(tmp_path: Path) -> None:
    async with serve(tmp_path, None, **SMALL) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        await service.settled()
        changes = await follow(service, "/api/changes?limit=7", "catch-up")
        records = await stored(ann)
        assert sorted((change["dataset"], change["recordId"]) for change in changes) == sorted(
            records
        )


@pytest.mark.parametrize("live", ["long-poll", "sse"])
async def test_it_follows_a_sync_as_it_runs(tmp_path: Path, live: str) -> None:
    async with serve(tmp_path, None, **SMALL) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync(datasets=["orders"])
        before = len(await stored(ann))
        seen: list[Json] = []

        async def read_live() -> None:
            seen.extend(await follow(service, "/api/changes", live, before + 1))

        async with anyio.create_task_group() as group:
            group.start_soon(read_live)
            with anyio.fail_after(PATIENCE):
                while not service.parts.feeds.users():
                    await anyio.sleep(0.01)
            await ann.whole_sync(datasets=["inventory"])
        assert len(seen) == before + 1 == len({change["id"] for change in seen})
        assert [change["id"] for change in seen] == sorted(change["id"] for change in seen)
        assert {change["dataset"] for change in seen[before:]} == {"inventory"}


async def test_it_reads_events(tmp_path: Path) -> None:
    async with serve(tmp_path, None, **SMALL) as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        await service.settled()
        events = await follow(service, "/api/events", "catch-up")
        assert [(event["type"], event["data"]["syncId"]) for event in events] == [
            ("sync.started", done["syncId"]),
            ("sync.completed", done["syncId"]),
        ]
