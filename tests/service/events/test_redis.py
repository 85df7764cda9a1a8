"""The wire between processes: what Redis does not bring arrives by reads of the database."""

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import anyio
import pytest
import redis

from service.events.bus import Interest
from service.events.redis import RedisEventBus
from service.model import Sync
from tests.databases import ON_POSTGRES
from tests.servers import RedisServer
from tests.servers import redis as redis_server
from tests.service.events.test_shared import SharedSyncs
from tests.serving import PATIENCE

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not ON_POSTGRES, reason="Redis needs BACKEND=postgres"),
]


class Pair:
    """Two processes with the same database and the same Redis. One publishes, both follow "a"."""

    def __init__(self, url: str) -> None:
        self.shared = SharedSyncs()
        buses = [
            RedisEventBus(url, "test", "ours", self.shared.changes, self.shared.of_users)
            for _ in range(2)
        ]
        self.sender, self.receiver = buses
        self.received: list[int] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Pair":
        interest = Interest(frozenset({"a"}), frozenset())
        self._stack.enter_context(self.receiver.listen(self._receive))
        for bus in (self.sender, self.receiver):
            await self._stack.enter_async_context(bus.open(lambda: interest))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def _receive(self, sync: Sync) -> None:
        self.received.append(sync.version)

    async def publish(self, version: int) -> None:
        self.shared.store("a", version)
        await self.sender.publish(self.shared.syncs["a"])

    async def until(self, version: int) -> None:
        """Wait until the other process has delivered this version."""
        while version not in self.received:
            await anyio.sleep(0.005)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.events.shared.CATCH_UP", 0.05)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def _fill(server: RedisServer) -> None:
    """Let the server refuse every write, and answer every read."""
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.pause, _fill])
async def test_changes_arrive_while_redis_is_away_silent_or_full(
    server: RedisServer, fault: Callable[[RedisServer], None]
) -> None:
    async with Pair(server.url) as pair:
        fault(server)
        with anyio.fail_after(PATIENCE):
            for version in range(1, 7):
                await pair.publish(version)
                await pair.until(version)
    assert pair.received == [1, 2, 3, 4, 5, 6]


async def test_redis_brings_changes_again_after_it_was_restarted_empty(
    server: RedisServer,
) -> None:
    async with Pair(server.url) as pair:
        server.kill()
        await pair.publish(1)
        await pair.until(1)
        pair.shared.away = True  # no read of the database brings anything any more
        server.start()
        version = 1
        with anyio.fail_after(PATIENCE):
            while pair.received == [1]:
                version += 1
                await pair.publish(version)
                await anyio.sleep(0.05)
