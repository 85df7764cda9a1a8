"""kill -9 of the service, of the source and of both, at random moments and at chosen points of a
sync: nothing is lost or stored twice, no dataset fails. `make crash N=200` kills more often;
KINDS=service does not kill the source."""

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import anyio
import httpx
import pytest

from connectors import amazon_sandbox as amazon
from tests.journeys.dying import POINTS
from tests.journeys.process import Died, Process, Restarting, dying_service, sandbox
from tests.journeys.results import Result, differences, result_of
from tests.serving import ENDED, PATIENCE, Json, User, read, token

pytestmark = pytest.mark.anyio

ORDERS = 1500
SPEED = 300.0
KILLS = int(os.environ.get("KILLS", "6"))
KINDS: dict[str, tuple[str, ...]] = {
    "service": (*POINTS, "any_time", "sigterm"),
    "sandbox": ("sandbox", "sandbox"),
    "both": ("both_source_first", "both_service_first"),
}
CHOSEN = tuple(os.environ.get("KINDS", "service,sandbox,both").split(","))
SEED = int(os.environ.get("SEED", "20261122"))
PAGED = ("searchOrders", "getInventorySummaries", "listTransactions", "getShipments")
#: Pages that connecting reads to learn the account: a sync that begins in the same second requests
#: the same page again.
READ_BEFORE = {"listTransactions": 1}
#: The greatest number that is drawn for a point.
AT_MOST = {"download": 40, "detect": 4000, "finalize": 1}
#: Kills by this test; at the other points, the process kills itself.
BY_TEST = ("any_time", "sigterm", *KINDS["sandbox"], *KINDS["both"])


class Kills:
    """The kills so far, by point. A SIGTERM is sent now and then, but not counted."""

    def __init__(self) -> None:
        self.points: Counter[str] = Counter()

    def __str__(self) -> str:
        return f"{self.count} kills: {dict(self.points)}"

    @property
    def count(self) -> int:
        return self.points.total() - self.points["sigterm"]

    @property
    def enough(self) -> bool:
        """Whether there were enough kills, and at least one of each kind."""
        every_kind = all(any(self.points[point] for point in KINDS[kind]) for kind in CHOSEN)
        return self.count >= KILLS and every_kind


@pytest.mark.timeout(1200 + 30 * KILLS)
async def test_kills_do_not_change_records_counters_or_claims(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    deaths = _deaths(Random(SEED))
    kills = Kills()
    read_again: Counter[str] = Counter()
    syncs = 0
    port = free_port()
    with Restarting(lambda: sandbox(tmp_path, port, ORDERS, SPEED)) as source:
        expected = await _sync(tmp_path, free_port(), source, "unharmed", iter(()), Kills())
        statuses = {counters[-1] for counters in expected.counters.values()}
        assert statuses == {"complete"}, expected.counters
        while not kills.enough:
            await _reset(source)
            before, restarts = kills.points.total(), source.kills
            syncs += 1
            result = await _sync(tmp_path, free_port(), source, f"user-{syncs}", deaths, kills)
            wrong = differences(expected, result)
            assert not wrong, "\n".join([f"sync {syncs} after {kills}", *wrong])
            if source.kills == restarts:  # otherwise its log of calls is lost
                read_again += await _read_again(source, kills.points.total() - before)
    print(f"{kills} in {syncs} syncs; read again: {dict(read_again)}")


def _deaths(random: Random) -> Iterator[str]:
    """Endless rounds: each point of the chosen kinds once, with a random number."""
    points = [point for kind in CHOSEN for point in KINDS[kind]]
    while True:
        for point in random.sample(points, len(points)):
            yield f"{point}:{random.randint(1, AT_MOST.get(point, 25))}"


async def _sync(
    folder: Path,
    port: int,
    source: Restarting,
    name: str,
    deaths: Iterator[str],
    kills: Kills,
) -> Result:
    """One sync to its end, in as many processes as it needs. The last one survives, since its point
    was not passed, and is not counted."""
    sync_id = ""
    while True:
        death = "" if kills.enough else next(deaths, "")
        point, _, number = death.partition(":")
        environ = {} if point in ("", *BY_TEST) else {"DIE_AT": death}
        try:
            with dying_service(folder, port, **environ, **amazon.environ(source.url)) as server:
                async with _user(server, name) as user:
                    sync_id = sync_id or await _started(user)
                    if point in BY_TEST and await _until_random(user, sync_id, int(number)):
                        _kill(point, server, source)
                        kills.points[point] += 1
                    await user.until(sync_id)
                    return await result_of(user, sync_id)
        except httpx.TransportError:
            expected = 0 if point == "sigterm" else -signal.SIGKILL
            assert server.popen.wait(20) == expected, server.log
        except Died:
            pass  # killed before it answered
        if point not in BY_TEST:
            kills.points[point] += 1


def _kill(point: str, server: Process, source: Restarting) -> None:
    """Kill, and restart the source: the next round restarts the service."""
    if point == "any_time":
        server.kill()
    elif point == "sigterm":
        server.terminate(10)
    else:
        if point == "both_service_first":
            server.kill()
        source.kill()
        if point == "both_source_first":
            server.kill()
        source.start()


async def _started(user: User) -> str:
    """Connect and start, unless that was done before the process was killed; the id of the sync."""
    if not read(await user.get("/api/connections"))["connections"]:
        await user.connect(**amazon.connection(1, ORDERS), skipHistoricalSync=True)
    return await user.start(onConflict="attach")


async def _until_random(user: User, sync_id: str, number: int) -> bool:
    """Wait until that many changes later; False if the sync ended before."""
    begin = (await user.status(sync_id))["version"]
    with anyio.fail_after(PATIENCE):
        while True:
            status = await user.status(sync_id)
            if status["status"] in ENDED:
                return False
            if status["version"] >= begin + number:
                return True
            await anyio.sleep(0.001)


async def _reset(source: Restarting) -> None:
    """Reset quotas and reports of the source."""
    async with httpx.AsyncClient(base_url=source.url) as control:
        assert (await control.post("/_sandbox/reset")).status_code == 200


async def _read_again(source: Restarting, kills: int) -> Counter[str]:
    """The number of pages read again, by operation: at most one for each kill."""
    async with httpx.AsyncClient(base_url=source.url) as control:
        calls = (await control.get("/_sandbox/log")).json()["calls"]
    read_again = Counter({operation: _repeated(calls, operation) for operation in PAGED})
    for operation, pages in read_again.items():
        most = kills + READ_BEFORE.get(operation, 0)
        assert pages <= most, f"{operation}: {pages} pages read again after {kills} kills"
    return read_again


def _repeated(calls: list[Json], operation: str) -> int:
    """How many calls of an operation repeat one that was answered before."""
    answered = Counter(
        tuple(sorted((name, str(value)) for name, value in call["parameters"].items()))
        for call in calls
        if call["operation"] == operation and call["status"] == 200
    )
    return sum(count - 1 for count in answered.values())


@asynccontextmanager
async def _user(server: Process, name: str) -> AsyncIterator[User]:
    headers = {"Authorization": f"Bearer {token(name)}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=PATIENCE) as client:
        yield User(client)
