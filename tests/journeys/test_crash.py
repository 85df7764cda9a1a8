"""kill -9 of the service, of the source and of both, at random moments and at chosen points of a
sync: nothing is lost, nothing comes twice, no dataset fails. `make crash N=200` kills more often;
KINDS=service leaves the source alone."""

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

from connectors import amazon_sandbox as amazon
from tests.journeys.dying import POINTS
from tests.journeys.process import Died, Process, Restarting, dying_service, sandbox
from tests.serving import ENDED, Json, User, read, token

pytestmark = pytest.mark.anyio

ORDERS = 1500
SPEED = 300.0
KILLS = int(os.environ.get("KILLS", "10"))
KINDS: dict[str, tuple[str, ...]] = {
    "service": (*POINTS, "any_time", "sigterm"),
    "sandbox": ("sandbox", "sandbox"),
    "both": ("both_source_first", "both_service_first"),
}
CHOSEN = tuple(os.environ.get("KINDS", "service,sandbox,both").split(","))
SEED = int(os.environ.get("SEED", "20261122"))
COUNTERS = ("processed", "total", "created", "updated", "unchanged", "failed", "status")
PAGED = ("searchOrders", "getInventorySummaries", "listTransactions", "getShipments")
ASKED_BEFORE = {"listTransactions": 1}
"""Pages that connecting asks for, to learn whose account it is: a sync that begins in the same
second asks for the same page."""
AT_MOST = {"download": 40, "detect": 4000, "finalize": 1}
"""How late a point may be passed for the last time before the process dies."""
BY_US = ("any_time", "sigterm", *KINDS["sandbox"], *KINDS["both"])
"""The kills that come from here; the others are the process's own doing."""


class Toll:
    """The kills so far, by point. A SIGTERM is sent now and then, and not counted."""

    def __init__(self) -> None:
        self.killed: Counter[str] = Counter()

    def __str__(self) -> str:
        return f"{self.count} kills: {dict(self.killed)}"

    @property
    def count(self) -> int:
        return self.killed.total() - self.killed["sigterm"]

    @property
    def paid(self) -> bool:
        """Whether there were enough kills, and at least one of each kind."""
        each = all(any(self.killed[point] for point in KINDS[kind]) for kind in CHOSEN)
        return self.count >= KILLS and each


class Told(msgspec.Struct, frozen=True):
    """What is to be the same after any number of kills."""

    counters: dict[str, Any]
    records: dict[str, list[Any]]
    claims: list[Any]
    attempt: int
    status: str


@pytest.mark.timeout(120 + 30 * KILLS)
async def test_kills_leave_no_trace_in_records_counters_or_claims(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    deaths = _deaths(Random(SEED))
    toll = Toll()
    again: Counter[str] = Counter()
    syncs = 0
    port = free_port()
    with Restarting(lambda: sandbox(tmp_path, port, ORDERS, SPEED)) as far:
        calm = await _sync(tmp_path, free_port(), far, "calm", iter(()), Toll())
        assert {each[-1] for each in calm.counters.values()} == {"complete"}, calm.counters
        while not toll.paid:
            await _reset(far)
            before, restarts = toll.killed.total(), far.kills
            syncs += 1
            found = await _sync(tmp_path, free_port(), far, f"user-{syncs}", deaths, toll)
            wrong = _differences(calm, found)
            assert not wrong, "\n".join([f"sync {syncs} after {toll}", *wrong])
            if far.kills == restarts:  # otherwise the source has forgotten what it was asked
                again += await _read_again(far, toll.killed.total() - before)
    print(f"{toll} in {syncs} syncs; read again: {dict(again)}")


def _deaths(random: Random) -> Iterator[str]:
    """Without end, in rounds: each point of the chosen kinds once, with a number drawn for it."""
    points = [point for kind in CHOSEN for point in KINDS[kind]]
    while True:
        for point in random.sample(points, len(points)):
            yield f"{point}:{random.randint(1, AT_MOST.get(point, 25))}"


async def _sync(
    folder: Path, port: int, far: Restarting, name: str, deaths: Iterator[str], toll: Toll
) -> Told:
    """One sync to its end, in as many processes as it takes. A process that sees the end alive
    counts for nothing: its point did not come."""
    begun = ""
    while True:
        death = "" if toll.paid else next(deaths, "")
        point, _, number = death.partition(":")
        environ = {} if point in ("", *BY_US) else {"DIE_AT": death}
        try:
            with dying_service(folder, port, **environ, **amazon.environ(far.url)) as near:
                async with _user(near, name) as user:
                    begun = begun or await _begun(user)
                    if point in BY_US and await _until_random(user, begun, int(number)):
                        _strike(point, near, far)
                        toll.killed[point] += 1
                    await user.until(begun, seconds=120)
                    return await _told(user, begun)
        except httpx.TransportError:
            expected = 0 if point == "sigterm" else -signal.SIGKILL
            assert near.popen.wait(20) == expected, near.log
        except Died:
            pass  # at its very start
        if point not in BY_US:
            toll.killed[point] += 1


def _strike(point: str, near: Process, far: Restarting) -> None:
    """Kill, and start the source again: the service is started again by its next round."""
    if point == "any_time":
        near.kill()
    elif point == "sigterm":
        near.terminate(10)
    else:
        if point == "both_service_first":
            near.kill()
        far.kill()
        if point == "both_source_first":
            near.kill()
        far.start()


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
            if status["status"] in ENDED:
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


def _differences(calm: Told, found: Told) -> list[str]:
    """What is not as in the calm run, by name: a diff of thousands of records is of no use."""
    said = [
        f"{name}: {getattr(found, name)}, not {getattr(calm, name)}"
        for name in ("status", "attempt")
        if getattr(found, name) != getattr(calm, name)
    ]
    said += [
        f"counters of {name} {COUNTERS}: {found.counters.get(name)}, not {counters}"
        for name, counters in calm.counters.items()
        if found.counters.get(name) != counters
    ]
    pairs = {name: (calm.records[name], found.records[name]) for name in calm.records}
    for name, (ours, theirs) in {**pairs, "claims": (calm.claims, found.claims)}.items():
        lost, more = Counter(ours) - Counter(theirs), Counter(theirs) - Counter(ours)
        if lost or more:
            said.append(f"{name}: {lost.total()} lost, {more.total()} too many")
    return said


async def _reset(far: Restarting) -> None:
    """Quotas and reports as at the first start."""
    async with httpx.AsyncClient(base_url=far.url) as door:
        assert (await door.post("/_sandbox/reset")).status_code == 200


async def _read_again(far: Restarting, kills: int) -> Counter[str]:
    """How many pages were read again, by operation: a kill costs at most the page in hand."""
    async with httpx.AsyncClient(base_url=far.url) as door:
        calls = (await door.get("/_sandbox/log")).json()["calls"]
    again = Counter({operation: _repeated(calls, operation) for operation in PAGED})
    for operation, pages in again.items():
        most = kills + ASKED_BEFORE.get(operation, 0)
        assert pages <= most, f"{operation}: {pages} pages read again after {kills} kills"
    return again


def _repeated(calls: list[Json], operation: str) -> int:
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
