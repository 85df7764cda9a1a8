"""Wrong addresses of Redis and servers that cannot be used: each is named, with a remedy. What may
pass does not keep the service from starting: without Redis, events are late."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from redis import Redis
from structlog.testing import capture_logs

from service.check import Check, Level, worst
from service.checks import redis as checks
from service.checks.redis import check_redis
from service.errors import StartupError
from service.events import redis as buses
from service.events.bus import Interest
from service.events.redis import RedisEventBus
from service.model import Sync
from tests.servers import free_port, proxy, redis
from tests.service.test_model import new_sync
from tests.serving import settings

pytestmark = [pytest.mark.anyio]
DATABASE = "postgresql://host/sync"


async def refused(url: str) -> Check:
    found = worst(await check_redis(url, "test", "ours"))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "url",
    ["http://host", "redis://", "redis://host:port", "redis://host:99999", "redis://host/first"],
)
def test_an_address_that_is_not_valid_is_named(tmp_path: Path, url: str) -> None:
    with pytest.raises(StartupError, match="REDIS_URL must be redis://host:port/number"):
        settings(tmp_path, DATABASE_URL=DATABASE, REDIS_URL=url)


def test_redis_without_postgresql_and_a_prefix_with_spaces_are_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="REDIS_URL needs PostgreSQL"):
        settings(tmp_path, DATABASE_URL="sqlite:///a.db", REDIS_URL="redis://host")
    with pytest.raises(StartupError, match="REDIS_PREFIX may hold"):
        settings(tmp_path, DATABASE_URL=DATABASE, REDIS_URL="redis://host", REDIS_PREFIX="a b")


async def test_an_option_that_is_not_known_is_named() -> None:
    found = await refused(f"redis://127.0.0.1:{free_port()}?colour=blue")
    assert "REDIS_URL is not valid" in found.text and not found.passing


async def test_a_password_that_is_wrong_or_missing_is_named(tmp_path: Path) -> None:
    with redis(password="right") as server:
        assert worst(await check_redis(server.url, "test", "ours")) is None
        for wrong in (server.url.replace(":right@", ""), server.url.replace("right", "wrong")):
            found = await refused(wrong)
            assert "refuses the user or password, or requires one" in found.text
            assert "redis://:password@host" in found.remedy and not found.passing
            assert "wrong@" not in found.sentence


async def test_a_user_without_rights_is_named(tmp_path: Path) -> None:
    with redis() as server:
        with Redis.from_url(server.url) as client:
            client.execute_command("ACL", "SETUSER", "ann", "on", ">right", "~*", "+ping")
        found = await refused(server.url.replace("redis://", "redis://ann:right@"))
        assert "may not use a command" in found.text and "+xadd" in found.remedy


async def test_a_cluster_is_named(tmp_path: Path) -> None:
    with redis("--cluster-enabled", "yes") as server:
        found = await refused(server.url)
        assert "Redis Cluster" in found.text and "single server" in found.remedy


async def test_an_old_server_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "OLDEST", "99.1")
    with redis() as server:
        found = await refused(server.url)
    assert "is too old" in found.text and "Install Redis 99.1 or newer" in found.remedy


async def test_a_server_that_is_away_or_silent_or_full_may_come_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(checks, "TIMEOUT", 0.5)
    found = await refused(f"redis://127.0.0.1:{free_port()}")
    assert "cannot be used" in found.text and found.passing
    with socket.create_server(("127.0.0.1", 0)) as bound:
        found = await refused(f"redis://127.0.0.1:{bound.getsockname()[1]}")
    assert "does not answer in time" in found.text and found.passing
    with redis("--maxmemory", "500kb", "--maxmemory-policy", "noeviction") as server:
        found_full = await check_redis(server.url, "test", "ours")
    (memory,) = (check for check in found_full if check.name == "redis_memory")
    assert memory.level is Level.WARNING and "Raise its maxmemory" in memory.remedy


async def test_a_policy_that_evicts_the_events_is_a_warning(tmp_path: Path) -> None:
    with redis("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as server:
        found = await check_redis(server.url, "test", "ours")
    (memory,) = (check for check in found if check.name == "redis_memory")
    assert memory.level is Level.WARNING and "allkeys-lru" in memory.text


async def test_a_server_of_another_kind_is_named() -> None:
    with other_server() as port:
        found = await refused(f"redis://127.0.0.1:{port}")
    assert f"127.0.0.1:{port} cannot be used" in found.text


@contextmanager
def other_server() -> Iterator[int]:
    """A server that speaks HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as bound:

        def answer() -> None:
            with suppress(OSError), bound.accept()[0] as connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield bound.getsockname()[1]
        thread.join()


