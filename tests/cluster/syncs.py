"""Many syncs of many users: half of the demo source, half of the local Selling Partner API."""

import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import httpx
from anyio import to_thread

from connectors import amazon_sandbox as amazon
from tests.cluster.nodes import Cluster, cluster, user_at
from tests.journeys.process import Process, free_port, sandbox
from tests.journeys.results import Result, differences, result_of
from tests.serving import Json, User

Call = Callable[[], Awaitable[Any]]

ORDERS = 60
"""Orders of a seller of the local Selling Partner API."""
LONGEST = 3600.0
"""Seconds that the syncs may take."""
AT_ONCE = 16
"""Users that connect, start or are compared at the same time."""
PACE = {"DEMO_ORDERS": "400", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.8", "DEMO_BAD": "40"}
"""Settings of the demo source with which a sync takes about 35 s."""
SPEED = 8.0
"""With this speed of the local API, a sync of it takes about as long."""


@contextmanager
def cluster_and_source(
    speed: float = SPEED, /, **environ: str
) -> Iterator[tuple[Cluster, Process]]:
    """A cluster whose syncs of Amazon read a local Selling Partner API."""
    with (
        tempfile.TemporaryDirectory() as folder,
        sandbox(Path(folder), free_port(), ORDERS, speed) as source,
        cluster(**{**PACE, **amazon.environ(source.url), **environ}) as nodes,
    ):
        yield nodes, source


def connection(number: int, only: str = "") -> Json:
    """The account of the user with this number."""
    if (only or ("amazon", "demo")[number % 2]) == "demo":
        return {"connector": "demo", "refreshToken": "good"}
    return amazon.connection(number, ORDERS)


class Crowd:
    """One sync of each of `count` users, whose names begin with `name`."""

    def __init__(self, nodes: Cluster, name: str, count: int, only: str = "") -> None:
        """`only`: the connector of all accounts, else two connectors alternate."""
        self._nodes, self._name, self._only = nodes, name, only
        self.count = count
        self.ids: list[str] = [""] * count

    async def connect(self) -> None:
        async def one(number: int) -> None:
            async with self._user(number) as user:
                await user.connect(**connection(number, self._only))

        await together([partial(one, number) for number in range(self.count)], AT_ONCE)

    async def start(self) -> None:
        async def one(number: int) -> None:
            async with self._user(number) as user:
                self.ids[number] = await user.start()

        await together([partial(one, number) for number in range(self.count)], AT_ONCE)

    async def run(self, seconds: float = LONGEST) -> float:
        """Start the syncs and wait until they have ended; returns how many seconds that took."""
        begun = monotonic()
        await self.start()
        await self.until_ended(seconds)
        return monotonic() - begun

    async def until_taken(self) -> None:
        """Wait until a worker has taken every sync."""
        await self._until(self.count, "status <> 'pending'")

    async def until_reading(self) -> None:
        """Wait until half of the syncs have read something."""
        await self._until(self.count // 2, "progress > 30")

    async def _until(self, count: int, condition: str) -> None:
        sql = f"SELECT id FROM sync_progress WHERE id = ANY(%s) AND {condition}"
        while len(await to_thread.run_sync(self._nodes.read, sql, self.ids)) < count:
            await anyio.sleep(0.05)

    async def until_ended(self, seconds: float = LONGEST) -> None:
        with anyio.fail_after(seconds):
            while await to_thread.run_sync(self._nodes.live):
                await anyio.sleep(0.2)

    async def results(self) -> list[Result]:
        async def one(number: int) -> Result:
            async with self._user(number) as user:
                return await result_of(user, self.ids[number])

        return await together([partial(one, number) for number in range(self.count)], AT_ONCE)

    def _user(self, number: int) -> AbstractAsyncContextManager[User]:
        node = self._nodes.web[number % len(self._nodes.web)]
        return user_at(node.url, f"{self._name}-{number}")


async def together(calls: Sequence[Call], at_once: int = 10_000) -> list[Any]:
    """The results of these calls, all or `at_once` of them at the same time."""
    limit, results = anyio.CapacityLimiter(at_once), dict[int, Any]()

    async def one(number: int) -> None:
        async with limit:
            results[number] = await calls[number]()

    async with anyio.create_task_group() as group:
        for number in range(len(calls)):
            group.start_soon(one, number)
    return [results[number] for number in range(len(calls))]


def wrong_results(crowd: Crowd, expected: Sequence[Result], results: Sequence[Result]) -> list[str]:
    """The differences from the results that the same accounts had before."""
    return [
        f"{sync_id}: {fault}"
        for sync_id, before, after in zip(crowd.ids, expected, results, strict=True)
        for fault in differences(before, after)
    ]


def audit_faults(nodes: Cluster) -> list[str]:
    """Syncs that were not started once and completed once, as the audit log says."""
    rows = nodes.read(
        """SELECT sync.id, COUNT(*) FILTER (WHERE action = 'started') AS started,
                  COUNT(*) FILTER (WHERE action = 'completed') AS completed, COUNT(*) AS lines
             FROM sync_progress AS sync LEFT JOIN audit_logs ON sync_id = sync.id
            GROUP BY sync.id"""
    )
    once = {"started": 1, "completed": 1, "lines": 2}
    return [str(row) for row in rows if row != {"id": row["id"], **once}]


def jobs_left(nodes: Cluster) -> int:
    (row,) = nodes.read("SELECT COUNT(*) AS n FROM procrastinate_jobs")
    return int(row["n"])


def calls(source: Process) -> list[Json]:
    """The calls of the local API since its last reset."""
    return list(httpx.get(f"{source.url}/_sandbox/log", timeout=60).json()["calls"])


def refusals(source: Process) -> int:
    """The calls that the local API has answered with 429 since its last reset."""
    return sum(call["status"] == 429 for call in calls(source))


async def reset(source: Process) -> None:
    """Quotas, tokens and log as at the start."""
    async with httpx.AsyncClient() as client:
        (await client.post(f"{source.url}/_sandbox/reset")).raise_for_status()
