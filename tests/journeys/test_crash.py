"""kill -9 at random moments and at chosen points of a sync: nothing lost, nothing twice, little
read again. `make crash N=200` kills more often."""

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from connectors.amazon import sandbox as amazon
from tests.journeys.dying import POINTS
from tests.journeys.process import Died, Process, dying_service, sandbox
from tests.serving import Json, User, read, token

pytestmark = pytest.mark.anyio

ORDERS = 1500
SPEED = 600.0
KILLS = int(os.environ.get("KILLS", "10"))
SEED = int(os.environ.get("SEED", "20261122"))
COUNTERS = ("processed", "total", "created", "updated", "unchanged", "failed", "status")
PAGED = ("searchOrders", "getInventorySummaries", "listTransactions", "getShipments")
AT_MOST = {"download": 40, "detect": 4000, "finalize": 1}
"""How late a point may be passed for the last time before the process dies."""
BY_US: dict[str, Callable[[Process], object]] = {
    "any_time": lambda near: near.kill(),
    "sigterm": lambda near: near.terminate(10),
}


class Told(msgspec.Struct, frozen=True):
    """What is to be the same after any number of kills."""

    counters: dict[str, Any]
    records: dict[str, list[Any]]
    claims: list[Any]
    attempt: int
    status: str


@pytest.mark.timeout(60 + 20 * KILLS)
async def test_kills_leave_no_trace_in_records_counters_or_claims(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    deaths = _deaths(Random(SEED))
    killed: Counter[str] = Counter()
    again: Counter[str] = Counter()
    syncs = 0
    with sandbox(tmp_path, free_port(), ORDERS, SPEED) as far:
        async with httpx.AsyncClient(base_url=far.url) as door:
            calm = await _sync(tmp_path, free_port(), far, "calm", iter(()), Counter())
            while _count(killed) < KILLS:
                await door.post("/_sandbox/reset")
                before = killed.total()
                syncs += 1
                found = await _sync(tmp_path, free_port(), far, f"user-{syncs}", deaths, killed)
                assert found == calm
                calls = (await door.get("/_sandbox/log")).json()["calls"]
                for operation in PAGED:
                    pages = _read_again(calls, operation)
                    assert pages <= killed.total() - before, f"{operation}: {pages} read again"
                    again[operation] += pages
    print(f"{_count(killed)} kills in {syncs} syncs: {dict(killed)}; read again: {dict(again)}")
    assert _count(killed) >= KILLS


def _deaths(random: Random) -> Iterator[str]:
    """Without end: mostly at a chosen point, of which the number is drawn, else any time; and now
    and then in order, by SIGTERM."""
    points = (*POINTS, "any_time", "sigterm")
    while True:
        for point in random.sample(points, len(points)):
            yield f"{point}:{random.randint(1, AT_MOST.get(point, 25))}"


def _count(killed: Counter[str]) -> int:
    """How often by kill -9."""
    return killed.total() - killed["sigterm"]


async def _sync(
    folder: Path,
    port: int,
    far: Process,
    name: str,
    deaths: Iterator[str],
    killed: Counter[str],
) -> Told:
    """One sync to its end, in as many processes as it takes. A process that sees the end alive
    counts for nothing: its point did not come."""
    begun = ""
    while True:
        death = next(deaths, "") if _count(killed) < KILLS else ""
        point, _, number = death.partition(":")
        environ = {} if point in ("", *BY_US) else {"DIE_AT": death}
        try:
            with dying_service(folder, port, **environ, **amazon.environ(far.url)) as near:
                async with _user(near, name) as user:
                    begun = begun or await _begun(user)
                    if point in BY_US and await _until_random(user, begun, int(number)):
                        BY_US[point](near)
                    await user.until(begun, "complete", "failed", seconds=60)
                    return await _told(user, begun)
        except httpx.TransportError:
            expected = 0 if point == "sigterm" else -signal.SIGKILL
            assert near.popen.wait(20) == expected, near.log
        except Died:
            pass  # at its very start
        killed[point] += 1


async def _begun(user: User) -> str:
    """Connected and started, though the process may have died in between the last time."""
    if not read(await user.get("/api/connections"))["connections"]:
        await user.connect(**amazon.connection(1, ORDERS), skipHistoricalSync=True)
    return await user.start(onConflict="attach")


async def _until_random(user: User, sync_id: str, number: int) -> bool:
    """Some way into what is left of the sync; False if it came to its end."""
    begin = (await user.status(sync_id))["version"]
    with anyio.fail_after(30):
        while True:
            status = await user.status(sync_id)
            if status["status"] == "complete":
                return False
            if status["version"] >= begin + number:
                return True
            await anyio.sleep(0.001)


async def _told(user: User, sync_id: str) -> Told:
    status = await user.status(sync_id)
    names = [each["name"] for each in status["datasets"] if each["name"] != "claims"]
    return Told(
        counters={each["name"]: [each[c] for c in COUNTERS] for each in status["datasets"]},
        records={name: await _records(user, name) for name in names},
        claims=await _claims(user),
        attempt=status["attempt"],
        status=status["status"],
    )


async def _records(user: User, dataset: str) -> list[Any]:
    return sorted(_record(dataset, each) for each in await user.records(dataset))


def _record(dataset: str, record: Json) -> tuple[str, str]:
    """A preview of fees tells when it was made, and each sync's was made at another moment."""
    told, data = record["id"], record["data"]
    if dataset == "fees":
        told, data = told.partition("/")[2], {**data, "snapshotat": ""}
    return told, str(data)


async def _claims(user: User) -> list[Any]:
    """By what they say: their ids are those of a connection."""
    found: list[Json] = []
    params: Json = {"limit": 100}
    while True:
        page = read(await user.get("/api/recoveries", params=params))
        found += page["recoveries"]
        if page["nextCursor"] is None:
            break
        params["cursor"] = page["nextCursor"]
    told = ("rule", "title", "status", "units", "amount", "currency", "opens", "closes")
    return sorted(str([each[name] for name in told]) for each in found)


def _read_again(calls: list[Json], operation: str) -> int:
    """How many of its calls repeat one that was answered before."""
    asked = Counter(
        tuple(sorted((name, str(value)) for name, value in call["parameters"].items()))
        for call in calls
        if call["operation"] == operation and call["status"] == 200
    )
    return sum(count - 1 for count in asked.values())


@asynccontextmanager
async def _user(near: Process, name: str) -> AsyncIterator[User]:
    headers = {"Authorization": f"Bearer {token(name)}"}
    async with httpx.AsyncClient(base_url=near.url, headers=headers, timeout=20) as client:
        yield User(client)