# While running ------------------------------------------------------------------------------------


def sync_of(name: str) -> Sync:
    return msgspec.structs.replace(new_sync(), id=name, version=1)


class Node:
    """A process's bus, and what arrived there."""

    def __init__(self, url: str, database: str, prefix: str = "test") -> None:
        self.reads = 0
        self.bus = RedisEventBus(url, prefix, database, self._changes, self._of_users)
        self.arrived: list[str] = []

    async def _changes(self, known: Mapping[str, int]) -> Mapping[str, Sync | None]:
        self.reads += 1
        return {}

    async def _of_users(self, users: Sequence[str]) -> Sequence[str]:
        return []

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Node"]:
        interest = Interest(frozenset({"followed"}), frozenset())
        with self.bus.listen(lambda sync: self.arrived.append(sync.id)):
            async with self.bus.open(lambda: interest):
                yield self

    async def until_read(self) -> None:
        """Wait until the node receives: its first read of the database follows."""
        await until(lambda: self.reads > 0)


async def until(condition: Any, seconds: float = 60) -> None:
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.01)


async def test_two_clusters_on_one_prefix_ignore_each_other_and_name_it_once(
    tmp_path: Path,
) -> None:
    with redis() as server, capture_logs() as logs:
        async with (
            Node(server.url, "ours").open() as ours,
            Node(server.url, "ours").open() as twin,
            Node(server.url, "theirs").open() as theirs,
        ):
            for node in (ours, twin, theirs):
                await node.until_read()
            for number in range(3):
                await theirs.bus.publish(sync_of(f"theirs-{number}"))
            await ours.bus.publish(sync_of("ours"))
            await until(lambda: "ours" in twin.arrived)
            await until(lambda: len([log for log in logs if "foreign" in log["event"]]) == 3)
            assert twin.arrived == ["ours"]
            assert theirs.arrived == ["theirs-0", "theirs-1", "theirs-2"]
            found = await check_redis(server.url, "test", "somebody else")
    assert [check.name for check in found if check.level is Level.WARNING] == ["redis_prefix"]
    named = [log for log in logs if log["event"] == "foreign_events"]
    assert len(named) == 3  # once at each node
    assert "Set another REDIS_PREFIX" in named[0]["reason"]


async def test_a_full_server_is_named_at_every_node_and_read_around(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(buses, "ANNOUNCE", 0.05)
    with redis() as server, Redis.from_url(server.url) as admin, capture_logs() as logs:
        async with (
            Node(server.url, "ours").open() as sender,
            Node(server.url, "ours").open() as reader,
        ):
            for node in (sender, reader):
                await node.until_read()
            admin.config_set("maxmemory", "1mb")
            await until(lambda: len(named(logs, "redis_away")) == 2)  # the reader has sent nothing
            await sender.bus.publish(sync_of("kept"))
            admin.config_set("maxmemory", "0")
            await until(lambda: "kept" in reader.arrived)
            await until(lambda: len(named(logs, "redis_back")) == 2)
    assert "it has no memory left. Raise its maxmemory" in named(logs, "redis_away")[0]["reason"]


def named(logs: list[Any], event: str) -> list[Any]:
    return [log for log in logs if log["event"] == event]


async def test_a_silent_network_is_noticed_and_left_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(buses, "BLOCK", 100)
    monkeypatch.setattr(buses, "TIMEOUT", 0.4)
    monkeypatch.setattr(checks, "TIMEOUT", 0.5)
    with redis() as server, capture_logs() as logs:
        async with proxy(int(server.url.split(":")[2].partition("/")[0])) as between:
            through = f"redis://127.0.0.1:{between.port}"
            async with (
                Node(through, "ours").open() as cut,
                Node(server.url, "ours").open() as other,
            ):
                for node in (cut, other):
                    await node.until_read()
                between.be_silent()
                await until(lambda: named(logs, "redis_away"))
                await cut.bus.publish(sync_of("held"))
                between.forward()
                await until(lambda: named(logs, "redis_back"))
                await until(lambda: "held" in other.arrived)
                await other.bus.publish(sync_of("later"))
                await until(lambda: "later" in cut.arrived)
    assert "does not answer in time" in named(logs, "redis_away")[0]["reason"]
