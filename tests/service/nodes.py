"""Registries over one database, each as in a process of its own, and a runner that runs nothing."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from service.events.bus import EventBus
from service.metrics import Metrics
from service.model import Sync
from service.newest import Newest
from service.plans import Plan, Plans
from service.registry import Registry
from service.runner.base import Owner, Run, Worker
from service.store.connections import ConnectionStore
from service.store.engine import Statement, Unavailable
from service.store.sqlite import SqliteEngine
from service.store.syncs import Conditions, SyncStore
from tests.databases import create_file
from tests.service.clocks import ManualClock

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


@asynccontextmanager
async def new_engine(folder: Path) -> AsyncIterator[SqliteEngine]:
    """A new SQLite database of the newest schema in a folder."""
    path = folder / "sync.db"
    create_file(path)
    engine = await SqliteEngine.open(path)
    try:
        yield engine
    finally:
        await engine.close()


class IdleRunner:
    """A runner that runs nothing and notes what it is given."""

    def __init__(self) -> None:
        self.submitted: list[str] = []
        self.running: set[str] = set()

    def job(self, sync: Sync) -> Sequence[Statement]:
        return ()

    def submit(self, sync: Sync) -> None:
        self.submitted.append(sync.id)

    @asynccontextmanager
    async def open(self, run: Run) -> AsyncIterator[None]:
        yield

    async def rescue(self) -> bool:
        return False

    def runs(self, sync_id: str) -> bool:
        return sync_id in self.running

    def here(self) -> Worker:
        return Worker("idle", len(self.running), 1)

    async def owners(self) -> Mapping[str, Owner]:
        return {}


class Node:
    """The registry of one process."""

    def __init__(
        self, engine: SqliteEngine, alone: bool, plans: Mapping[str, Plan] | None = None
    ) -> None:
        self.engine, self.store = engine, SyncStore(engine)
        self.connections, self.clock = ConnectionStore(engine), ManualClock(NOW)
        self.bus, self.runner = EventBus(), IdleRunner()
        self.plans = Plans(plans or {}, 3)
        self.metrics = Metrics()
        self.available = True
        #: Called while the database is asked for newer versions.
        self.during_read: Callable[[], object] = lambda: None
        self.registry = Registry(
            self.store,
            self.connections,
            self.bus,
            self.runner,
            self.clock,
            self.plans,
            self.metrics,
            None if alone else Newest(self.changes),
        )

    async def changes(self, known: Mapping[str, int]) -> Mapping[str, Sync | None]:
        if not self.available:
            raise Unavailable
        self.during_read()
        return await self.store.changes(known)

    async def create(self, sync: Sync) -> Sync:
        assert await self.registry.create(sync, Conditions(live_of_tenant=3), None) is True
        return sync

    @contextmanager
    def published(self) -> Iterator[list[Sync]]:
        syncs: list[Sync] = []
        with self.bus.listen(syncs.append):
            yield syncs

    def delivered(self, syncs: Sequence[Sync]) -> None:
        """Events of another process."""
        with self.registry.listening():
            for sync in syncs:
                self.bus.deliver(sync)

    async def actions(self) -> list[tuple[str, str]]:
        rows = await self.engine.read("SELECT action, actor FROM audit_logs ORDER BY id", {})
        return [(row["action"], row["actor"]) for row in rows]
