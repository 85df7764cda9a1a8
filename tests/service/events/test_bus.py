"""The event bus: calls every listener in order, also after one of them fails."""

import msgspec
import pytest
from structlog.testing import capture_logs

from service.events.bus import EventBus
from service.model import Sync
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio


def versions(count: int) -> list[Sync]:
    return [msgspec.structs.replace(new_sync(), version=number + 1) for number in range(count)]


async def test_every_listener_gets_every_change_in_order() -> None:
    bus, syncs = EventBus(), versions(3)
    first: list[Sync] = []
    second: list[Sync] = []
    with bus.listen(first.append), bus.listen(second.append):
        for sync in syncs:
            await bus.publish(sync)
    assert first == second == syncs


async def test_a_listener_gets_only_what_is_newer_than_what_was_delivered() -> None:
    bus, (first, second, third) = EventBus(), versions(3)
    received: list[int] = []
    with bus.listen(lambda sync: received.append(sync.version)):
        for sync in (first, third, second, third, first):
            bus.deliver(sync)
    assert received == [1, 3]


async def test_versions_of_many_syncs_are_remembered_within_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.events.bus.REMEMBERED", 2)
    bus, (sync,) = EventBus(), versions(1)
    received: list[str] = []
    with bus.listen(lambda sync: received.append(sync.id)):
        for sync_id in ("a", "b", "a", "c", "a", "b"):
            bus.deliver(msgspec.structs.replace(sync, id=sync_id))
    assert received == ["a", "b", "c", "a", "b"], (
        "the sync that was delivered longest ago is forgotten"
    )


async def test_a_listener_gets_nothing_before_it_listens_or_after_it_stops() -> None:
    bus, (before, during, after) = EventBus(), versions(3)
    received: list[Sync] = []
    await bus.publish(before)
    with bus.listen(received.append):
        await bus.publish(during)
    await bus.publish(after)
    assert received == [during]


async def test_a_listener_that_fails_is_logged_and_the_others_get_the_change() -> None:
    bus, (sync,) = EventBus(), versions(1)
    received: list[Sync] = []

    def fail(sync: Sync) -> None:
        raise RuntimeError("out of order")

    with capture_logs() as logs, bus.listen(fail), bus.listen(received.append):
        await bus.publish(sync)
    assert received == [sync]
    assert [(line["event"], line["sync_id"]) for line in logs] == [("listener_failed", sync.id)]


async def test_a_listener_may_stop_while_a_change_is_delivered() -> None:
    bus, (first, second) = EventBus(), versions(2)
    received: list[int] = []
    listening = bus.listen(lambda sync: stop(sync))

    def stop(sync: Sync) -> None:
        received.append(sync.version)
        listening.__exit__(None, None, None)

    with bus.listen(lambda sync: None):
        listening.__enter__()
        for sync in (first, second):
            await bus.publish(sync)
    assert received == [1]
