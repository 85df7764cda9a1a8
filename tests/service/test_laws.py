"""Invariants of syncs that hold for every sequence of actions by users, workers and crashes."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors import find
from connectors.base import Cursor, Page, Record
from service.errors import IllegalMove, NotFound, Overtaken, ServiceError
from service.events.bus import EventBus
from service.metrics import Metrics
from service.model import LIVE, MOVES, Fault, Status, Sync
from service.plans import Plans
from service.progress import CLAIMS, Stage
from service.registry import Registry
from service.runner.runner import LocalRunner
from service.sources import Sources
from service.starting import Starter, StartRequest
from service.store.connections import ConnectionStore, StoredConnection
from service.store.engine import Engine, Statement
from service.store.records import RecordStore
from service.store.syncs import SyncStore
from service.users import Actor
from tests.service.clocks import FastClock
from tests.service.store.conftest import ENGINES, OpenEngine

USERS = ("ann", "ann", "bob", "cem")
TENANT_LIMIT = 2

Action = tuple[str, str, int]
"""The name of the action, the user whose sync it changes, and a number that selects a variant."""


class World:
    """A registry over a real store. The test acts as the users and the workers, and crashes."""

    def __init__(self, engine: Engine, sources: Sources) -> None:
        self.engine = engine
        self.sources = sources
        self.clock = FastClock()
        self.store, self.records = SyncStore(engine), RecordStore(engine)
        #: The published versions of each sync.
        self.published: dict[str, list[Sync]] = {}
        #: The sync that the worker of each user holds.
        self.taken: dict[str, Sync] = {}
        #: Syncs held by workers that were killed or presumed dead.
        self.stale_syncs: list[Sync] = []
        self.crash()

    def crash(self) -> None:
        """Lose everything in memory; unfinished syncs can be taken over."""
        bus = EventBus()
        self.stale_syncs += self.taken.values()
        self.taken.clear()
        stored = ConnectionStore(self.engine)
        plans = Plans({}, TENANT_LIMIT)
        runner = LocalRunner(0, self.store.unfinished)
        self.registry = Registry(self.store, stored, bus, runner, self.clock, plans, Metrics())
        self.starter = Starter(
            self.registry, self.store, self.records, stored, self.sources, self.clock, plans
        )
        self.listening = ExitStack()
        self.listening.enter_context(bus.listen(self._on_change))

    def _on_change(self, sync: Sync) -> None:
        self.published.setdefault(sync.id, []).append(sync)

    # Users ------------------------------------------------------------------------------------

    async def start(self, user: str, number: int) -> None:
        await self.starter.start(actor(user), StartRequest(f"conn-{user}"))

    async def cancel(self, user: str, number: int) -> None:
        await self.registry.cancel(actor(user), await self.sync_id(user, number))

    async def resume(self, user: str, number: int) -> None:
        await self.registry.resume(actor(user), await self.sync_id(user, number))

    async def sync_id(self, user: str, number: int) -> str:
        syncs, _ = await self.store.history(user, {}, 100)
        if not syncs:
            raise NotFound
        return syncs[number % len(syncs)].id

    # The worker -------------------------------------------------------------------------------

    async def take(self, user: str, number: int) -> None:
        """Take the user's live sync, also from a worker that is presumed dead."""
        live = await self.store.live_sync(user)
        if live is None:
            raise NotFound
        if user in self.taken:
            self.stale_syncs.append(self.taken.pop(user))
        self.taken[user] = await self.registry.take(live.id)

    async def stage(self, user: str, number: int) -> None:
        stage = (Stage.FETCHING, Stage.PROCESSING, Stage.FINALIZING)[number % 3]
        await self.change(user, lambda sync: sync.staged(stage, "Working", self.clock.now()))

    async def wait(self, user: str, number: int) -> None:
        now = self.clock.now()
        await self.change(user, lambda sync: sync.waiting("orders", now, "a quota", now))

    async def page(self, user: str, number: int) -> None:
        """Store a page of random records, which may repeat. Totals may be wrong or change."""
        sync = self.taken[user]
        name = ("orders", "inventory")[number % 2]
        if sync.dataset(name).ended:
            return
        records = [Record(f"{n % 40}", b"{}") for n in range(number % 37, number % 37 + 7)]
        total = (None, 3, 20, 400)[number % 4]
        last = number % 11 == 0
        page = Page(records, None if last else Cursor(str(number)), total, share=number % 100 / 99)
        write = await self.records.page_write(sync, name, records, self.clock.now())
        await self.change(
            user,
            lambda sync: sync.advanced(name, page, write.tally, self.clock.now()),
            *write.statements,
        )

    async def fail_dataset(self, user: str, number: int) -> None:
        name = ("orders", "inventory")[number % 2]
        await self.change(user, lambda s: s.dataset_failed(name, "Refused.", self.clock.now()))

    async def detect(self, user: str, number: int) -> None:
        skipped = {"R1": "Needs more."} if number % 2 else {}
        await self.change(user, lambda sync: sync.detected(number, skipped, self.clock.now()))

    async def retry(self, user: str, number: int) -> None:
        now = self.clock.now()
        await self.change(user, lambda sync: sync.retrying(FAULT, now, now))

    async def pause(self, user: str, number: int) -> None:
        await self.end(user, lambda sync: sync.paused(FAULT, self.clock.now()))

    async def fail(self, user: str, number: int) -> None:
        await self.end(user, lambda sync: sync.failed(FAULT, self.clock.now()))

    async def complete(self, user: str, number: int) -> None:
        await self.end(user, lambda sync: sync.completed(self.clock.now()))

    async def write_stale(self, user: str, number: int) -> None:
        """A worker that was presumed dead writes again."""
        if not self.stale_syncs:
            raise NotFound
        old = self.stale_syncs[number % len(self.stale_syncs)]
        before = await self.store.sync(old.id)
        try:
            await self.registry.record(
                old.staged(Stage.FETCHING, "Still running", self.clock.now())
            )
        except Overtaken:
            assert await self.store.sync(old.id) == before, "a stale write changed the sync"
        else:
            assert before is not None and before.version == old.version, (
                "a stale write overtook the worker"
            )
            self.stale_syncs.remove(old)

    async def end(self, user: str, change: Callable[[Sync], Sync]) -> None:
        await self.change(user, change)
        del self.taken[user]

    async def change(self, user: str, change: Callable[[Sync], Sync], *rest: Statement) -> None:
        changed = change(self.taken[user])
        try:
            await self.registry.record(changed, *rest)
        except Overtaken:
            del self.taken[user]  # cancelled meanwhile
            raise
        self.taken[user] = changed

    # Invariants -------------------------------------------------------------------------------

    async def check(self) -> None:
        rows = await self.engine.read("SELECT id, user_id, status, version FROM sync_progress", {})
        live = Counter(row["user_id"] for row in rows if row["status"] in LIVE)
        assert all(count == 1 for count in live.values()), "two live syncs of one user"
        assert live.total() <= TENANT_LIMIT, "too many live syncs of one tenant"
        for row in rows:
            sync = await self.registry.find(row["id"])
            assert sync is not None and sync.version == row["version"]
            assert sync.status == row["status"]
            check_versions(self.published[row["id"]])


