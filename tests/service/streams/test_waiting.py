"""Waiting requests, with `receive` as a server provides it."""

import asyncio
from datetime import UTC, datetime

import anyio
import pytest
from starlette.types import Message

from connectors.base import Window
from service.model import Sync
from service.progress import Checkpoint, DatasetProgress
from service.streams.waiting import Waiters
from tests.serving import PATIENCE

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 15, tzinfo=UTC)
LONG = 3600.0
"""Seconds that no test lasts."""


def running_sync(sync_id: str = "sync_1") -> Sync:
    dataset = DatasetProgress("orders", "orders", Checkpoint(Window(NOW, NOW)))
    return Sync(sync_id, "ann", "ann", "demo", "conn_1", NOW, NOW, (dataset,)).taken(NOW)


def has_ended(sync: Sync) -> bool:
    return not sync.live


class Waiting:
    """A request that waits, and its client."""

    def __init__(self, waiters: Waiters, user: str = "ann", sync_id: str = "sync_1") -> None:
        self._waiters, self._user, self._sync_id = waiters, user, sync_id
        self.disconnected = anyio.Event()
        self.done = anyio.Event()
        self.sync: Sync | None = None

    async def receive(self) -> Message:
        await self.disconnected.wait()
        return {"type": "http.disconnect"}

    async def run(self, seconds: float = LONG) -> None:
        with self._waiters.add(self._user, self._sync_id, has_ended) as waiter:
            await waiter.wait(seconds, self.receive)
        self.sync = waiter.sync
        self.done.set()


async def all_wait(waiters: Waiters, count: int) -> None:
    with anyio.fail_after(PATIENCE):
        while waiters.count != count:
            await anyio.sleep(0.001)


async def test_a_change_that_meets_the_condition_ends_the_wait() -> None:
    waiters = Waiters(10)
    waiting, other = Waiting(waiters), Waiting(waiters, sync_id="sync_2")
    running = running_sync()
    async with anyio.create_task_group() as group:
        group.start_soon(waiting.run)
        group.start_soon(other.run)
        await all_wait(waiters, 2)
        assert waiters.syncs() == {"sync_1", "sync_2"}
        waiters.deliver(running)
        waiters.deliver(running_sync("sync_3").cancelled(NOW))
        await anyio.wait_all_tasks_blocked()
        assert waiters.count == 2
        waiters.deliver(running.cancelled(NOW))
        with anyio.fail_after(PATIENCE):
            await waiting.done.wait()
        assert waiting.sync == running.cancelled(NOW) and waiters.syncs() == {"sync_2"}
        other.disconnected.set()
    assert other.sync is None
    assert (waiters.count, waiters.syncs()) == (0, frozenset())


async def test_a_change_before_the_wait_is_not_missed() -> None:
    waiters = Waiters(10)
    with waiters.add("ann", "sync_1", has_ended) as waiter:
        waiters.deliver(running_sync().cancelled(NOW))
        with anyio.fail_after(PATIENCE):
            await waiter.wait(LONG, Waiting(waiters).receive)
    assert waiter.sync is not None


async def test_a_wait_ends_when_its_time_is_over() -> None:
    waiters = Waiters(10)
    for seconds in (0, 0.01):
        waiting = Waiting(waiters)
        with anyio.fail_after(PATIENCE):
            await waiting.run(seconds)
        assert waiting.sync is None
    assert waiters.count == 0


async def test_closing_ends_every_wait_and_those_that_begin_later() -> None:
    waiters = Waiters(10)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            for user in ("ann", "bob"):
                group.start_soon(Waiting(waiters, user).run)
            await all_wait(waiters, 2)
            waiters.close()
        await Waiting(waiters).run()
    assert waiters.count == 0


async def test_above_the_limit_of_a_user_the_oldest_wait_ends() -> None:
    waiters = Waiters(2)
    first, second, third = (Waiting(waiters) for _ in range(3))
    other = Waiting(waiters, "bob")
    async with anyio.create_task_group() as group:
        for number, waiting in enumerate((other, first, second), 1):
            group.start_soon(waiting.run)
            await all_wait(waiters, number)
        group.start_soon(third.run)
        with anyio.fail_after(PATIENCE):
            await first.done.wait()
        await anyio.wait_all_tasks_blocked()
        assert waiters.count == 3 and first.sync is None
        assert not second.done.is_set() and not other.done.is_set()
        waiters.close()


async def test_waiting_takes_no_task_besides_that_of_the_request() -> None:
    waiters = Waiters(1000)
    before = len(asyncio.all_tasks())
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(Waiting(waiters).run)
        await all_wait(waiters, 100)
        assert len(asyncio.all_tasks()) == before + 100
        waiters.close()


async def test_a_waiter_whose_request_is_cancelled_is_removed() -> None:
    waiters = Waiters(10)
    async with anyio.create_task_group() as group:
        group.start_soon(Waiting(waiters).run)
        await all_wait(waiters, 1)
        group.cancel_scope.cancel()
    assert waiters.count == 0
