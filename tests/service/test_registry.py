"""The registry by itself: two processes over one database, what each keeps in memory, and races."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from structlog.testing import capture_logs

from connectors.base import Window
from service import registry
from service.errors import IllegalMove, NotFound, Overtaken
from service.model import Fault, Status, Sync
from service.progress import Checkpoint, DatasetProgress
from service.store.engine import Statement, Unavailable
from service.store.sqlite import SqliteEngine
from service.store.syncs import Conditions
from service.users import Actor
from tests.service.nodes import NOW, Node, new_engine

pytestmark = pytest.mark.anyio

ANN = Actor(sub="ann", tenant="acme")
BOB = Actor(sub="bob", tenant="acme")
WAITING = Fault("connection_lost", "Connect again.")


def new_sync(number: int = 1, actor: Actor = ANN) -> Sync:
    window = Window(NOW - timedelta(days=90), NOW)
    return Sync(
        id=f"sync_{number:032x}",
        user=actor.user,
        tenant=actor.tenant,
        connector="demo",
        connection_id="",
        started_at=NOW,
        updated_at=NOW,
        datasets=(DatasetProgress("orders", "orders", Checkpoint(window)),),
    )


def ended(number: int) -> Sync:
    return new_sync(number).cancelled(NOW)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[SqliteEngine]:
    async with new_engine(tmp_path) as engine:
        yield engine


@pytest.fixture
def alone(engine: SqliteEngine) -> Node:
    """The only process."""
    return Node(engine, alone=True)


@pytest.fixture
def nodes(engine: SqliteEngine) -> tuple[Node, Node]:
    """Two processes that do not hear each other's events."""
    return Node(engine, alone=False), Node(engine, alone=False)


# Finding ------------------------------------------------------------------------------------------


async def test_a_sync_of_this_process_is_found_in_memory(alone: Node) -> None:
    sync = await alone.create(new_sync())
    assert await alone.registry.find(sync.id) is sync
    cancelled = await alone.registry.cancel(ANN, sync.id)
    assert await alone.registry.find(sync.id) is cancelled, "also after its end"
    alone.registry.forget(sync.id)
    stored = await alone.registry.find(sync.id)
    assert stored is not cancelled and stored == cancelled


async def test_a_sync_that_is_not_in_memory_is_found_in_the_store(
    alone: Node, engine: SqliteEngine
) -> None:
    sync = await Node(engine, alone=True).create(new_sync())
    found = await alone.registry.find(sync.id)
    assert found == sync and await alone.registry.find(sync.id) is found
    assert await alone.registry.find("sync_unknown") is None