FAULT = Fault("broken", "It broke.")


def actor(user: str) -> Actor:
    return Actor(user, "acme")


def check_versions(versions: Sequence[Sync]) -> None:
    """Check all published versions of one sync."""
    assert [sync.version for sync in versions] == list(range(1, len(versions) + 1))
    for before, after in pairwise(versions):
        same = before.status is after.status
        assert after.status in MOVES[before.status] or same, f"{before.status} -> {after.status}"
        assert after.attempt in (before.attempt, before.attempt + 1)
        if after.attempt == before.attempt:
            assert after.percent >= before.percent, "the percentage fell"
    for sync in versions:
        assert (sync.percent == 100) is (sync.status is Status.COMPLETE)
        assert sync.live is (sync.completed_at is None)
        for dataset in sync.datasets:
            assert dataset.total is None or dataset.processed <= dataset.total
            outcomes = (dataset.created, dataset.updated, dataset.unchanged, dataset.failed)
            assert dataset.name == CLAIMS or sum(outcomes) == dataset.processed


USER_ACTIONS = ("start", "cancel", "resume")
WORKER_ACTIONS = (
    "take",
    "stage",
    "wait",
    "page",
    "page",
    "page",
    "fail_dataset",
    "detect",
    "retry",
)

ENDS = ("pause", "fail", "complete", "crash", "write_stale")
NEEDS_A_WORKER = {*WORKER_ACTIONS, "pause", "fail", "complete"} - {"take"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("start", "take", *USER_ACTIONS, *WORKER_ACTIONS, *ENDS)),
            st.sampled_from(USERS),
            st.integers(0, 1000),
        ),
        min_size=15,
        max_size=80,
    )
)
@pytest.mark.parametrize("open_engine", ENGINES.values(), ids=ENGINES)
def test_every_sequence_of_actions_keeps_the_invariants(
    open_engine: OpenEngine, actions: list[Action]
) -> None:
    anyio.run(_perform, open_engine, actions)


async def _perform(open_engine: OpenEngine, actions: Sequence[Action]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_engine(Path(folder)) as engine, find("demo")({}, FastClock()) as demo:
            world = World(engine, Sources({"demo": demo}))
            for user in set(USERS):
                await ConnectionStore(engine).connect(_connection(user), {})
            for name, user, number in actions:
                await _do(world, name, user, number)
                await world.check()


async def _do(world: World, name: str, user: str, number: int) -> None:
    """A refused action changes nothing; the invariants are checked after it, too."""
    if name == "crash":
        world.crash()
        return
    try:
        if name in NEEDS_A_WORKER and user not in world.taken:
            await world.take(user, number)
        await getattr(world, name)(user, number)
    except (ServiceError, IllegalMove) as error:
        assert error.status < 500, error


def _connection(user: str) -> StoredConnection:
    return StoredConnection(
        id=f"conn-{user}",
        user=user,
        tenant="acme",
        connector="demo",
        settings={},
        realm="{}",
        name="",
        credentials="x",
        created_at=FastClock().now(),
    )
