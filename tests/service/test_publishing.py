"""The relay: what streams of Redis get, while Redis is away, and when relays replace each other."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from redis import Redis
from structlog.testing import capture_logs

from connectors.base import SystemClock
from service import publishing
from service.errors import StartupError
from service.model import Sync
from service.publishing import Relay
from service.store.changes import BEGINNING, ChangeStore, changed_records
from service.store.engine import Engine, Statement
from service.store.relay import RelayStore
from tests.databases import DATABASES, ON_POSTGRES
from tests.servers import RedisServer, free_port, proxy
from tests.servers import redis as redis_server
from tests.service.store.conftest import ENGINES
from tests.service.test_model import new_sync
from tests.serving import PATIENCE, Json, serve, settings

pytestmark = pytest.mark.anyio

EPOCH = 7
SMALL: dict[str, Any] = {"DEMO_ORDERS": "300", "DEMO_PAGE": "40", "DEMO_PAUSE": "0"}
BACKEND = "postgres" if ON_POSTGRES else "sqlite"


def entries(redis: Redis, key: str) -> list[tuple[str, Json]]:
    """The ids and events of a stream."""
    found = cast(list[Any], redis.xrange(key))
    return [(fields[b"change"].decode(), json.loads(fields[b"event"])) for _, fields in found]


async def until(condition: Callable[[], Any], seconds: float = 3 * PATIENCE) -> None:
    with anyio.fail_after(seconds):
        while True:
            met = condition()
            if await met if isinstance(met, Awaitable) else met:
                return
            await anyio.sleep(0.02)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "LOOK", 0.05)
    monkeypatch.setattr(publishing, "LONGEST_PAUSE", 0.2)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Engine]:
    async with ENGINES[BACKEND](folder) as engine:
        yield engine


class Outbox:
    """An outbox that tests fill, and relays over it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.changes = ChangeStore(engine, "postgresql" if ON_POSTGRES else "sqlite")
        self.store = RelayStore(engine)
        self.clock = SystemClock()
        self._sync: Sync = new_sync()

    async def add(self, *records: str) -> None:
        """Changes of these orders, in one transaction."""
        found = [("created", record, None) for record in records]
        added = changed_records(self._sync, "orders", self.clock.now(), found)
        await self._engine.write(Statement("SELECT 1 AS n", [{}]), [added])

    def relay(self, url: str, alone: bool = False) -> Relay:
        of = (self.changes, self.store, EPOCH, self.clock)
        return Relay(url, "test", 100_000, *of, alone)

    @asynccontextmanager
    async def relaying(self, url: str) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(self.relay(url).run)
            yield
            group.cancel_scope.cancel()


def orders(server: RedisServer) -> list[str]:
    """The records of the stream, with repeated changes once."""
    with Redis.from_url(server.url) as redis:
        by_id = dict(entries(redis, "test:records:demo:orders"))
    return [event["recordId"] for event in by_id.values()]


# What is published --------------------------------------------------------------------------------


async def test_the_streams_hold_what_the_feed_of_changes_returns(tmp_path: Path) -> None:
    environ: dict[str, Any] = DATABASES.publishing(tmp_path)
    async with serve(tmp_path, **SMALL, **environ) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        await service.settled()
        feed: list[Json] = []
        offset = "-1"
        while not feed or len(feed) % 1000 == 0:
            answer = await ann.get("/api/changes", params={"offset": offset})
            feed, offset = feed + answer.json(), answer.headers["stream-next-offset"]
        with Redis.from_url(environ["REDIS_URL"]) as redis:
            for dataset in ("orders", "inventory"):
                expected = [change for change in feed if change["dataset"] == dataset]
                key = f"{environ['REDIS_PREFIX']}:records:demo:{dataset}"
                await until(lambda key=key, last=expected[-1]: _ends(redis, key, last))  # type: ignore[misc]
                published = entries(redis, key)
                assert [event for _, event in published] == expected
                assert [change for change, _ in published] == [event["id"] for event in expected]
        # The id of a change is the offset behind it: a reader that was too slow goes on there.
        later = await ann.get("/api/changes", params={"offset": feed[100]["id"]})
        assert later.json() == feed[101:]


def _ends(redis: Redis, key: str, event: Json) -> bool:
    published = entries(redis, key)
    return bool(published) and published[-1][1] == event


async def test_streams_are_trimmed_to_about_their_length(tmp_path: Path) -> None:
    environ: dict[str, Any] = DATABASES.publishing(tmp_path) | {"STREAM_LENGTH": "100"}
    async with serve(tmp_path, **SMALL | {"DEMO_ORDERS": "1500"}, **environ) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync(datasets=["orders"])
        await service.settled()
        last = (await ann.records("orders"))[-1]
        key = f"{environ['REDIS_PREFIX']}:records:demo:orders"
        with Redis.from_url(environ["REDIS_URL"]) as redis:
            store = service.parts.relay
            await until(lambda: _published(store))
            assert last["id"] and 100 <= cast(int, redis.xlen(key)) < 400


async def _published(store: RelayStore) -> bool:
    state = await store.state(SystemClock().now())
    return state is not None and state.lag_seconds == 0


# Outages ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.pause])
async def test_an_outage_of_redis_is_waited_for_and_logged_once(
    tmp_path: Path, server: RedisServer, fault: Callable[[RedisServer], None]
) -> None:
    async with opened(tmp_path) as engine:
        outbox = Outbox(engine)
        with capture_logs() as logs:
            async with outbox.relaying(server.url):
                await outbox.add("a", "b")
                await until(lambda: orders(server) == ["a", "b"])
                fault(server)
                await outbox.add("c")
                await until(lambda: any(log["event"] == "records_wait_for_redis" for log in logs))
                await anyio.sleep(1)  # further attempts fail
                late = await outbox.store.state(outbox.clock.now())
                assert late is not None and late.lag_seconds > 0 and ":" in late.node
                await outbox.add("d")
                if fault is RedisServer.kill:
                    server.start()
                else:
                    server.go_on()
                await until(lambda: orders(server)[-2:] == ["c", "d"])
                await until(lambda: _published(outbox.store))
        names = [log["event"] for log in logs]
        assert names.count("records_wait_for_redis") == 1
        assert names.count("records_published_again") == 1