async def test_no_process_shows_an_older_version_than_another(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    sync = await here.create(new_sync())
    known = await there.registry.find(sync.id)
    assert known == sync
    assert await there.registry.find(sync.id) is known, "still the newest"
    taken = await here.registry.take(sync.id)
    assert await there.registry.find(sync.id) == taken
    cancelled = await here.registry.cancel(ANN, sync.id)
    assert await there.registry.find(sync.id) == cancelled
    assert await there.registry.get(ANN, sync.id) == cancelled


async def test_memory_answers_while_the_database_is_away(nodes: tuple[Node, Node]) -> None:
    here, _ = nodes
    sync = await here.create(new_sync())
    here.available = False
    assert await here.registry.find(sync.id) is sync


async def test_an_old_sync_that_is_looked_up_does_not_stay_in_memory(
    nodes: tuple[Node, Node],
) -> None:
    here, there = nodes
    sync = await here.create(new_sync())
    await here.registry.cancel(ANN, sync.id)
    assert await there.registry.find(sync.id) is not await there.registry.find(sync.id)
    assert there.registry.is_newest(sync), "it knows nothing of the sync"


async def test_the_live_sync_of_a_user_stays_in_memory(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    sync = await here.create(new_sync())
    taken = await here.registry.take(sync.id)
    assert await there.registry.live_of(ANN.user) == taken
    assert not there.registry.is_newest(sync)
    assert await there.registry.live_of(BOB.user) is None


async def test_a_version_is_the_newest_until_a_later_one_is_known(alone: Node) -> None:
    first = new_sync()
    assert alone.registry.is_newest(first), "nothing is known"
    await alone.create(first)
    assert alone.registry.is_newest(first)
    taken = await alone.registry.take(first.id)
    assert alone.registry.is_newest(taken) and not alone.registry.is_newest(first)
    cancelled = await alone.registry.cancel(ANN, first.id)
    assert alone.registry.is_newest(cancelled) and not alone.registry.is_newest(taken)


async def test_the_runner_tells_what_runs_here(alone: Node) -> None:
    alone.runner.running.add("sync_1")
    assert alone.registry.runs("sync_1") is True
    assert alone.registry.runs("sync_2") is False


async def test_a_sync_of_another_user_does_not_exist(alone: Node) -> None:
    sync = await alone.create(new_sync())
    for actor, sync_id in ((BOB, sync.id), (ANN, "sync_unknown")):
        for call in (alone.registry.get, alone.registry.cancel, alone.registry.resume):
            with pytest.raises(NotFound, match=sync_id):
                await call(actor, sync_id)


# Memory -------------------------------------------------------------------------------------------


async def test_events_that_arrive_out_of_order_leave_the_newest_version(alone: Node) -> None:
    first = new_sync()
    taken = first.taken(NOW)
    done = taken.cancelled(NOW)
    again = msgspec.structs.replace(taken)
    with alone.registry.listening():
        alone.registry._remember(taken)
        alone.registry._remember(first)
        alone.registry._remember(again)
        assert await alone.registry.find(first.id) is taken
        alone.registry._remember(done)
        alone.registry._remember(taken)
        assert await alone.registry.find(first.id) is done


async def test_the_syncs_that_ended_last_stay_in_memory(
    alone: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "ENDED_IN_MEMORY", 2)
    one, two, three = (ended(number) for number in (1, 2, 3))
    again = one.resumed(NOW).cancelled(NOW)
    alone.delivered([one, two, one.resumed(NOW), again, three])
    assert await alone.registry.find(one.id) is again
    assert await alone.registry.find(two.id) is None, "neither in memory nor stored"
    assert await alone.registry.find(three.id) is three


async def test_a_thousand_ended_syncs_stay_in_memory(alone: Node) -> None:
    syncs = [ended(number) for number in range(1001)]
    alone.delivered(syncs)
    assert [sync.id for sync in syncs if await alone.registry.find(sync.id) is None] == [
        syncs[0].id
    ]


async def test_the_live_syncs_that_changed_last_stay_in_memory(
    alone: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "LIVE_IN_MEMORY", 2)
    one, two, three = (new_sync(number) for number in (1, 2, 3))
    again = one.taken(NOW)
    alone.delivered([one, two, again, three])
    found = [await alone.registry.find(sync.id) for sync in (one, two, three)]
    assert found == [again, None, three], "the second is neither in memory nor stored"


async def test_ten_thousand_live_syncs_stay_in_memory(alone: Node) -> None:
    syncs = [new_sync(number) for number in range(10_001)]
    alone.delivered(syncs)
    assert [sync.id for sync in syncs if await alone.registry.find(sync.id) is None] == [
        syncs[0].id
    ]


async def test_a_poll_shows_what_memory_has_learned_during_its_read(
    nodes: tuple[Node, Node],
) -> None:
    here, _ = nodes
    sync = await here.create(new_sync())
    here.during_read = lambda: here.registry._remember(sync.taken(NOW))
    assert await here.registry.find(sync.id) == sync.taken(NOW)


async def test_a_poll_shows_what_it_knew_if_memory_forgets_it_during_its_read(
    nodes: tuple[Node, Node],
) -> None:
    here, _ = nodes
    sync = await here.create(new_sync())
    here.during_read = lambda: here.registry._live.clear()
    assert await here.registry.find(sync.id) is sync


async def test_a_sync_that_was_deleted_elsewhere_is_not_found(nodes: tuple[Node, Node]) -> None:
    here, _ = nodes
    sync = await here.create(new_sync())
    assert await here.store.write(Statement("DELETE FROM sync_progress RETURNING id", [{}]))
    assert await here.registry.find(sync.id) is None


async def test_the_end_of_a_sync_in_another_process_is_remembered(
    nodes: tuple[Node, Node],
) -> None:
    here, there = nodes
    sync = await here.create(new_sync())
    assert await there.registry.find(sync.id) == sync
    cancelled = await here.registry.cancel(ANN, sync.id)
    assert await there.registry.find(sync.id) == cancelled
    assert not there.registry.is_newest(sync)
    there.available = False
    assert await there.registry.find(sync.id) == cancelled


async def test_events_are_not_kept_while_nobody_listens(alone: Node) -> None:
    alone.bus.deliver(new_sync())
    assert await alone.registry.find(new_sync().id) is None


# Moves --------------------------------------------------------------------------------------------


async def test_a_start_is_published_and_submitted(alone: Node) -> None:
    with alone.published() as published:
        sync = await alone.create(new_sync())
    assert published == [sync]
    assert alone.runner.submitted == [sync.id]


async def test_a_start_beyond_the_limit_does_nothing(alone: Node) -> None:
    with alone.published() as published:
        created = await alone.registry.create(new_sync(), Conditions(live_of_tenant=0), None)
    assert created is False
    assert published == [] and alone.runner.submitted == []


async def test_a_move_of_the_service_is_in_the_audit_log(alone: Node) -> None:
    sync = await alone.create(new_sync())
    taken = await alone.registry.take(sync.id)
    assert await alone.actions() == [], "no user sees that a process took it"
    await alone.registry.record(taken.paused(WAITING, NOW))
    assert await alone.actions() == [("paused", "service")]


async def test_a_sync_that_was_cancelled_elsewhere_cannot_be_taken(
    nodes: tuple[Node, Node],
) -> None:
    here, there = nodes
    sync = await here.create(new_sync())
    await there.registry.cancel(ANN, sync.id)
    with pytest.raises(IllegalMove):
        await here.registry.take(sync.id)
    assert not here.registry.is_newest(sync)
    with pytest.raises(NotFound):
        await here.registry.take("sync_unknown")


async def test_a_process_that_was_overtaken_learns_the_newer_version(
    nodes: tuple[Node, Node],
) -> None:
    here, there = nodes
    sync = await here.create(new_sync())
    taken = await here.registry.take(sync.id)
    await there.registry.cancel(ANN, sync.id)
    with here.published() as published, pytest.raises(Overtaken):
        await here.registry.record(taken.paused(WAITING, NOW))
    assert published == []
    assert not here.registry.is_newest(taken)


async def test_a_sync_that_was_deleted_meanwhile_is_not_stored_again(
    alone: Node,
) -> None:
    sync = await alone.create(new_sync())
    taken = await alone.registry.take(sync.id)
    assert await alone.store.write(Statement("DELETE FROM sync_progress RETURNING id", [{}]))
    with pytest.raises(Overtaken):
        await alone.registry.record(taken.paused(WAITING, NOW))


async def test_a_write_whose_answer_was_lost_is_published(
    alone: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = await alone.create(new_sync())
    taken = await alone.registry.take(sync.id)
    write = alone.store.write

    async def lost(*statements: Any) -> bool:
        monkeypatch.setattr(alone.store, "write", write)
        assert await write(*statements)
        raise Unavailable

    monkeypatch.setattr(alone.store, "write", lost)
    paused = taken.paused(WAITING, NOW)
    with alone.published() as published:
        await alone.registry.record(paused)
    assert published == [paused]
    assert await alone.actions() == [("paused", "service")]


async def test_a_cancel_gives_up_after_fifty_attempts(
    alone: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = await alone.create(new_sync())
    attempts: list[str] = []

    async def overtaken(guard: Statement, *rest: Statement) -> bool:
        attempts.append(guard.sql)
        return False

    monkeypatch.setattr(alone.store, "write", overtaken)
    with pytest.raises(Overtaken):
        await alone.registry.cancel(ANN, sync.id)
    assert len(attempts) == 50


async def test_a_cancel_ends_a_sync_that_writes_page_after_page_in_this_process(
    alone: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = await alone.create(new_sync())
    running = await alone.registry.take(sync.id)
    read, stored = alone.store.sync, anyio.Event()

    async def write_pages() -> None:
        nonlocal running, stored
        with pytest.raises(Overtaken):
            while True:
                await anyio.lowlevel.checkpoint()  # `record` itself cannot be interrupted
                changed = running.waiting("orders", NOW, f"turn {running.version}", NOW)
                await alone.registry.record(changed)
                running = changed
                stored.set()
                stored = anyio.Event()

    async def slow_read(sync_id: str) -> Sync | None:
        """The answer arrives after one more page, if that can be stored meanwhile."""
        sync = await read(sync_id)
        with anyio.move_on_after(0.2):
            await stored.wait()
        return sync

    async with anyio.create_task_group() as group:
        group.start_soon(write_pages)
        await stored.wait()
        monkeypatch.setattr(alone.store, "sync", slow_read)
        cancelled = await alone.registry.cancel(ANN, sync.id)
        monkeypatch.setattr(alone.store, "sync", read)
    assert cancelled.status is Status.CANCELLED
    assert cancelled.version == running.version + 1


async def test_a_cancel_stops_a_process_that_writes_all_the_time(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = nodes
    await here.create(new_sync())
    running = await here.registry.take(new_sync().id)
    write = there.store.write
    overtaken = False

    async def late(guard: Statement, *rest: Statement) -> bool:
        """The other process stores a page just before each write here."""
        nonlocal running, overtaken
        if not overtaken and len(guard.rows[0]) > 1:  # a cancel, not an interruption
            try:
                changed = running.waiting("orders", NOW, f"turn {running.version}", NOW)
                await here.registry.record(changed)
                running = changed
            except Overtaken:
                overtaken = True
        return await write(guard, *rest)

    monkeypatch.setattr(there.store, "write", late)
    cancelled = await there.registry.cancel(ANN, running.id)
    assert overtaken and cancelled.status is Status.CANCELLED
    assert await here.registry.find(running.id) == cancelled
    assert cancelled.version == running.version + 2, "one for the interruption"
    assert await there.store.interrupt(running.id) is False, "it is not live"


async def test_a_sync_that_was_only_interrupted_is_continued_by_another_process(
    nodes: tuple[Node, Node],
) -> None:
    here, there = nodes
    await here.create(new_sync())
    running = await here.registry.take(new_sync().id)
    assert await there.store.interrupt(running.id) is True
    with pytest.raises(Overtaken):
        await here.registry.record(running.paused(WAITING, NOW))
    taken = await there.registry.take(running.id)
    assert taken == msgspec.structs.replace(running.taken(NOW), version=running.version + 2)
    assert await here.registry.find(running.id) == taken


async def test_every_move_of_a_sync_is_counted_once(alone: Node) -> None:
    sync = await alone.create(new_sync())
    await alone.registry.take(sync.id)
    await alone.registry.cancel(ANN, sync.id)
    (moves,) = [metric for metric in alone.metrics.collect() if metric.name.endswith("_moves")]
    counts = {tuple(sample.labels.values()): sample.value for sample in moves.samples}
    assert counts == {
        ("none", "pending"): 1,
        ("pending", "in_progress"): 1,
        ("in_progress", "cancelled"): 1,
    }


@pytest.mark.parametrize("method", ["create", "write"])
async def test_what_is_stored_is_published_although_the_caller_went_away(
    alone: Node, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    call: Callable[..., Any] = getattr(alone.store, method)
    sync = new_sync()
    if method == "write":
        await alone.create(sync)
    with anyio.CancelScope() as scope, alone.published() as published:

        async def late(*args: Any) -> Any:
            result = await call(*args)
            scope.cancel()
            await anyio.lowlevel.checkpoint()
            return result

        monkeypatch.setattr(alone.store, method, late)
        if method == "create":
            await alone.registry.create(sync, Conditions(live_of_tenant=3), None)
        else:
            await alone.registry.cancel(ANN, sync.id)
    assert len(published) == 1
    assert await alone.registry.find(sync.id) is published[0]


async def test_a_redacted_sync_is_not_stored_again(
    alone: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = await alone.create(new_sync())
    cancelled = await alone.registry.cancel(ANN, sync.id)
    await alone.registry.redact(cancelled)
    redacted = await alone.registry.find(sync.id)
    assert redacted == cancelled.redacted()

    async def write(*statements: Statement) -> bool:
        raise AssertionError("written")

    monkeypatch.setattr(alone.store, "write", write)
    await alone.registry.redact(redacted)
    assert await alone.registry.find(sync.id) is redacted


async def test_only_moves_that_need_attention_are_warnings(alone: Node) -> None:
    with capture_logs() as logs:
        sync = await alone.create(new_sync())
        taken = await alone.registry.take(sync.id)
        await alone.registry.record(taken.paused(WAITING, NOW))
        resumed = await alone.registry.cancel(ANN, sync.id)
        await alone.create(new_sync(2))
        failing = await alone.registry.take(new_sync(2).id)
        await alone.registry.record(failing.failed(Fault("source", "It failed."), NOW))
    assert resumed.status is Status.CANCELLED
    levels = [(line["to"], line["log_level"]) for line in logs if line["event"] == "sync_moved"]
    assert levels == [
        ("pending", "info"),
        ("in_progress", "info"),
        ("paused", "warning"),
        ("cancelled", "info"),
        ("pending", "info"),
        ("in_progress", "info"),
        ("failed", "warning"),
    ]
