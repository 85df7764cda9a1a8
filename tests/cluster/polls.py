"""Polls of a running sync at alternating nodes: does its version ever fall, and what do they cost?

A sync runs on a worker. Each client alternates between two web processes, and streams follow the
sync at both. A poll must show at least the newest version that any client had seen when the poll
was sent. Then the rate of polls is compared with that of the same service on SQLite, in turns."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import anyio
import click
import msgspec

from tests.benchmarks.child import child
from tests.benchmarks.polls import poll
from tests.cluster.clients import Connection, connect, follow, start
from tests.cluster.nodes import Cluster, cluster
from tests.cluster.report import Report
from tests.journeys.process import Process, free_port, processor_seconds, service
from tests.serving import token

POLLERS = 16
AT_ONCE = 64
RATIO = 0.7
"""The rate of polls on PostgreSQL, as a share of the rate on SQLite."""
SOURCE = {"DEMO_ORDERS": "20000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.005"}
"""A source with 2,100 pages, so that the version of a sync grows about 100 times a second."""
WIRES: dict[str, dict[str, str]] = {"with Redis": {}, "without Redis": {"REDIS_URL": ""}}


class Watched(msgspec.Struct):
    """What all clients of a run have seen."""

    polls: int = 0
    #: Polls that showed an older version than a client had seen before.
    falls: int = 0
    events: int = 0
    #: The newest version that any client has seen, by sync.
    newest: dict[str, int] = msgspec.field(default_factory=lambda: defaultdict(int))
    #: The sync that is polled.
    current: str = ""

    def see(self, sync_id: str, version: int) -> None:
        self.newest[sync_id] = max(self.newest[sync_id], version)


@click.command(help=__doc__)
@click.option("--polls", default=100_000, show_default=True, help="Polls with and without Redis.")
@click.option("--rounds", default=5, show_default=True, help="Measurements of each rate.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of a measurement.")
def main(polls: int, rounds: int, seconds: float) -> Report:
    """The command."""
    report = Report("polls of a running sync at alternating nodes")
    for wire, environ in WIRES.items():
        with cluster(2, 1, **SOURCE, **environ) as nodes:
            seen = anyio.run(watch, nodes, polls)
        report.note(f"polls, {wire}", seen.polls)
        report.note(f"events of streams, {wire}", seen.events)
        report.note(f"versions of the syncs, {wire}", sum(seen.newest.values()))
        report.exactly(f"versions that fell, {wire}", seen.falls, 0)
    report_rates(report, anyio.run(compare, rounds, seconds))
    return report


def report_rates(report: Report, rounds: Sequence[dict[str, "Rate"]]) -> None:
    sqlite = median(one["SQLite"].polls for one in rounds)
    postgres = median(one["PostgreSQL"].polls for one in rounds)
    for name in rounds[0]:
        cost = median(one[name].microseconds for one in rounds)
        report.note(f"microseconds of a processor a poll, {name}", cost)
    report.note(f"polls a second at {AT_ONCE} at once, SQLite", sqlite)
    report.note(f"polls a second at {AT_ONCE} at once, PostgreSQL", postgres)
    report.at_least("ratio", postgres / sqlite, RATIO)


# Versions ---------------------------------------------------------------------------------------


async def watch(nodes: Cluster, polls: int) -> Watched:
    """Poll at two web processes while a worker runs the sync. Returns what was seen."""
    seen = Watched()
    urls = [web.url for web in nodes.web]
    async with Connection(urls[0], "ann") as ann:
        await connect(ann)
        seen.current = await start(ann)
    async with anyio.create_task_group() as group:
        for url in urls:
            group.start_soon(_stream_always, url, seen)
        async with anyio.create_task_group() as pollers:
            for number in range(POLLERS):
                pollers.start_soon(_poll_in_turns, urls, number, polls // POLLERS, seen)
        group.cancel_scope.cancel()
    return seen


async def _poll_in_turns(urls: Sequence[str], number: int, polls: int, seen: Watched) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Connection(url, "ann")) for url in urls]
        for turn in range(number, number + polls):
            sync_id = seen.current
            newest = seen.newest[sync_id]
            answer = await clients[turn % len(clients)].get(f"/api/sync/status/{sync_id}")
            seen.polls += 1
            seen.falls += answer.version < newest
            seen.see(sync_id, answer.version)
            if sync_id == seen.current and b'"status":"in_progress"' not in answer.body:
                again = await clients[0].post("/api/sync/start")
                if again.status == 202:  # else another client has started the next one
                    seen.current = again.json["syncId"]


async def _stream_always(url: str, seen: Watched) -> None:
    """Follow every sync to its end."""
    while True:
        sync_id = seen.current
        async with follow(url, "ann", sync_id) as stream:
            async for event in stream.events():
                seen.events += 1
                seen.see(sync_id, event.id)
        await anyio.sleep(0.01)


# Rates ------------------------------------------------------------------------------------------


class Rate(msgspec.Struct, frozen=True):
    """Polls per second, and the time of a processor that the service took for one."""

    polls: float
    microseconds: float


async def compare(rounds: int, seconds: float) -> list[dict[str, Rate]]:
    """The rates of one process on SQLite and of one on PostgreSQL and Redis, in turns."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        sqlite = {"DATABASE_URL": f"sqlite:///{folder / 'sync.db'}", "REDIS_URL": ""}
        nodes = stack.enter_context(cluster(0, 0))
        servers = {
            "SQLite": service(folder, free_port(), DEMO_PAUSE="600", **sqlite),
            "PostgreSQL": service(folder, free_port(), DEMO_PAUSE="600", **nodes.environ),
        }
        opened = {name: stack.enter_context(server) for name, server in servers.items()}
        paths = {name: await _waiting_sync(server) for name, server in opened.items()}
        return [
            {name: await _rate(server, paths[name], seconds) for name, server in opened.items()}
            for _ in range(rounds)
        ]


async def _rate(server: Process, path: str, seconds: float) -> Rate:
    before = processor_seconds(server)
    with child(_poll_at_once, server.url, path, token(), seconds) as client:
        polls: float = await client.received()
    return Rate(polls, (processor_seconds(server) - before) / (polls * seconds) * 1e6)


def _poll_at_once(pipe: Pipe, url: str, path: str, bearer: str, seconds: float) -> None:
    poll(pipe, url, path, bearer, AT_ONCE, seconds)


async def _waiting_sync(server: Process) -> str:
    """The path of the status of a sync that waits for its source."""
    async with Connection(server.url, "ann") as ann:
        await connect(ann)
        path = f"/api/sync/status/{await start(ann)}"
        with anyio.fail_after(30):
            while (await ann.get(path)).json["waitingUntil"] is None:
                await anyio.sleep(0.05)
        return path
