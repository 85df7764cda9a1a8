"""Deliveries of running services: order, receivers that are down or hostile, and bounds."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from service.hooks import dispatching
from service.hooks.sending import WebhookSender
from service.settings import Settings
from service.store import deliveries
from tests.service.api.answers import TINY
from tests.service.api.test_webhooks import hook, log, logged, verify
from tests.service.clocks import FastClock
from tests.service.hooks import receivers
from tests.service.hooks.receivers import HOOKS_SETTINGS, Receiver, receiving
from tests.serving import PATIENCE, serve

pytestmark = pytest.mark.anyio

SETTINGS: dict[str, Any] = {**HOOKS_SETTINGS, **TINY}
MOVES = ["sync.started", "sync.completed"]


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The most attempts at once, by URL, and of `all`."""
    running, most, send = Counter[str](), Counter[str](), WebhookSender.send

    async def counted(self: WebhookSender, url: str, *rest: Any) -> Any:
        running.update((url, "all"))
        for name in (url, "all"):
            most[name] = max(most[name], running[name])
        try:
            return await send(self, url, *rest)
        finally:
            running.subtract((url, "all"))

    monkeypatch.setattr(WebhookSender, "send", counted)
    return most


def check_order(receiver: Receiver, syncs: Sequence[str]) -> None:
    """Of each sync both events were taken, the earlier one first."""
    of_sync = defaultdict(list)
    for request in receiver.taken:
        of_sync[request.sync].append(request.kind)
    assert {sync: list(dict.fromkeys(kinds)) for sync, kinds in of_sync.items()} == {
        sync: MOVES for sync in syncs
    }


async def test_a_receiver_that_is_down_for_three_days_gets_every_event_once_it_is_back(
    tmp_path: Path,
) -> None:
    clock = FastClock(speed=1)
    waits = Settings().webhook_waits
    async with serve(tmp_path, clock, WEBHOOKS_PRIVATE="1", **TINY) as service:
        ann = service.user()
        await ann.connect()
        async with receiving() as receiver:
            receiver.status = 503
            webhook = await hook(ann, receiver.url)
            syncs = [(await ann.whole_sync())["syncId"] for _ in range(3)]
            for number, wait in enumerate(waits[:-1], 1):
                # Each sync's first event has been tried so often; the later ones wait.
                await receiver.until_asked(3 * number)
                with anyio.fail_after(PATIENCE):
                    while len(await tried(ann, webhook, number)) < 3:
                        await anyio.sleep(0.02)
                clock.jump(timedelta(seconds=wait * 1.11))
            await receiver.until_asked(3 * len(waits))
            assert sum(waits[:-1]) * 1.11 > timedelta(days=2).total_seconds()
            assert {request.kind for request in receiver.received} == {"sync.started"}
            receiver.status = 200
            with anyio.fail_after(PATIENCE):
                while len(await tried(ann, webhook, len(waits))) < 3:
                    await anyio.sleep(0.02)
            clock.jump(timedelta(seconds=waits[-1] * 1.11))
            assert sum(waits) > timedelta(days=3).total_seconds()
            await receiver.until(6)
            check_order(receiver, syncs)
            deliveries = await logged(ann, webhook, "delivered", 6)
            for delivery in deliveries:
                statuses = [attempt["status"] for attempt in delivery["attempts"]]
                first = delivery["type"] == "sync.started"
                assert statuses == ([503] * len(waits) + [200] if first else [200])
                if first:
                    check_waits(delivery["attempts"], waits)


async def tried(ann: Any, webhook: Any, attempts: int) -> list[Any]:
    """The pending deliveries with at least so many attempts."""
    pending = await log(ann, webhook, status="pending", limit=100)
    return [delivery for delivery in pending if len(delivery["attempts"]) >= attempts]


def check_waits(attempts: Sequence[Any], waits: Sequence[float]) -> None:
    times = [datetime.fromisoformat(attempt["at"]) for attempt in attempts]
    for earlier, later, wait in zip(times, times[1:], waits, strict=False):
        assert (later - earlier).total_seconds() > wait - 1


async def test_a_later_event_of_a_sync_waits_for_the_earlier_one_and_not_for_other_syncs(
    tmp_path: Path,
) -> None:
    settings = SETTINGS | {"WEBHOOKS_SCHEDULE": "1"}
    async with serve(tmp_path, **settings) as service, receiving() as receiver:
        ann = service.user()
        await ann.connect()
        webhook = await hook(ann, receiver.url)
        receiver.status = 500
        first = (await ann.whole_sync())["syncId"]
        await receiver.until_asked(1)
        receiver.status = 200
        second = (await ann.whole_sync())["syncId"]
        await receiver.until(4)
        check_order(receiver, [first, second])
        await logged(ann, webhook, "delivered", 4)


async def test_an_event_that_failed_for_good_does_not_hold_up_its_sync(tmp_path: Path) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        await ann.connect()
        webhook = await hook(ann, receiver.url)
        receiver.status = 500
        await ann.whole_sync()
        started, *_ = await logged(ann, webhook, "failed", 1)
        assert started["type"] == "sync.started"
        receiver.status = 200
        (taken,) = await receiver.until(1)
        assert taken.kind == "sync.completed"


