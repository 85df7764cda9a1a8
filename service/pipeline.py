"""One sync: check the account, read the datasets side by side, detect claims, finish."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime

import anyio
import msgspec
import structlog

from connectors.base import (
    Clock,
    Connection,
    ConnectionLost,
    Connector,
    ConnectorError,
    Dataset,
    Misconfigured,
    Money,
    Page,
    Record,
    Retryable,
    SourceError,
    Undetectable,
    Unknowable,
)
from service.connections import Connections
from service.errors import IllegalMove, NotFound, Overtaken
from service.model import CLAIMS, DatasetProgress, Fault, Outcome, Stage, Status, Sync
from service.registry import Registry
from service.sources import Sources
from service.store.engine import Statement
from service.store.recoveries import Recoveries, findings
from service.store.store import Store, learn, watermarks

NOTHING_READ = (Outcome.FAILED, Outcome.UNKNOWN)
RECORDS_AT_ONCE = 500
WRITING_AT_ONCE = 2
"""Changes of running syncs on their way into the store at once: what a user asks for (a start, a
cancel) must not queue behind those of a hundred syncs."""
DETECTING_AT_ONCE = 1
"""Rules that are run at once: they are work, and only one thread of Python works at a time."""

log = structlog.get_logger()


class Pipeline:
    """Runs syncs. What it holds of each is only the scope that a cancel ends."""

    def __init__(
        self,
        registry: Registry,
        connections: Connections,
        store: Store,
        recoveries: Recoveries,
        sources: Sources,
        clock: Clock,
        timeout: float,
    ) -> None:
        self.registry = registry
        self.connections = connections
        self.store = store
        self.recoveries = recoveries
        self.sources = sources
        self.clock = clock
        self.timeout = timeout
        self.writing = anyio.Semaphore(WRITING_AT_ONCE)
        self.detecting = anyio.CapacityLimiter(DETECTING_AT_ONCE)
        self._scopes: dict[str, anyio.CancelScope] = {}

    def hear(self, sync: Sync) -> None:
        """Cancelled, wherever: then what runs here ends at once, even while it sleeps."""
        scope = self._scopes.get(sync.id)
        if scope and sync.status is not Status.IN_PROGRESS:
            scope.cancel()

    async def run(self, sync_id: str) -> None:
        scope = self._scopes[sync_id] = anyio.CancelScope()
        try:
            with scope:
                await self._run(sync_id)
        finally:
            del self._scopes[sync_id]

    async def _run(self, sync_id: str) -> None:
        # Cancelled, or another process has it: then it is no longer ours to say how it ends.
        with suppress(IllegalMove, Overtaken, NotFound):
            await _Run(self, await self.registry.take(sync_id)).to_its_end()


class _Run:
    """One sync in work. `sync` is what we hold now: a failure is recorded against this."""

    def __init__(self, pipeline: Pipeline, sync: Sync) -> None:
        self._p = pipeline
        self._connector: Connector = pipeline.sources.get(sync.connector)
        self.sync = sync
        # Datasets are read side by side, but their pages are kept one at a time, in turn.
        self._turn = anyio.Lock()
        self._retryable: list[str] = []

    async def to_its_end(self) -> None:
        try:
            with anyio.fail_after(self._p.timeout):
                await self._steps()
        except TimeoutError:
            await self._fail("timeout", f"The sync took longer than {self._p.timeout:,.0f} s.")
        except ConnectionLost as error:
            await self._p.connections.lost(self.sync.connection_id, str(error))
            fault = Fault(error.code, str(error))
            await self._change(lambda now: self.sync.paused(fault, now))
        except ConnectorError as error:
            await self._fail(error.code, str(error), retryable=isinstance(error, Retryable))
        except (IllegalMove, Overtaken):
            raise
        except Exception:
            log.exception("sync_failed_unexpectedly", sync_id=self.sync.id)
            text = "The sync failed by a fault of this service. Its log says more; resume to try."
            await self._fail("internal_error", text, retryable=True)

    async def _steps(self) -> None:
        connection = await self._p.connections.open(self.sync.connection_id)
        await self._p.connections.check(connection, self._waiting_for(None))
        if not all(each.ended for each in self.sync.sources):
            await self._fetch(connection)
        if not self.sync.dataset(CLAIMS).ended:
            await self._detect()
        if self.sync.stage is not Stage.FINALIZING:
            await self._stage(Stage.FINALIZING, "Finishing")
        await self._change(lambda now: self.sync.completed(now), watermarks(self.sync))
        log.info("sync_complete", sync_id=self.sync.id, version=self.sync.version)

    # Reading ------------------------------------------------------------------------------------

    async def _fetch(self, connection: Connection) -> None:
        """Wall time is that of the slowest dataset, not the sum."""
        if self.sync.stage is not Stage.FETCHING:
            windows = {each.name: each.checkpoint.window for each in self.sync.sources}
            plan = self._connector.plan(connection, windows)
            known = [way.seconds for way in plan.values() if way.seconds is not None]
            seconds = max(known) if len(known) == len(plan) else None
            await self._stage(Stage.FETCHING, "Fetching", seconds)
        stops: list[Exception] = []
        async with anyio.create_task_group() as group:
            for progress in self.sync.sources:
                if not progress.ended:
                    group.start_soon(self._read, connection, progress, stops, group.cancel_scope)
        if stops:
            raise stops[0]
        if self._retryable:
            raise Retryable(self._retryable[0])
        if all(each.status in NOTHING_READ for each in self.sync.sources):
            raise SourceError("Nothing could be read. " + " ".join(self.sync.warnings))

    async def _read(
        self,
        connection: Connection,
        progress: DatasetProgress,
        stops: list[Exception],
        scope: anyio.CancelScope,
    ) -> None:
        """One dataset to its end. Its errors are values: what concerns it alone is recorded, what
        cannot go on (lost credentials, a sync that is ours no more) stops the other readers too."""
        try:
            await self._pages(connection, progress)
        except Retryable as error:
            self._retryable.append(str(error))  # the others finish first: their quotas cost time
        except (ConnectionLost, Misconfigured) as error:
            stops.append(error)
            scope.cancel()
        except SourceError as error:
            text = str(error)
            unread = Outcome.UNKNOWN if isinstance(error, Unknowable) else Outcome.FAILED
            await self._change(
                lambda now: self.sync.dataset_failed(progress.name, text, now, unread)
            )
        except Exception as error:
            stops.append(error)
            scope.cancel()

    async def _pages(self, connection: Connection, progress: DatasetProgress) -> None:
        """The next page is asked for when this one is kept: a crash costs no more than the page in
        hand, and it is the source's quotas that decide how long a sync takes, not our disk."""
        dataset = _find(self._connector, progress.name)
        window, cursor = progress.checkpoint.window, progress.checkpoint.cursor
        waiting = self._waiting_for(dataset.name)
        async for page in self._connector.read(connection, dataset, window, cursor, waiting):
            await self._land(dataset.name, page)

    async def _land(self, dataset: str, page: Page) -> None:
        async with self._turn, self._p.writing:
            now = self._p.clock.now()
            landing = await self._p.store.landing(self.sync, dataset, page.records, now)
            sync = self.sync.advanced(dataset, page, landing.tally, now)
            learned = learn(sync.connection_id, page.learned)
            await self._p.registry.record(sync, *landing.statements, learned)
            self.sync = sync

    # Detecting ----------------------------------------------------------------------------------

    async def _detect(self) -> None:
        await self._stage(Stage.PROCESSING, "Looking for money that is owed")
        costs = await self._p.recoveries.costs(self.sync.user)
        records = _Landed(self._p.store, self.sync, costs)
        try:
            found = await anyio.to_thread.run_sync(
                self._connector.detect,
                records,
                self.sync.started_at,
                abandon_on_cancel=True,
                limiter=self._p.detecting,
            )
        except Undetectable as error:
            why = str(error)
            await self._change(lambda now: self.sync.undetectable(why, now))
            return
        count = len(found.claims)
        await self._change(
            lambda now: self.sync.detected(count, found.skipped, now),
            *findings(self.sync, found, self._p.clock.now()),
        )

    # Recording ----------------------------------------------------------------------------------

    async def _stage(self, stage: Stage, message: str, seconds: float | None = None) -> None:
        await self._change(
            lambda now: msgspec.structs.replace(
                self.sync.staged(stage, message, now), seconds_left=seconds
            )
        )

    def _waiting_for(self, dataset: str | None) -> Callable[[datetime, str], Awaitable[None]]:
        async def waiting(until: datetime, why: str) -> None:
            await self._change(lambda now: self.sync.waiting(dataset, until, why, now))

        return waiting

    async def _fail(self, code: str, text: str, retryable: bool = False) -> None:
        log.warning("sync_failed", sync_id=self.sync.id, code=code, reason=text)
        await self._change(lambda now: self.sync.failed(Fault(code, text, retryable), now))

    async def _change(self, change: Callable[[datetime], Sync], *rest: Statement) -> None:
        async with self._turn, self._p.writing:
            sync = change(self._p.clock.now())
            await self._p.registry.record(sync, *rest)
            self.sync = sync


class _Landed:
    """What was landed of a connection, read page by page from the thread that detects."""

    def __init__(self, store: Store, sync: Sync, costs: Mapping[str, Money]) -> None:
        self._store = store
        self._costs = costs
        self._connection_id = sync.connection_id
        self._complete = {each.name for each in sync.sources if each.status is Outcome.COMPLETE}

    def complete(self, dataset: str) -> bool:
        return dataset in self._complete

    def cost(self, sku: str) -> Money | None:
        return self._costs.get(sku)

    def read(self, dataset: str) -> Iterable[Record]:
        after = ""
        while True:
            rows = anyio.from_thread.run(
                self._store.raw_records, self._connection_id, dataset, RECORDS_AT_ONCE, after
            )
            for record_id, data in rows:
                yield Record(record_id, data.encode())
            if len(rows) < RECORDS_AT_ONCE:
                return
            after = rows[-1][0]


def _find(connector: Connector, name: str) -> Dataset:
    return next(each for each in connector.datasets if each.name == name)
