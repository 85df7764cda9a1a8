"""Laws of a sync's life: whatever is done to it, by whomever, in whichever order, they hold."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors import find
from connectors.base import Cursor, Page, Record
from service.errors import IllegalMove, NotFound, Overtaken, ServiceError
from service.events.bus import EventBus
from service.model import LIVE, MOVES, Actor, Fault, Status, Sync
from service.plans import Plans
from service.progress import CLAIMS, Stage
from service.registry import Registry, StartRequest
from service.runner.runner import Runner
from service.sources import Sources
from service.store.connections import ConnectionStore, StoredConnection
from service.store.engine import Statement
from service.store.migrations import migrate
from service.store.records import RecordStore
from service.store.sqlite import SqliteEngine
from service.store.syncs import SyncStore
from tests.service.clocks import FastClock

USERS = ("ann", "ann", "bob", "cem")
MOST_OF_TENANT = 2

Deed = tuple[str, str, int]
"""What is done, whose sync it is about, and a number to choose by."""


class World:
    """A registry over a real store; this test is everybody else: users, worker, crash, zombie."""

    def __init__(self, engine: SqliteEngine, sources: Sources) -> None:
        self.engine = engine
        self.sources = sources
        self.clock = FastClock()
        self.store, self.records = SyncStore(engine), RecordStore(engine)
        self.told: dict[str, list[Sync]] = {}
        self.taken: dict[str, Sync] = {}  # what the worker of each user holds
        self.zombies: list[Sync] = []  # what a worker held that was killed, or thought dead
        self.crash()

    def crash(self) -> None:
        """All that was in memory is gone; what was running is to be taken up."""
        bus = EventBus()
        self.zombies += self.taken.values()
        self.taken.clear()
        stored = ConnectionStore(self.engine)
        plans = Plans({}, MOST_OF_TENANT)
        runner = Runner(0)
        self.registry = Registry(
            self.store, self.records, stored, bus, runner, self.sources, self.clock, plans
        )
        self.hearing = ExitStack()
        self.hearing.enter_context(bus.listen(self._hear))

    def _hear(self, sync: Sync) -> None:
        self.told.setdefault(sync.id, []).append(sync)

    # Users ------------------------------------------------------------------------------------

    async def start(self, user: str, number: int) -> None:
        await self.registry.start(actor(user), StartRequest(f"conn-{user}"))

    async def cancel(self, user: str, number: int) -> None:
        await self.registry.cancel(actor(user), await self.some(user, number))

    async def resume(self, user: str, number: int) -> None:
        await self.registry.resume(actor(user), await self.some(user, number))

    async def some(self, user: str, number: int) -> str:
        found, _ = await self.store.history(user, {}, 100)
        if not found:
            raise NotFound
        return found[number % len(found)].id

    # The worker -------------------------------------------------------------------------------

    async def take(self, user: str, number: int) -> None:
        """Also what is taken already: from a worker that is thought dead."""
        live = await self.store.live_sync(user)
        if live is None:
            raise NotFound
        if user in self.taken:
            self.zombies.append(self.taken.pop(user))
        self.taken[user] = await self.registry.take(live.id)

    async def stage(self, user: str, number: int) -> None:
        stage = (Stage.FETCHING, Stage.PROCESSING, Stage.FINALIZING)[number % 3]
        await self.change(user, lambda sync: sync.staged(stage, "Going on", self.clock.now()))

    async def wait(self, user: str, number: int) -> None:
        now = self.clock.now()
        await self.change(user, lambda sync: sync.waiting("orders", now, "a quota", now))

    async def page(self, user: str, number: int) -> None:
        """Of a random size and place: pages may come twice, totals may be wrong or change."""
        sync = self.taken[user]
        name = ("orders", "inventory")[number % 2]
        if sync.dataset(name).ended:
            return
        records = [Record(f"{n % 40}", b"{}") for n in range(number % 37, number % 37 + 7)]
        total = (None, 3, 20, 400)[number % 4]
        last = number % 11 == 0
        page = Page(records, None if last else Cursor(str(number)), total, share=number % 100 / 99)
        landing = await self.records.page_write(sync, name, records, self.clock.now())
        await self.change(
            user,
            lambda sync: sync.advanced(name, page, landing.tally, self.clock.now()),
            *landing.statements,
        )

    async def lose_dataset(self, user: str, number: int) -> None:
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

    async def haunt(self, user: str, number: int) -> None:
        """A worker that was thought dead writes on."""
        if not self.zombies:
            raise NotFound
        old = self.zombies[number % len(self.zombies)]
        before = await self.store.sync(old.id)
        try:
            await self.registry.record(old.staged(Stage.FETCHING, "I live", self.clock.now()))
        except Overtaken:
            assert await self.store.sync(old.id) == before, "a zombie changed something"
        else:
            assert before is not None and before.version == old.version, "a zombie overtook us"
            self.zombies.remove(old)

    async def end(self, user: str, change: Callable[[Sync], Sync]) -> None:
        await self.change(user, change)
        del self.taken[user]

    async def change(self, user: str, change: Callable[[Sync], Sync], *rest: Statement) -> None:
        changed = change(self.taken[user])
        try:
            await self.registry.record(changed, *rest)
        except Overtaken:
            del self.taken[user]  # cancelled: it is ours no more
            raise
        self.taken[user] = changed

    # Laws -------------------------------------------------------------------------------------

    async def check(self) -> None:
        rows = await self.engine.read("SELECT id, user_id, status, version FROM sync_progress", {})
        live = Counter(row["user_id"] for row in rows if row["status"] in LIVE)
        assert all(count == 1 for count in live.values()), "two live syncs of one user"
        assert live.total() <= MOST_OF_TENANT, "too many live syncs of one tenant"
        for row in rows:
            known = await self.registry.find(row["id"])
            assert known is not None and known.version == row["version"]
            assert known.status == row["status"]
            check_life(self.told[row["id"]])


FAULT = Fault("broken", "It broke.")


def actor(user: str) -> Actor:
    return Actor(user, "acme")


def check_life(versions: Sequence[Sync]) -> None:
    """All that was ever told of one sync."""
    assert [each.version for each in versions] == list(range(1, len(versions) + 1))
    for before, after in pairwise(versions):
        same = before.status is after.status
        assert after.status in MOVES[before.status] or same, f"{before.status} -> {after.status}"
        assert after.attempt in (before.attempt, before.attempt + 1)
        if after.attempt == before.attempt:
            assert after.percent >= before.percent, "the bar fell"
    for each in versions:
        assert (each.percent == 100) is (each.status is Status.COMPLETE)
        assert each.live is (each.completed_at is None)
        for dataset in each.datasets:
            assert dataset.total is None or dataset.processed <= dataset.total
            told = (dataset.created, dataset.updated, dataset.unchanged, dataset.failed)
            assert dataset.name == CLAIMS or sum(told) == dataset.processed


USERS_DEEDS = ("start", "cancel", "resume")
WORKERS_DEEDS = ("take", "stage", "wait", "page", "page", "page", "lose_dataset", "detect", "retry")

ENDS = ("pause", "fail", "complete", "crash", "haunt")
NEEDS_A_WORKER = {*WORKERS_DEEDS, "pause", "fail", "complete"} - {"take"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("start", "take", *USERS_DEEDS, *WORKERS_DEEDS, *ENDS)),
            st.sampled_from(USERS),
            st.integers(0, 1000),
        ),
        min_size=15,
        max_size=80,
    )
)
def test_only_moves_of_the_table_happen_and_the_bar_never_falls(deeds: list[Deed]) -> None:
    anyio.run(_live, deeds)


async def _live(deeds: Sequence[Deed]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        migrate(f"sqlite:///{folder}/sync.db")
        engine = await SqliteEngine.open(Path(folder) / "sync.db")
        try:
            async with find("demo")({}, FastClock()) as demo:
                world = World(engine, Sources({"demo": demo}))
                for user in set(USERS):
                    await ConnectionStore(engine).connect(_connection(user), {})
                for name, user, number in deeds:
                    await _do(world, name, user, number)
                    await world.check()
        finally:
            await engine.close()


async def _do(world: World, name: str, user: str, number: int) -> None:
    """What is refused, or is about nothing, changes nothing: the laws are checked all the same."""
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