@pytest.mark.parametrize(
    "misbehave",
    [receivers.never, receivers.drip_headers, receivers.close, receivers.ten_megabytes_of_headers],
)
async def test_a_hostile_receiver_does_not_delay_others(tmp_path: Path, misbehave: Any) -> None:
    """With its default bounds, the service would wait for fifteen seconds for each answer."""
    async with (
        receiving() as bad,
        receiving() as good,
        serve(tmp_path, **SETTINGS) as service,
    ):
        ann, bob = service.user("ann"), service.user("bob")
        bad.misbehave = misbehave
        worse = await hook(bob, bad.url)
        await hook(ann, good.url)
        for _ in range(30):
            await bob.post(f"/api/webhooks/{worse['id']}/test")
        await bad.until_asked(1)
        await ann.connect()
        done = await ann.whole_sync()
        await good.until(2)
        check_order(good, [done["syncId"]])
        assert await log(bob, worse, status="delivered") == []


async def test_many_dead_receivers_leave_room_for_living_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: Counter[str]
) -> None:
    monkeypatch.setattr(dispatching, "MAX_AT_ONCE", 12)
    monkeypatch.setattr(dispatching, "MAX_TO_FAILING", 4)
    monkeypatch.setattr("service.hooks.sending.TIMEOUT", 1.0)
    settings = SETTINGS | {"WEBHOOKS_SCHEDULE": ",".join(["0.05"] * 20)}
    async with (
        receiving() as dead,
        receiving() as good,
        serve(tmp_path, **settings) as service,
    ):
        ann, bob = service.user("ann"), service.user("bob")
        dead.misbehave = receivers.never
        for _ in range(10):
            webhook = await hook(bob, dead.url)
            await bob.post(f"/api/webhooks/{webhook['id']}/test")
        webhook = await hook(ann, good.url)
        await dead.until_asked(15)  # by now each has failed
        for _ in range(10):
            await ann.post(f"/api/webhooks/{webhook['id']}/test")
        await good.until(10)
        assert most["all"] <= 12 and most[dead.url] <= 12


async def test_two_hundred_events_arrive_once_each_and_a_few_at_a_time(
    tmp_path: Path, most: Counter[str]
) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        webhook = await hook(ann, receiver.url)
        for _ in range(200):
            await ann.post(f"/api/webhooks/{webhook['id']}/test")
        taken = await receiver.until(200)
        await anyio.sleep(0.2)
        assert len(taken) == 200 == len({request.id for request in taken})
        assert 1 < most[receiver.url] <= dispatching.MAX_TO_ONE
        for request in taken[:3]:
            verify(webhook["secret"], request)


async def test_a_clock_that_was_set_back_does_not_hold_up_deliveries(tmp_path: Path) -> None:
    clock = FastClock(speed=1)
    async with receiving() as receiver:
        receiver.status = 500
        settings: dict[str, Any] = SETTINGS | {"WEBHOOKS_SCHEDULE": "86400"}
        async with serve(tmp_path, clock, **settings) as service:
            ann = service.user()
            webhook = await hook(ann, receiver.url)
            clock.jump(timedelta(days=300))
            await ann.post(f"/api/webhooks/{webhook['id']}/test")
            with anyio.fail_after(PATIENCE):
                while not await tried(ann, webhook, 1):
                    await anyio.sleep(0.02)
        clock.jump(-timedelta(days=300))
        receiver.status = 200
        async with serve(tmp_path, clock, **settings) as service:
            await receiver.until(1)


async def test_two_processes_deliver_each_event_once(tmp_path: Path) -> None:
    """Of two dispatchers over the same tables, one claims a delivery."""
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        parts, hooks = service.parts, service.parts.webhooks
        other = dispatching.Dispatcher(
            *(hooks, hooks._store, hooks._deliveries, parts.changes, parts.epoch),
            *(WebhookSender(True, 8), parts.clock, (0.1,)),
        )
        ann = service.user()
        await ann.connect()
        webhook = await hook(ann, receiver.url)
        async with anyio.create_task_group() as group:
            group.start_soon(other.run, False)
            syncs = [(await ann.whole_sync())["syncId"] for _ in range(5)]
            await logged(ann, webhook, "delivered", 10)
            check_order(receiver, syncs)
            assert len(receiver.taken) == 10
            group.cancel_scope.cancel()


async def test_a_hundred_idle_webhooks_cost_no_queries_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing happens, a round looks once for events and once for deliveries of all."""
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        for number in range(100):
            await hook(service.user(f"user-{number}"), receiver.url)
        engine, queries = service.parts.changes._engine, Counter[str]()
        read, write = engine.read, engine.write

        async def counted_read(sql: str, *rest: Any) -> Any:
            queries[sql] += 1
            return await read(sql, *rest)

        async def counted_write(guard: Any, *rest: Any) -> Any:
            queries[guard.sql] += 1
            return await write(guard, *rest)

        monkeypatch.setattr(engine, "read", counted_read)
        monkeypatch.setattr(engine, "write", counted_write)
        with anyio.fail_after(PATIENCE):
            while queries[deliveries._WITH_DUE] < 4:
                await anyio.sleep(0.02)
        about_hooks = {sql: count for sql, count in queries.items() if "webhook" in sql}
        assert len(about_hooks) <= 3 and max(about_hooks.values()) <= 5, about_hooks
