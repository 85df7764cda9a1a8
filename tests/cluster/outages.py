"""Redis is killed under load, and PostgreSQL is restarted without a checkpoint.

Without Redis, no request may fail, and events and cancels may be late, within a bound. After a
restart of PostgreSQL, every process must be there, and every sync must go on."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from random import Random
from time import monotonic
from typing import Any

import anyio
import anyio.to_thread
import click
import msgspec
import psycopg
from psycopg import AsyncConnection

from service.store.migrations import migrate
from tests.cluster.clients import Connection, connect, follow, start
from tests.cluster.nodes import Cluster, cluster
from tests.cluster.reconnects import Followed, at, follow_to_end, report_followed
from tests.cluster.report import Report
from tests.servers import PostgresServer, RedisServer, postgres, redis

WITHOUT_REDIS = 20
"""Cancels while Redis is away, at once."""
USERS = 12
"""Users with a running sync and a stream of it, in both parts."""
POLL = 0.02
"""Seconds between two polls of a user."""
QUOTA = {"DEMO_PAUSE": "180"}
"""A source that lets a sync wait for three minutes before each page."""
SOURCE = {"DEMO_ORDERS": "40000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.2"}
"""A source that takes longer than the measurement."""
FINITE = {"DEMO_ORDERS": "1000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.3"}
"""A source of 1,050 records that takes about 30 s."""
RECORDS = 1050
LATEST_EVENT = 3.0
"""Seconds after which every client of a stream has a change that a poll has shown."""
LATEST_CANCEL = 3.0
"""Seconds within which a sync stops after its cancel while Redis is away."""
LATEST_CANCEL_WITH_REDIS = 0.1
"""The same with Redis, for 99 of 100."""
DATABASE = "sync"
"""The name of the database that is restarted."""
RUNNING = ("in_progress", "paused")
LONGEST_GAP = 10.0
"""Seconds after the return of PostgreSQL within which every sync goes on."""


@click.command(help=__doc__)
@click.option("--seconds", default=10.0, show_default=True, help="How long Redis is away.")
@click.option("--cancels", default=100, show_default=True, help="Cancels with Redis.")
@click.option("--restarts", default=5, show_default=True, help="Restarts of PostgreSQL.")
def main(seconds: float, cancels: int, restarts: int) -> Report:
    """The command."""
    report = Report("outages")
    with redis() as wire, cluster(2, 2, **SOURCE, REDIS_URL=wire.url) as nodes:
        report_load(report, anyio.run(lose_redis, nodes, wire, seconds))
        report.none("processes that ended, and traces in logs", ended(nodes) + nodes.traces())
    with redis() as wire, cluster(2, 2, **QUOTA, REDIS_URL=wire.url) as nodes:
        report_cancels(report, nodes, wire, cancels)
    with migrated() as (server, url), cluster(2, 2, **FINITE, DATABASE_URL=url) as nodes:
        report_restarts(report, anyio.run(restart_postgres, nodes, server, restarts))
        report.none("processes that ended", ended(nodes))
    return report


def report_cancels(report: Report, nodes: Cluster, wire: RedisServer, cancels: int) -> None:
    spent = anyio.run(cancel_waiting, nodes, cancels)
    name = "ms from a cancel to the end of the run, 99 of 100"
    report.at_most(name, at(spent, 0.99) * 1000, LATEST_CANCEL_WITH_REDIS * 1000)
    spent = anyio.run(cancel_waiting, nodes, WITHOUT_REDIS, wire.kill)
    name = "s from a cancel to the end of the run, without Redis, the last one"
    report.at_most(name, max(spent), LATEST_CANCEL)


@contextmanager
def migrated() -> Iterator[tuple[PostgresServer, str]]:
    """A PostgreSQL of its own, and the address of a database of the newest schema."""
    with postgres() as server:
        server.run(f"CREATE DATABASE {DATABASE}")
        migrate(server.url(DATABASE))
        yield server, server.url(DATABASE)


def ended(nodes: Cluster) -> list[str]:
    """The processes that have ended."""
    processes = (*nodes.web, *nodes.workers)
    return [process.path.name for process in processes if process.popen.poll() is not None]


# Redis ------------------------------------------------------------------------------------------


class Load(msgspec.Struct):
    """What clients saw while Redis was killed and started again."""

    requests: int = 0
    events: int = 0
    events_without_redis: int = 0
    failed: list[str] = []
    #: When the polls showed each version first, by sync.
    shown: dict[str, dict[int, float]] = msgspec.field(default_factory=lambda: defaultdict(dict))
    #: Seconds from the first poll that showed a version to an event of that version or a later one.
    late: list[float] = []


def report_load(report: Report, load: Load) -> None:
    report.note("requests while Redis was killed and started again", load.requests)
    report.none("requests that failed", load.failed)
    report.note("events", load.events)
    report.note("events while Redis was away", load.events_without_redis)
    report.at_most("s from a poll to the event, the last one", max(load.late), LATEST_EVENT)


async def lose_redis(nodes: Cluster, wire: RedisServer, seconds: float) -> Load:
    """Kill Redis for some seconds, between as many seconds with it."""
    load = Load()
    names = [f"user-{number}" for number in range(USERS)]
    async with anyio.create_task_group() as group:
        for number, name in enumerate(names):
            group.start_soon(_live, nodes, number, name, load)
        await anyio.sleep(seconds)
        wire.kill()
        before = load.events
        await anyio.sleep(seconds)
        load.events_without_redis = load.events - before
        await anyio.to_thread.run_sync(wire.start)
        await anyio.sleep(seconds)
        group.cancel_scope.cancel()
    return load


async def _live(nodes: Cluster, number: int, name: str, load: Load) -> None:
    """Run a sync of a user, poll it at one node, and follow it at the other one."""
    here, there = (nodes.web[(number + offset) % len(nodes.web)].url for offset in (0, 1))
    async with Connection(here, name) as client, anyio.create_task_group() as group:
        await connect(client)
        sync_id = await start(client)
        group.start_soon(_watch, there, name, sync_id, load)
        while True:
            answer = await client.get(f"/api/sync/status/{sync_id}")
            load.requests += 1
            if answer.status == 200:
                load.shown[sync_id].setdefault(answer.version, monotonic())
            else:
                load.failed.append(f"{answer.status}: {answer.body[:200]!r}")
            await anyio.sleep(POLL)


async def _watch(url: str, name: str, sync_id: str, load: Load) -> None:
    shown = load.shown[sync_id]
    async with follow(url, name, sync_id) as stream:
        async for event in stream.events():
            now = monotonic()
            load.events += 1
            due = [version for version in shown if version <= event.id]
            load.late += [now - shown.pop(version) for version in due]


# Cancels ----------------------------------------------------------------------------------------


async def cancel_waiting(
    nodes: Cluster, count: int, before: Callable[[], None] | None = None
) -> list[float]:
    """Seconds from the cancel of each waiting sync until its run has ended on its worker: one after
    the other, or all at once after `before`."""
    spent: list[float] = []
    async with AsyncExitStack() as stack:
        database = await AsyncConnection.connect(nodes.environ["DATABASE_URL"], autocommit=True)
        await stack.enter_async_context(database)
        waiting = []
        for number in range(count):
            user = f"user-{before is None}-{number}"
            url = nodes.web[number % len(nodes.web)].url
            client = await stack.enter_async_context(Connection(url, user))
            await connect(client)
            waiting.append((client, await start(client)))
        for client, sync_id in waiting:
            await _until(client, sync_id, lambda status: status["waitingUntil"] is not None)
        if before:
            before()
        async with anyio.create_task_group() as group:
            for client, sync_id in waiting:
                if before:
                    group.start_soon(_cancel, database, client, sync_id, spent)
                else:
                    await _cancel(database, client, sync_id, spent)
    return spent


async def _cancel(
    database: AsyncConnection[Any], client: Connection, sync_id: str, spent: list[float]
) -> None:
    """The engine deletes the job of a sync when its run has ended."""
    begin = monotonic()
    answer = await client.post(f"/api/sync/cancel/{sync_id}")
    assert answer.status == 200, answer.body
    with anyio.fail_after(60):
        while await _has_job(database, sync_id):
            await anyio.sleep(0.002)
    spent.append(monotonic() - begin)


async def _has_job(database: AsyncConnection[Any], sync_id: str) -> bool:
    sql = "SELECT id FROM procrastinate_jobs WHERE lock = %s"
    return await (await database.execute(sql, (sync_id,))).fetchone() is not None


async def _until(
    client: Connection, sync_id: str, condition: Callable[[Any], bool], seconds: float = 120
) -> None:
    """Poll a sync until its status is so. Other answers than 200 are ignored."""
    with anyio.fail_after(seconds):
        while True:
            answer = await client.get(f"/api/sync/status/{sync_id}")
            if answer.status == 200 and condition(answer.json):
                return
            await anyio.sleep(POLL)


# PostgreSQL -------------------------------------------------------------------------------------


class Restarts(msgspec.Struct):
    """The results of the syncs, and how long each pause was."""

    #: Seconds from each return of PostgreSQL until the last sync went on.
    gaps: list[float] = []
    syncs: int = 0
    #: Syncs with another end, attempt or number of records than without a restart.
    differences: list[str] = []
    streams: Followed = msgspec.field(default_factory=Followed)


def report_restarts(report: Report, seen: Restarts) -> None:
    report.note("restarts of PostgreSQL", len(seen.gaps))
    report.note("syncs", seen.syncs)
    report.at_most("s until every sync went on, the longest", max(seen.gaps), LONGEST_GAP)
    report.none("syncs that ended otherwise than undisturbed", seen.differences)
    report_followed(report, seen.streams)


async def restart_postgres(
    nodes: Cluster, server: PostgresServer, restarts: int, users: int = USERS
) -> Restarts:
    """Restart PostgreSQL during the syncs and streams of some users; others start after each."""
    seen, urls, random = Restarts(), [web.url for web in nodes.web], Random(1)
    syncs: list[tuple[Connection, str, str]] = []
    async with AsyncExitStack() as stack, anyio.create_task_group() as group:
        for number in range(restarts):
            started = []
            for turn in range(users):
                user = f"user-{number}-{turn}"
                client = Connection(urls[turn % len(urls)], user)
                await connect(await stack.enter_async_context(client))
                started.append((client, user, await start(client)))
                seen.streams.clients += 1
                group.start_soon(follow_to_end, urls, user, started[-1][2], seen.streams, random)
            for client, _, sync_id in started:
                await _until(client, sync_id, lambda status: status["recordsProcessed"] > 0)
            await anyio.to_thread.run_sync(server.crash)
            seen.gaps.append(await _until_all_go_on(started))
            syncs += started
        for client, _, sync_id in syncs:
            await _until(client, sync_id, lambda status: status["status"] not in RUNNING)
            answer = await client.get(f"/api/sync/status/{sync_id}")
            seen.differences += _differences(answer.json, _stored(server, sync_id))
    seen.syncs = len(syncs)
    return seen


async def _until_all_go_on(syncs: Sequence[tuple[Connection, str, str]]) -> float:
    """Seconds until each sync has a newer version than at first, or has ended."""
    begin = monotonic()
    async with anyio.create_task_group() as group:
        for client, _, sync_id in syncs:
            group.start_soon(_until_it_goes_on, client, sync_id)
    return monotonic() - begin


async def _until_it_goes_on(client: Connection, sync_id: str) -> None:
    seen: list[int] = []

    def goes_on(status: Any) -> bool:
        seen.append(status["version"])
        return status["version"] > seen[0] or status["status"] not in RUNNING

    await _until(client, sync_id, goes_on)


def _stored(server: PostgresServer, sync_id: str) -> int:
    """The number of records that a sync has stored."""
    with psycopg.connect(server.url(DATABASE)) as connection:
        sql = "SELECT count(*) FROM records WHERE sync_id = %s"
        rows = connection.execute(sql, (sync_id,)).fetchall()
    return int(rows[0][0])


def _differences(status: Any, stored: int) -> list[str]:
    fields = ("status", "attempt", "recordsProcessed", "recordsFailed")
    found = (*(status[name] for name in fields), stored)
    expected = ("complete", 1, RECORDS, 0, RECORDS)
    return [] if found == expected else [f"{status['syncId']}: {found}, not {expected}"]
