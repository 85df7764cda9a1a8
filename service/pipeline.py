"""One sync: check the account, read the datasets side by side, detect claims, finish."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from time import perf_counter

import anyio
import msgspec
import structlog
from anyio.lowlevel import checkpoint

from connectors.base import (
    Clock,
    Connection,
    ConnectionLost,
    Connector,
    ConnectorError,
    Dataset,
    Misconfigured,
    Page,
    Retryable,
    SourceError,
    Undetectable,
    Unknowable,
)
from service.accounts import Recognition
from service.connections import Connections
from service.errors import IllegalMove, NotFound, Overtaken, WrongAccount
from service.intake import fit_findings, fit_number, fit_page, fit_text, reason
from service.landed import Landed
from service.model import Fault, Status, Sync
from service.patience import IN_TIME, RETRIES, Patience, pause_before
from service.progress import CLAIMS, Coverage, DatasetProgress, Outcome, Stage
from service.registry import Registry
from service.sources import Sources
from service.store.claims import ClaimStore, findings
from service.store.connections import learn
from service.store.engine import Statement
from service.store.records import RecordStore, Sweep, covered

NOTHING_READ = (Outcome.FAILED, Outcome.UNKNOWN)
WRITING_AT_ONCE = 2
"""Changes of running syncs on their way into the store at once: what a user asks for (a start, a
cancel) must not queue behind those of a hundred syncs."""
DETECTING_AT_ONCE = 4
"""Detections at once: they are work, and only one thread of Python works at a time; but a small one
must not wait until a big one has ended."""
BUSY = 0.0005
"""Seconds that a round of the event loop takes where more is to be done than can be at once."""
REST, LONGEST_REST = 12, 0.5
"""So many times as long as a page took to be kept its sync then rests, at most so many seconds: who
has a hundred times the data of others does not take a hundred times their share of the processor.
"""

MASS = 0.1
"""The share of a dataset that a full refresh may delete without being told to."""
CURRENT = timedelta(days=1)
"""How old the end of what was read may be for rules to conclude anything from it."""

log = structlog.get_logger()


class Pipeline:
    """Runs syncs. What it holds of each is only the scope that a cancel ends."""

    def __init__(
        self,
        registry: Registry,
        connections: Connections,
        records: RecordStore,
        recoveries: ClaimStore,
        sources: Sources,
        clock: Clock,
        timeout: float,
        stall_timeout: float,
        patience: float,
        items: str = "failed",
    ) -> None:
        self.registry = registry
        self.connections = connections
        self.records = records
        self.recoveries = recoveries
        self.sources = sources
        self.clock = clock
        self.timeout = timeout
        self.stall_timeout = timedelta(seconds=stall_timeout)
        self.patience = patience
        self.items = items
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

    async def give_way(self, worked: float) -> None:
        """After so many seconds of work for one sync, where there are others and all are busy."""
        if len(self._scopes) > 1:
            begun = perf_counter()
            await checkpoint()
            if perf_counter() - begun > BUSY:
                await anyio.sleep(min(worked * REST, LONGEST_REST))

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
        self._patience = Patience(pipeline.patience)
        self._ends = pipeline.clock.now()
        self._away: dict[str, str] = {}  # the datasets given up while nothing was read, and why

    async def to_its_end(self) -> None:
        """Tried again after a failure that may pass; the count of tries begins anew with whatever
        is read."""
        if self.sync.stalled(self._p.clock.now(), self._p.stall_timeout):
            text = "The sync was interrupted again and again without getting any further."
            await self._fail(Fault("stalled", text, retryable=True))
            return
        while fault := await self._attempt():
            if not fault.retryable or self.sync.retries >= RETRIES:
                await self._fail(fault)
                return
            await self._again(fault)

    async def _attempt(self) -> Fault | None:
        """None where it came to its end, or to a pause."""
        self._ends = self._p.clock.now() + timedelta(seconds=self._p.timeout * IN_TIME)
        try:
            with anyio.fail_after(self._p.timeout):
                await self._steps()
        except TimeoutError:
            return Fault("timeout", f"The sync took longer than {self._p.timeout:,.0f} s.")
        except ConnectionLost as error:
            await self._p.connections.lost(self.sync.connection_id, reason(error))
            lost = Fault(error.code, reason(error))
            await self._change(lambda now: self.sync.paused(lost, now))
        except ConnectorError as error:
            return Fault(error.code, reason(error), isinstance(error, Retryable))
        except WrongAccount as error:
            return Fault(error.code, error.detail)
        except (IllegalMove, Overtaken):
            raise
        except Exception:
            log.exception("sync_failed_unexpectedly", sync_id=self.sync.id)
            text = "The sync failed by a fault of this service. Its log says more."
            return Fault("internal_error", text, retryable=True)
        return None

    async def _again(self, fault: Fault) -> None:
        pause = pause_before(self.sync.retries)
        log.info("sync_retried", sync_id=self.sync.id, code=fault.code, seconds=round(pause, 1))
        await self._change(
            lambda now: self.sync.retrying(fault, now + timedelta(seconds=pause), now)
        )
        self._away.clear()
        await self._p.clock.sleep(pause)

    async def _steps(self) -> None:
        connection = await self._p.connections.open(self.sync.connection_id)
        self._recognition = await self._recognise(connection)
        if not all(each.ended for each in self.sync.sources):
            await self._fetch(connection)
        coverages = await self._coverages()
        if not self.sync.dataset(CLAIMS).ended:
            await self._stage(Stage.PROCESSING, "Looking for money that is owed")
            await self._sweep()
            await self._detect(coverages)
        if self.sync.stage is not Stage.FINALIZING:
            await self._stage(Stage.FINALIZING, "Finishing")
        known = {} if self.sync.options.dry_run else coverages
        await self._change(lambda now: self.sync.completed(now), covered(self.sync, known))

    async def _recognise(self, connection: Connection) -> Recognition:
        """The account is checked; what its pages tell of it is compared as they come."""
        known = await self._p.connections.check(connection, self._waiting_for(None))
        unread = [each.name for each in self.sync.sources if not each.ended]
        telling = [name for name in unread if _find(self._connector, name).names_account]
        return Recognition(self._p.connections, connection, telling, known)

    # Reading ------------------------------------------------------------------------------------

    async def _fetch(self, connection: Connection) -> None:
        """Wall time is that of the slowest dataset, not the sum."""
        if self.sync.stage is not Stage.FETCHING:
            windows = {each.name: each.checkpoint.window for each in self.sync.sources}
            plan = self._connector.plan(connection, windows)
            known = [fit_number(way.seconds) for way in plan.values()]
            seconds = max((each for each in known if each is not None), default=None)
            seconds = None if None in known else seconds
            await self._stage(Stage.FETCHING, "Fetching", seconds)
        stops: list[Exception] = []
        async with anyio.create_task_group() as group:
            for progress in self.sync.sources:
                if not progress.ended:
                    group.start_soon(self._read, connection, progress, stops, group.cancel_scope)
        if stops:
            raise stops[0]
        if self._away and not self._anything_read():
            raise Retryable(next(iter(self._away.values())))
        for name, why in self._away.items():
            await self._lose(name, why)
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
            with self._recognition.reading(progress.name):
                await self._patiently(connection, progress.name)
        except Retryable as error:
            await self._give_up(progress.name, reason(error))
        except (ConnectionLost, Misconfigured) as error:
            stops.append(error)
            scope.cancel()
        except SourceError as error:
            unread = Outcome.UNKNOWN if isinstance(error, Unknowable) else Outcome.FAILED
            await self._lose(progress.name, reason(error), unread)
        except Exception as error:
            stops.append(error)
            scope.cancel()

    async def _patiently(self, connection: Connection, name: str) -> None:
        """One dataset to its end. While the source cannot give it, it is asked for again from its
        checkpoint, after growing pauses; the others read on. Raises Retryable where it is given
        up."""
        while True:
            before = self.sync.dataset(name)
            try:
                await self._pages(connection, before)
                return
            except Retryable as error:
                if self.sync.dataset(name).processed > before.processed:
                    self._patience.restore(name)
                pause = self._patience.pause(name, self._p.clock.now(), self._ends)
                if pause is None:
                    raise
                why = f"another try. {error}"
            log.info("dataset_retried", sync_id=self.sync.id, dataset=name, seconds=round(pause, 1))
            until = self._p.clock.now() + timedelta(seconds=pause)
            await self._waiting_for(name)(until, why)
            await self._p.clock.sleep(pause)

    async def _give_up(self, name: str, why: str) -> None:
        """A dataset that stayed away: it alone is lost, if anything of the sync was read. If not,
        the whole sync may be tried again, and it must not have ended."""
        if self._anything_read():
            await self._lose(name, why)
        else:
            self._away[name] = why

    def _anything_read(self) -> bool:
        read = (Outcome.COMPLETE, Outcome.PARTIAL)
        return any(each.processed or each.status in read for each in self.sync.sources)

    async def _lose(self, name: str, why: str, unread: Outcome = Outcome.FAILED) -> None:
        """What was read of a dataset stays; it is partial then, else `unread`."""
        await self._change(lambda now: self.sync.dataset_failed(name, why, now, unread))

    async def _pages(self, connection: Connection, progress: DatasetProgress) -> None:
        """The next page is asked for when this one is kept: a crash costs no more than the page in
        hand, and it is the source's quotas that decide how long a sync takes, not our disk."""
        dataset = _find(self._connector, progress.name)
        window, cursor = progress.checkpoint.window, progress.checkpoint.cursor
        waiting = self._waiting_for(dataset.name)
        async for page in self._connector.read(connection, dataset, window, cursor, waiting):
            await self._recognition.before(dataset.name, page)
            await self._land(dataset.name, page)

    async def _land(self, dataset: str, page: Page) -> None:
        page = await fit_page(page, self.sync.dataset(dataset).checkpoint.cursor)
        async with self._turn, self._p.writing:
            begun, now = perf_counter(), self._p.clock.now()
            landing = await self._p.records.landing(
                self.sync, dataset, page.records, now, self._p.items
            )
            sync = self.sync.advanced(dataset, page, landing.tally, now)
            learned = learn(sync.connection_id, page.learned)
            await self._p.registry.record(sync, *landing.statements, learned)
            self.sync = sync
        await self._p.give_way(perf_counter() - begun)

    # What was read ------------------------------------------------------------------------------

    async def _coverages(self) -> Mapping[str, Coverage]:
        """From when to when each dataset that was read whole is known, with what was before."""
        landed = await self._p.records.landed(self.sync.connection_id)
        found = {}
        for each in self.sync.sources:
            if each.status is not Outcome.COMPLETE:
                continue
            window, dataset = each.checkpoint.window, _find(self._connector, each.name)
            before = landed[each.name].coverage if each.name in landed else None
            newest = self.sync.started_at - dataset.lag
            known = before if before and before.believed(newest, dataset.overlap) else None
            new = Coverage(window.since, window.until)
            found[each.name] = known.joined(window, dataset.reach or timedelta(0)) if known else new
        return found

    async def _sweep(self) -> None:
        """A full refresh: what a faultless read did not bring any more is deleted, unless that is
        so much that it is rather the read that is wrong."""
        if not self.sync.options.overwrite:
            return
        for each in self.sync.sources:
            if not each.faultless:
                await self._keep_all(each, "not all of them could be read")
                continue
            sweep = await self._p.records.sweep(self.sync, each, self._p.clock.now(), self._p.items)
            if why := self._doubt(each, sweep):
                await self._keep_all(each, f"{why}; allowMassDelete does it")
            elif sweep.gone:
                await self._delete(each.name, sweep)

    def _doubt(self, dataset: DatasetProgress, sweep: Sweep) -> str:
        """Why what was not met may be there all the same; empty if there is no doubt."""
        if self.sync.options.allow_mass_delete or not sweep.gone:
            return ""
        if sweep.gone > MASS * sweep.reached:
            return f"that would be {sweep.gone:,} of {sweep.reached:,}"
        if _find(self._connector, dataset.name).lasting:
            return f"the {sweep.gone:,} that did not come may only have changed meanwhile"
        return ""

    async def _delete(self, name: str, sweep: Sweep) -> None:
        await self._change(lambda now: self.sync.swept(name, sweep.gone, now), *sweep.statements)

    async def _keep_all(self, dataset: DatasetProgress, why: str) -> None:
        text = f"No {dataset.label} were deleted: {why}."
        if text not in self.sync.warnings:  # an interrupted refresh says it once
            await self._change(lambda now: self.sync.warned(text, now))

    # Detecting ----------------------------------------------------------------------------------

    async def _detect(self, coverages: Mapping[str, Coverage]) -> None:
        if self.sync.options.dry_run:
            why = "Not computed: a dry run keeps nothing that claims could be found in."
            await self._change(lambda now: self.sync.undetectable(why, now))
            return
        costs = await self._p.recoveries.costs(self.sync.user)
        records = Landed(self._p.records, self.sync, costs, self._current(coverages))
        try:
            found = await anyio.to_thread.run_sync(
                self._connector.detect,
                records,
                self.sync.started_at,
                abandon_on_cancel=True,
                limiter=self._p.detecting,
            )
        except Undetectable as error:
            why = reason(error)
            await self._change(lambda now: self.sync.undetectable(why, now))
            return
        found = fit_findings(found)
        count = len(found.claims)
        twins = await self._p.connections.twins(self.sync.connection_id)
        await self._change(
            lambda now: self.sync.detected(count, found.skipped, now),
            *findings(self.sync, found, self._p.clock.now(), twins),
        )

    def _current(self, coverages: Mapping[str, Coverage]) -> frozenset[str]:
        """The datasets of which all is known that reaches from as far back as claims need to now:
        of others it cannot be said that something is missing in them."""
        found = set()
        for name, coverage in coverages.items():
            dataset = _find(self._connector, name)
            newest = self.sync.started_at - dataset.lag
            far_back = dataset.reach is None or coverage.since <= newest - dataset.reach
            if far_back and coverage.until >= newest - CURRENT:
                found.add(name)
        return frozenset(found)

    # Recording ----------------------------------------------------------------------------------

    async def _stage(self, stage: Stage, message: str, seconds: float | None = None) -> None:
        await self._change(
            lambda now: msgspec.structs.replace(
                self.sync.staged(stage, message, now), seconds_left=seconds
            )
        )

    def _waiting_for(self, dataset: str | None) -> Callable[[datetime, str], Awaitable[None]]:
        async def waiting(until: datetime, why: str) -> None:
            await self._change(lambda now: self.sync.waiting(dataset, until, fit_text(why), now))

        return waiting

    async def _fail(self, fault: Fault) -> None:
        await self._change(lambda now: self.sync.failed(fault, now))

    async def _change(self, change: Callable[[datetime], Sync], *rest: Statement) -> None:
        async with self._turn, self._p.writing:
            sync = change(self._p.clock.now())
            await self._p.registry.record(sync, *rest)
            self.sync = sync


def _find(connector: Connector, name: str) -> Dataset:
    return next(each for each in connector.datasets if each.name == name)
