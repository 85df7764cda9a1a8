"""kill -9 at random moments of a sync: nothing lost, nothing twice, little read again."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import anyio
import httpx
import pytest

from connectors.amazon import sandbox as amazon
from tests.journeys.process import Process, sandbox, service
from tests.serving import User, token

pytestmark = pytest.mark.anyio

ORDERS = 1500
SPEED = 600.0
KILLS = int(os.environ.get("KILLS", "10"))
COUNTERS = ("processed", "total", "created", "updated", "unchanged", "failed", "status")


@pytest.mark.timeout(180)
async def test_ten_kills_leave_no_trace_in_records_or_counters(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    random = Random(20261122)
    with sandbox(tmp_path, free_port(), ORDERS, SPEED) as far:
        calm = await _undisturbed(tmp_path / "calm", free_port(), far)
        async with httpx.AsyncClient(base_url=far.url) as door:
            await door.post("/_sandbox/reset")
            killed = await _with_kills(
                tmp_path / "killed", free_port(), far, random, calm["status"]["recordsProcessed"]
            )
            calls = (await door.get("/_sandbox/log")).json()["calls"]
        taken_up = (tmp_path / "killed" / "service.log").read_text().count("sync_taken_up")
        assert taken_up == KILLS, "a kill that came after the end proves nothing"
        assert killed["records"] == calm["records"]
        assert _counters(killed["status"]) == _counters(calm["status"])
        assert killed["status"]["status"] == "complete"
        assert killed["status"]["attempt"] == 1  # a killed process costs none
        for operation in ("searchOrders", "getInventorySummaries", "listTransactions"):
            again = _read_again(calls, operation)
            assert again <= KILLS, f"{operation}: {again} pages were read again"


async def _undisturbed(folder: Path, port: int, far: Process) -> dict[str, Any]:
    folder.mkdir()
    with service(folder, port, **amazon.environ(far.url)) as near:
        async with _user(near) as ann:
            await ann.connect(**amazon.connection(1, ORDERS), skipHistoricalSync=True)
            return await _found(ann, await ann.start())


async def _with_kills(
    folder: Path, port: int, far: Process, random: Random, expected: int
) -> dict[str, Any]:
    """Killed at moments drawn over the length of the sync, and started again each time."""
    folder.mkdir()
    environ = amazon.environ(far.url)
    marks = sorted(random.sample(range(1, 90), KILLS))
    sync_id = None
    for percent in marks:
        with service(folder, port, **environ) as near:
            async with _user(near) as ann:
                if sync_id is None:
                    body = amazon.connection(1, ORDERS)
                    await ann.connect(**body, skipHistoricalSync=True)
                    sync_id = await ann.start()
                await _until_past(ann, sync_id, percent / 100, expected, random)
            near.kill()
    assert sync_id is not None
    with service(folder, port, **environ) as near:
        async with _user(near) as ann:
            return await _found(ann, sync_id)


async def _until_past(ann: User, sync_id: str, share: float, expected: int, random: Random) -> None:
    """Until that share of the records is there, and a random moment more."""
    with anyio.fail_after(30):
        while True:
            if (await ann.status(sync_id))["recordsProcessed"] >= share * expected:
                break
            await anyio.sleep(0.001)
    await anyio.sleep(random.random() * 0.02)


async def _found(ann: User, sync_id: str) -> dict[str, Any]:
    status = await ann.until(sync_id, seconds=60)
    records = {
        name: sorted((each["id"], str(each["data"])) for each in await ann.records(name))
        for name in ("orders", "inventory", "transactions")
    }
    return {"status": status, "records": records}


def _counters(status: dict[str, Any]) -> dict[str, Any]:
    return {
        each["name"]: {counter: each[counter] for counter in COUNTERS}
        for each in status["datasets"]
    }


def _read_again(calls: list[dict[str, Any]], operation: str) -> int:
    """How many of its calls repeat one that was answered before."""
    asked = Counter(
        tuple(sorted((name, str(value)) for name, value in call["parameters"].items()))
        for call in calls
        if call["operation"] == operation and call["status"] == 200
    )
    return sum(count - 1 for count in asked.values())


def _user(near: Process) -> "_Client":
    return _Client(near.url)


class _Client:
    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token()}"}, timeout=20
        )

    async def __aenter__(self) -> User:
        return User(self._http)

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
