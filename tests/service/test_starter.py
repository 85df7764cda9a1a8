"""The starter by itself: what it refuses, why a start lost a race, and the runs of a schedule."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from connectors import find
from service.errors import (
    LostConnection,
    NotConnected,
    Overtaken,
    PlanLimit,
    SyncAlreadyRunning,
    TooManySyncs,
)
from service.model import Sync, Trigger
from service.plans import Plan
from service.sources import Sources
from service.starting import Starter, StartRequest
from service.store.connections import Run, Schedule, StoredConnection
from service.store.records import RecordStore
from service.store.sqlite import SqliteEngine
from service.store.syncs import Key
from service.users import Actor
from tests.service.nodes import NOW, Node, new_engine

pytestmark = pytest.mark.anyio

ANN = Actor(sub="ann", tenant="acme", plan="free")
CEM = Actor(sub="cem", tenant="acme")
SOON = NOW + timedelta(hours=1)
LATER = SOON + timedelta(hours=1)


class StartingNode(Node):
    """A process with a starter over the demo connector. `free` allows one sync a day."""

    def __init__(self, engine: SqliteEngine, sources: Sources) -> None:
        super().__init__(engine, alone=True, plans={"free": Plan(syncs_per_day=1)})
        self.starter = Starter(
            self.registry,
            self.store,
            RecordStore(engine),
            self.connections,
            sources,
            self.clock,
            self.plans,
        )

    async def connect(self, actor: Actor) -> str:
        connection = StoredConnection(
            id=f"conn-{actor.sub}",
            user=actor.user,
            tenant=actor.tenant,
            connector="demo",
            settings={},
            realm="{}",
            name="",
            credentials="x",
            created_at=NOW,
        )
        await self.connections.connect(connection, {})
        return connection.id

    async def start(self, actor: Actor, request: StartRequest | None = None) -> Sync:
        return await self.starter.start(actor, request or StartRequest())

    async def next_run(self, connection_id: str) -> datetime | None:
        connection = await self.connections.one(connection_id)
        return connection.schedule.next if connection and connection.schedule else None


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[StartingNode]:
    async with (
        new_engine(tmp_path) as engine,
        find("demo")({}, Node(engine, alone=True).clock) as demo,
    ):
        yield StartingNode(engine, Sources({"demo": demo}))


def test_a_request_is_frozen_and_attaches_only_if_asked() -> None:
    request = StartRequest()
    assert request.attach is False
    with pytest.raises(AttributeError):
        request.attach = True  # type: ignore[misc]


async def test_a_start_needs_a_connection_that_is_not_lost(node: StartingNode) -> None:
    with pytest.raises(NotConnected):
        await node.start(ANN)
    connection_id = await node.connect(ANN)
    await node.connections.checked(connection_id, NOW, "The token was withdrawn.", {})
    with pytest.raises(LostConnection, match="withdrawn"):
        await node.start(ANN)
    assert await node.store.newest_sync(ANN.user) is None


# The plan -----------------------------------------------------------------------------------------


async def start_and_cancel(node: StartingNode, actor: Actor) -> None:
    await node.registry.cancel(actor, (await node.start(actor)).id)


async def test_a_plan_limits_the_starts_of_a_day(node: StartingNode) -> None:
    await node.connect(ANN)
    assert await node.starter.started_today(ANN) == 0
    await start_and_cancel(node, ANN)
    assert await node.starter.started_today(ANN) == 1
    with pytest.raises(PlanLimit, match="1 syncs a day") as refusal:
        await node.start(ANN)
    assert refusal.value.headers["Retry-After"] == str(12 * 3600)
    assert refusal.value.more == {"limit": "syncsPerDay", "allowed": 1}
    node.clock.advance(12 * 3600)
    assert await node.starter.started_today(ANN) == 0
    await node.start(ANN)


async def test_a_sync_of_tomorrow_does_not_count_today(node: StartingNode) -> None:
    await node.connect(ANN)
    node.clock.advance(24 * 3600)
    await start_and_cancel(node, ANN)
    node.clock.advance(-24 * 3600)
    assert await node.starter.started_today(ANN) == 0


async def test_the_limit_of_a_day_also_holds_for_starts_at_once(
    node: StartingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.connect(ANN)
    await start_and_cancel(node, ANN)
    count = node.store.started_between

    async def before_the_other(user: str, since: datetime, until: datetime) -> int:
        monkeypatch.setattr(node.store, "started_between", count)
        return 0

    monkeypatch.setattr(node.store, "started_between", before_the_other)
    with pytest.raises(PlanLimit):
        await node.start(ANN)


async def test_a_user_without_a_plan_starts_as_often_as_they_like(node: StartingNode) -> None:
    await node.connect(CEM)
    for _ in range(3):
        await start_and_cancel(node, CEM)


async def test_the_limits_of_a_user_include_the_default_of_the_tenant(node: StartingNode) -> None:
    assert node.starter.plan_of(ANN) == Plan(syncs_per_day=1, concurrency=3)
    assert node.starter.plan_of(CEM) == Plan(concurrency=3)


async def test_a_tenant_has_at_most_three_live_syncs(node: StartingNode) -> None:
    for number in range(3):
        user = Actor(sub=f"user-{number}", tenant="acme")
        await node.connect(user)
        await node.start(user)
    await node.connect(CEM)
    with pytest.raises(TooManySyncs) as refusal:
        await node.start(CEM)
    assert refusal.value.headers == {"Retry-After": "60"}


# Schedules ----------------------------------------------------------------------------------------

RUN = StartRequest(trigger=Trigger.SCHEDULE, run=Run(SOON, LATER))


async def test_a_run_of_a_schedule_starts_once(node: StartingNode) -> None:
    connection_id = await node.connect(CEM)
    await node.connections.schedule(connection_id, Schedule("0 * * * *", "UTC", SOON))
    sync = await node.start(CEM, RUN)
    assert await node.next_run(connection_id) == LATER
    await node.registry.cancel(CEM, sync.id)
    with pytest.raises(Overtaken, match="Another process has started this run"):
        await node.start(CEM, RUN)
    assert (await node.start(CEM, StartRequest())).id != sync.id, "a start by the user"
    assert await node.next_run(connection_id) == LATER


async def test_a_run_whose_schedule_was_removed_does_not_start(node: StartingNode) -> None:
    await node.connect(CEM)
    with pytest.raises(Overtaken, match="Another process has started this run"):
        await node.start(CEM, RUN)


async def test_a_run_that_a_full_tenant_prevents_is_not_lost(node: StartingNode) -> None:
    for number in range(3):
        user = Actor(sub=f"user-{number}", tenant="acme")
        await node.connect(user)
        await node.start(user)
    connection_id = await node.connect(CEM)
    await node.connections.schedule(connection_id, Schedule("0 * * * *", "UTC", SOON))
    with pytest.raises(TooManySyncs):
        await node.start(CEM, RUN)
    assert await node.next_run(connection_id) == SOON


# Keys ---------------------------------------------------------------------------------------------


async def test_an_attach_with_a_key_that_was_dropped_meanwhile_returns_the_live_sync(
    node: StartingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.connect(CEM)
    live = await node.start(CEM)

    async def refuse(sync: Sync, key: Key, at: datetime) -> bool:
        return False

    monkeypatch.setattr(node.store, "keep_key", refuse)
    request = StartRequest(attach=True, key=Key("k", "start"))
    assert await node.start(CEM, request) == live
    with pytest.raises(SyncAlreadyRunning):
        await node.start(CEM)
