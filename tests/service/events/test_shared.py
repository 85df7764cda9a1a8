"""Processes that share a database: changes of others are read for the syncs of interest."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from service.events.bus import Interest
from service.events.shared import SharedEventBus
from service.model import Sync
from tests.service.test_model import new_sync
from tests.serving import PATIENCE

pytestmark = pytest.mark.anyio


class SharedSyncs:
    """The syncs of a database that other processes change."""

    def __init__(self) -> None:
        self.syncs: dict[str, Sync] = {}
        self.users: dict[str, list[str]] = {}
        self.known: list[Mapping[str, int]] = []
        self.away = False

    def store(self, sync_id: str, version: int) -> None:
        self.syncs[sync_id] = msgspec.structs.replace(new_sync(), id=sync_id, version=version)

    async def changes(self, known: Mapping[str, int]) -> Mapping[str, Sync | None]:
        if self.away:
            raise OSError("away")
        self.known.append(known)
        stored = {sync_id: self.syncs.get(sync_id) for sync_id in known}
        return {
            sync_id: sync
            for sync_id, sync in stored.items()
            if sync is None or sync.version != known[sync_id]
        }

    async def of_users(self, users: Sequence[str]) -> Sequence[str]:
        return [sync_id for user in users for sync_id in self.users.get(user, ())]


@asynccontextmanager
async def listening(
    bus: SharedEventBus, syncs: Sequence[str], users: Sequence[str] = ()
) -> AsyncIterator[list[Sync]]:
    """What the bus delivers while it is open for these interests."""
    received: list[Sync] = []
    interest = Interest(frozenset(syncs), frozenset(users))
    with bus.listen(received.append):
        async with bus.open(lambda: interest):
            yield received


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.events.shared.CATCH_UP", 0.01)


async def until(received: Sequence[Sync], *versions: int) -> None:
    with anyio.fail_after(PATIENCE):
        while [sync.version for sync in received] != list(versions):
            await anyio.sleep(0.005)


async def test_changes_of_other_processes_are_delivered_once() -> None:
    shared = SharedSyncs()
    bus = SharedEventBus(shared.changes, shared.of_users)
    async with listening(bus, ["a"]) as received:
        shared.store("a", 4)
        shared.store("b", 9)
        await until(received, 4)
        shared.store("a", 7)
        await until(received, 4, 7)
        reads = len(shared.known)
        while len(shared.known) < reads + 3:
            await anyio.sleep(0.005)
    assert shared.known[-1] == {"a": 7}, "only a newer version is asked for"
    assert [sync.version for sync in received] == [4, 7]


async def test_the_syncs_of_users_are_delivered() -> None:
    shared = SharedSyncs()
    bus = SharedEventBus(shared.changes, shared.of_users)
    async with listening(bus, [], ["ann"]) as received:
        shared.users["ann"] = ["c"]
        shared.store("c", 2)
        await until(received, 2)


async def test_a_failed_read_is_repeated() -> None:
    shared = SharedSyncs()
    shared.away = True
    bus = SharedEventBus(shared.changes, shared.of_users)
    async with listening(bus, ["a"]) as received:
        shared.store("a", 2)
        await anyio.sleep(0.05)
        shared.away = False
        await until(received, 2)
