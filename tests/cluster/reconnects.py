"""Streams that reconnect between nodes, how late their events are, and the connections to Redis.

Each client follows a sync to its end. It reads some events, disconnects and connects to the next
web process with `Last-Event-ID`: ids must rise, no event may be `reset`, and the event of the end
must arrive. Half of the syncs are cancelled."""

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from random import Random
from time import time
from typing import Any

import anyio
import click
import msgspec
from redis import Redis

from tests.cluster.clients import Connection, StreamEvent, connect, follow, start
from tests.cluster.nodes import Cluster, cluster
from tests.cluster.report import Report
from tests.databases import REDIS
from tests.journeys.process import Process

SYNCS = 4
"""Syncs that run at once."""
FOLLOWERS = 8
"""Clients of each sync."""
STREAMS = 1000
EVENTS = 3
"""Events that a client reads before it disconnects, at most."""
SOURCE = {"DEMO_ORDERS": "1000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.02"}
TIMED = {"DEMO_ORDERS": "6000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.02"}
"""A source with 630 pages: about as many events, 30 a second."""
IDLE = {"DEMO_PAUSE": "600"}
MEDIAN, MOST = 5.0, 50.0
"""Milliseconds from a change on a worker to the event at a client of another process: for half of
the events, and for 99 of 100."""
CONNECTIONS = 3
"""Connections to Redis of one process, at most."""


class Followed(msgspec.Struct):
    """What the clients of a run have seen."""

    reconnects: int = 0
    events: int = 0
    #: Ids that were not greater than the one before.
    falls: int = 0
    resets: int = 0
    #: Clients that saw the end of their sync.
    ends: int = 0
    #: Clients that followed a sync.
    clients: int = 0
    #: Reconnects after the end that were answered with a stream.
    reopened: int = 0
    #: Connects without a stream: the database was away.
    refused: int = 0


@click.command(help=__doc__)
@click.option("--reconnects", default=10_000, show_default=True)
@click.option("--streams", default=STREAMS, show_default=True, help="Open at one process.")
def main(reconnects: int, streams: int) -> Report:
    """The command."""
    report = Report("streams between nodes")
    with cluster(2, 2, **SOURCE) as nodes:
        report_followed(report, anyio.run(reconnect, nodes, reconnects))
    with cluster(2, 1, **TIMED) as nodes:
        late = anyio.run(lateness, nodes)
        report_lateness(report, late, "")
    with cluster(2, 1, **IDLE, MAX_STREAMS_PER_USER="5000") as nodes:
        for count in (1, streams):
            name = f"connections to Redis of a process, {count:,} streams"
            report.at_most(name, anyio.run(connections, nodes, count), CONNECTIONS)
    return report


def report_followed(report: Report, seen: Followed) -> None:
    report.note("reconnects with Last-Event-ID", seen.reconnects)
    report.note("connects that were refused", seen.refused)
    report.note("events", seen.events)
    report.exactly("ids that did not rise", seen.falls, 0)
    report.exactly("events `reset`", seen.resets, 0)
    report.exactly("clients that saw the end of their sync", seen.ends, seen.clients)
    report.exactly("streams that opened again after the end", seen.reopened, 0)


def report_lateness(report: Report, late: Sequence[float], when: str) -> None:
    report.note(f"events of a worker at two web processes{when}", len(late))
    report.at_most(f"ms from the change to the client, half of them{when}", at(late, 0.5), MEDIAN)
    report.at_most(f"ms from the change to the client, 99 of 100{when}", at(late, 0.99), MOST)