@pytest.mark.usefixtures("often")
async def test_rows_that_expired_before_they_were_published_are_skipped_and_logged(
    tmp_path: Path, server: RedisServer
) -> None:
    async with opened(tmp_path) as engine:
        outbox = Outbox(engine)
        async with outbox.relaying(server.url):
            await outbox.add("a")
            await until(lambda: orders(server) == ["a"])
        await outbox.add("b")
        await until(lambda: _trimmed(outbox))
        await outbox.add("c")
        with capture_logs() as logs:
            async with outbox.relaying(server.url):
                await until(lambda: orders(server) == ["a", "c"])
            async with outbox.relaying(server.url):
                await outbox.add("d")
                await until(lambda: orders(server) == ["a", "c", "d"])
        assert [log["event"] for log in logs].count("records_not_published") == 1


async def _trimmed(outbox: Outbox) -> bool:
    await outbox.changes.trim(outbox.clock.now() + timedelta(seconds=1), 1000)
    return not await outbox.changes.rows("records", {}, BEGINNING)


# Turns --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("often")
async def test_a_batch_that_arrives_after_the_successor_has_published_is_refused(
    tmp_path: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch of the first relay waits in the network until another one has taken the turn."""
    monkeypatch.setattr(publishing, "LEASE", timedelta(seconds=1))
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(opened(tmp_path))
        line = await stack.enter_async_context(proxy(port))
        outbox = Outbox(engine)
        slow = outbox.relay(f"redis://127.0.0.1:{line.port}/0")
        async with anyio.create_task_group() as group:
            group.start_soon(slow.run)
            await outbox.add("a")
            await until(lambda: orders(server) == ["a"])
            line.be_silent()
            await outbox.add("b")
            await until(lambda: _lease_is_over(outbox))
            async with outbox.relaying(server.url):
                await outbox.add("c")
                await until(lambda: orders(server) == ["a", "b", "c"])
                line.forward()
                await outbox.add("d")
                await until(lambda: orders(server) == ["a", "b", "c", "d"])
            group.cancel_scope.cancel()
        with Redis.from_url(server.url) as redis:
            published = [e["recordId"] for _, e in entries(redis, "test:records:demo:orders")]
        # An earlier change may come twice, if the answer to its batch was lost.
        assert "b" not in published[published.index("c") :], "the late batch of b came behind c"


async def _lease_is_over(outbox: Outbox) -> bool:
    turn = await outbox.store.take("probe", outbox.clock.now(), timedelta(0), BEGINNING, False)
    return turn is not None


@pytest.mark.usefixtures("often")
async def test_of_many_relays_one_publishes_and_each_change_comes_once(
    tmp_path: Path, server: RedisServer
) -> None:
    async with opened(tmp_path) as engine, AsyncExitStack() as stack:
        outbox = Outbox(engine)
        for _ in range(4):
            await stack.enter_async_context(outbox.relaying(server.url))
        for number in range(30):
            await outbox.add(f"{number}a", f"{number}b")
        expected = [f"{number}{of}" for number in range(30) for of in "ab"]
        await until(lambda: orders(server) == expected)
        with Redis.from_url(server.url) as redis:
            assert redis.xlen("test:records:demo:orders") == len(expected)


@pytest.mark.usefixtures("often")
async def test_a_page_with_more_changes_than_a_batch_is_published_whole(
    tmp_path: Path, server: RedisServer
) -> None:
    async with opened(tmp_path) as engine:
        outbox = Outbox(engine)
        records = [f"{number:04}" for number in range(3 * publishing.AT_ONCE + 1)]
        await outbox.add(*records)
        async with outbox.relaying(server.url):
            await until(lambda: orders(server) == records)


# Settings -----------------------------------------------------------------------------------------


def test_settings_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="PUBLISH_RECORDS=1 needs REDIS_URL"):
        settings(tmp_path, PUBLISH_RECORDS="1", REDIS_URL="")
    with pytest.raises(StartupError, match="PUBLISH_RECORDS must be 0 or 1"):
        settings(tmp_path, PUBLISH_RECORDS="2", REDIS_URL="redis://host")
    for length in ("0", "-1", "1000000001"):
        with pytest.raises(StartupError, match="STREAM_LENGTH must be between 1 and"):
            settings(tmp_path, STREAM_LENGTH=length)
    lite = {"DATABASE_URL": "sqlite:///a.db", "REDIS_URL": "redis://host"}
    assert settings(tmp_path, **lite, PUBLISH_RECORDS="1").publish_records == 1


async def test_a_redis_that_refuses_the_password_keeps_the_service_from_starting(
    tmp_path: Path,
) -> None:
    with redis_server(password="right") as locked:
        wrong: dict[str, Any] = DATABASES.publishing(tmp_path) | {
            "REDIS_URL": locked.url.replace("right", "no")
        }
        with pytest.raises(StartupError, match="refuses the user or password"):
            async with serve(tmp_path, **wrong):
                pass


async def test_the_service_starts_while_redis_is_away(tmp_path: Path) -> None:
    away: dict[str, Any] = DATABASES.publishing(tmp_path) | {
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"
    }
    async with serve(tmp_path, **SMALL, **away) as service:
        ann = service.user()
        await ann.connect()
        assert (await ann.whole_sync())["status"] == "complete"