def at(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return sorted(values)[max(0, round(len(values) * share) - 1)]


# Reconnects -------------------------------------------------------------------------------------


async def reconnect(nodes: Cluster, reconnects: int) -> Followed:
    """Reconnect at least that often. Returns what the clients saw."""
    seen, random = Followed(), Random(1)
    urls = [web.url for web in nodes.web]
    async with AsyncExitStack() as stack:
        users = [f"user-{number}" for number in range(SYNCS)]
        clients = [await stack.enter_async_context(Connection(urls[0], user)) for user in users]
        for client in clients:
            await connect(client)
        while seen.reconnects < reconnects:
            syncs = [await start(client) for client in clients]
            async with anyio.create_task_group() as group:
                for user, sync_id in zip(users, syncs, strict=True):
                    for _ in range(FOLLOWERS):
                        seen.clients += 1
                        group.start_soon(follow_to_end, urls, user, sync_id, seen, random)
                group.start_soon(_cancel_some, urls, users, syncs, random)
    return seen


async def follow_to_end(
    urls: Sequence[str], user: str, sync_id: str, seen: Followed, random: Random
) -> None:
    """Follow a sync to its end, at the nodes in turn."""
    last, turn = 0, random.randrange(len(urls))
    while True:
        turn += 1
        async with follow(urls[turn % len(urls)], user, sync_id, last or None) as stream:
            if stream.status != 200:
                seen.refused += 1
                await anyio.sleep(0.1)
                continue
            left = random.randint(1, EVENTS)
            seen.reconnects += bool(last)
            async for event in stream.events():
                seen.events += 1
                seen.resets += event.name == "reset"
                seen.falls += event.name != "reset" and event.id <= last
                last = event.id
                left -= 1
                if event.ends:
                    seen.ends += 1
                    await _return(urls, user, sync_id, last, seen)
                    return
                if not left:
                    break


async def _return(urls: Sequence[str], user: str, sync_id: str, last: int, seen: Followed) -> None:
    """Connect after the end, at each node: there is nothing more to say."""
    for url in urls:
        async with follow(url, user, sync_id, last) as stream:
            seen.reconnects += 1
            seen.reopened += stream.status != 204


async def _cancel_some(
    urls: Sequence[str], users: Sequence[str], syncs: Sequence[str], random: Random
) -> None:
    for user, sync_id in zip(users[::2], syncs[::2], strict=True):
        await anyio.sleep(random.uniform(0.3, 1.0))
        async with Connection(random.choice(urls), user) as client:
            await client.post(f"/api/sync/cancel/{sync_id}")


# Lateness ---------------------------------------------------------------------------------------


async def lateness(nodes: Cluster) -> list[float]:
    """Milliseconds from each change of a sync on a worker to its event at clients of two other
    processes. They include the write of the change: `updatedAt` is the time before it."""
    late: list[float] = []
    async with Connection(nodes.web[0].url, "ann") as ann:
        await connect(ann)
        sync_id = await start(ann)
        async with anyio.create_task_group() as group:
            for web in nodes.web:
                group.start_soon(_time_events, web.url, sync_id, late)
    return late


async def _time_events(url: str, sync_id: str, late: list[float]) -> None:
    async with follow(url, "ann", sync_id) as stream:
        first = True
        async for event in stream.events():
            now = time()
            if not first:  # the first one is the state before the stream
                late.append((now - _changed(event)) * 1000)
            first = False


def _changed(event: StreamEvent) -> float:
    return datetime.fromisoformat(event.json["updatedAt"]).timestamp()


# Connections to Redis ---------------------------------------------------------------------------


async def connections(nodes: Cluster, streams: int) -> int:
    """The most connections to Redis of one process while so many streams are open at one."""
    url = nodes.web[0].url
    async with Connection(url, f"user-{streams}") as client:
        await connect(client)
        sync_id = await start(client)
        async with AsyncExitStack() as stack:
            for _ in range(streams):
                await stack.enter_async_context(follow(url, f"user-{streams}", sync_id))
            answer = await client.post(f"/api/sync/cancel/{sync_id}")  # so that each one sends
            # On a busy machine the sync may have ended meanwhile, which was sent to each as well.
            assert answer.status == 200 or answer.json["code"] == "already_finished", answer.body
            return max(_counted(nodes))


def _counted(nodes: Cluster) -> list[int]:
    """The connections to Redis of each process."""
    with Redis.from_url(REDIS) as redis:
        clients: Any = redis.client_list()
    ports = {int(client["addr"].rpartition(":")[2]) for client in clients}
    return [len(ports & _ports(process)) for process in (*nodes.web, *nodes.workers)]


def _ports(process: Process) -> set[int]:
    """The local ports of the sockets of a process."""
    inodes = {os.readlink(link) for link in Path(f"/proc/{process.popen.pid}/fd").iterdir()}
    sockets = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in sockets]
    return {int(row[1].partition(":")[2], 16) for row in fields if f"socket:[{row[9]}]" in inodes}
