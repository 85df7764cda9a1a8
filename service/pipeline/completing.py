"""Compares the datasets of a sync with one another, and reads the records that one of them
lacks."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime
from typing import cast

import anyio
import msgspec
import structlog

from connectors.base import Connection, Misconfigured, Page, Retryable, SourceError, Window
from connectors.completing import Compared, Completing, DatasetDay, Gaps
from service.intake import fit_page, fit_text, reason
from service.model import Sync
from service.pipeline.compared import ComparedRows
from service.pipeline.held import HeldSync
from service.pipeline.resources import Resources
from service.progress import Completeness, Coverage, Stage, Tally
from service.store.completeness import close_gaps, keep_days, mark_compared
from service.store.connections import learn
from service.store.engine import Statement
from service.warnings import Code, SyncWarning

log = structlog.get_logger()


async def complete_datasets(
    resources: Resources,
    held: HeldSync,
    connection: Connection,
    coverages: Mapping[str, Coverage],
) -> None:
    """Read the records that a dataset lacks according to others, and store the state of each day.
    Stored records are no longer missing, so an interrupted run continues where it stopped. Records
    that stay missing become a warning, and the next sync looks for them again."""
    done = held.sync.completeness is not None or held.sync.options.dry_run
    done = done or held.sync.options.records is not None
    if done or not hasattr(held.connector, "complete"):
        return
    completing = _Completing(resources, held, connection, coverages)
    found = await completing.compare()
    if not found:
        return
    failures = [why for gaps in found if gaps.gaps and (why := await completing.fill(gaps))]
    await completing.keep([await completing.after(gaps) for gaps in found], failures)


class _Filled(msgspec.Struct, frozen=True):
    """A comparison after its gaps were read."""

    gaps: Gaps
    #: The number of records of each day that were missing and are now stored.
    fetched: Mapping[date, int] = {}


class _Completing:
    """The comparison in one attempt of a sync."""

    def __init__(
        self,
        resources: Resources,
        held: HeldSync,
        connection: Connection,
        coverages: Mapping[str, Coverage],
    ) -> None:
        self._resources = resources
        self._held = held
        self._connection = connection
        self._connector = cast(Completing, held.connector)
        self._coverages = coverages
        self._begun = resources.clock.now()
        self._windows: Mapping[str, Window] = {}
        self._before: Mapping[str, Compared] = {}
        self._progress = ""  # the message while filling

    async def compare(self) -> Sequence[Gaps]:
        """Compare the datasets that this sync has read completely with the stored records, in a
        thread."""
        resources, sync = self._resources, self._held.sync
        self._windows = await self._read_windows()
        self._before = await self._comparisons()
        return await anyio.to_thread.run_sync(
            self._connector.complete,
            self._connection,
            ComparedRows(resources.completeness, sync.connection_id, self._before),
            self._windows,
            self._coverages.keys(),
            abandon_on_cancel=True,
            limiter=resources.detecting,
        )

    async def _comparisons(self) -> Mapping[str, Compared]:
        """The last comparisons. A dataset without one is compared completely: after a full refresh,
        which may delete records, and if the clock was set back."""
        if self._held.sync.options.overwrite:
            return {}
        store, connection_id = self._resources.completeness, self._held.sync.connection_id
        found = {name: await store.compared(connection_id, name) for name in self._coverages}
        return {name: last for name, last in found.items() if last and last.at <= self._begun}

    async def _read_windows(self) -> Mapping[str, Window]:
        """The spans of time that this and earlier syncs have read without a gap."""
        landed = await self._resources.records.datasets(self._held.sync.connection_id)
        earlier = {name: data.coverage for name, data in landed.items() if data.coverage}
        return {
            name: Window(coverage.since, coverage.until)
            for name, coverage in {**earlier, **self._coverages}.items()
        }

    async def fill(self, gaps: Gaps) -> str:
        """Read the missing records. Returns why some could not be read; empty if all were read."""
        log.info("gaps_found", missing=gaps.missing)
        pages = self._connector.fill(self._connection, gaps, self._waiting)
        try:
            await self._store_all(gaps, pages)
        except Misconfigured:
            raise
        except (Retryable, SourceError) as error:
            log.info("gaps_left", dataset=gaps.dataset)
            return reason(error)
        return ""

    async def _waiting(self, until: datetime, why: str) -> None:
        """Announce a pause, and keep the progress in the message."""

        def announced(sync: Sync, now: datetime) -> Sync:
            waiting = sync.waiting(None, until, fit_text(why), now)
            left = max(sync.seconds_left or 0.0, waiting.seconds_left or 0.0)
            text = f"{self._progress} {waiting.message}".strip()
            return msgspec.structs.replace(waiting, message=text, seconds_left=left)

        await self._held.change(announced)

    async def _store_all(self, gaps: Gaps, pages: AsyncIterator[Page]) -> None:
        wanted = {gap.key for gap in gaps.gaps}
        settled: set[str] = set()
        async for page in pages:
            settled |= {record.id for record in page.records} | set(page.absent)
            done = len(wanted & settled)
            await self._store(gaps, page, f"{done:,} of {gaps.missing:,}")

    async def _store(self, gaps: Gaps, page: Page, done: str) -> None:
        """Store a page together with the counters of its dataset."""
        held, resources = self._held, self._resources
        fit = await fit_page(page, None)
        async with held.exclusive():
            begun = resources.clock.now()
            landing = await resources.records.page_write(
                held.sync, gaps.dataset, fit.records, begun, resources.items
            )
            dataset = held.sync.dataset(gaps.dataset)
            self._progress = f"Fetching missing {dataset.label} ({done})."
            filled = _filled(held.sync, gaps.dataset, landing.tally, self._progress, begun)
            sync = msgspec.structs.replace(filled, seconds_left=fit.seconds_left)
            await held.record(
                sync,
                *landing.statements,
                learn(sync.connection_id, fit.learned),
                close_gaps(sync, gaps.dataset, fit.absent),
            )
        resources.metrics.landed(sync.connector, gaps.dataset, landing.tally)
        await resources.pacer.rest(resources.clock.now() - begun)

    async def after(self, gaps: Gaps) -> _Filled:
        """The comparison after filling: the records that are still missing, and those that were
        fetched."""
        if not gaps.gaps:
            return _Filled(gaps)
        store, connection_id = self._resources.completeness, self._held.sync.connection_id
        ids = [gap.key for gap in gaps.gaps if gap.identified]
        unread = await store.lacking(connection_id, gaps.dataset, ids)
        closed = await store.closed(connection_id, gaps.dataset, [gap.key for gap in gaps.gaps])
        left = [
            gap
            for gap in gaps.gaps
            if gap.key not in closed and (gap.key in unread or not gap.identified)
        ]
        fetched = Counter(
            gap.day for gap in gaps.gaps if gap.identified and gap.key not in unread | closed
        )
        resolved = Counter(gap.day for gap in gaps.gaps) - Counter(gap.day for gap in left)
        counts = await store.per_day(connection_id, gaps.dataset)
        days = [_resolved(day, resolved[day.day], counts.get(day.day, 0)) for day in gaps.days]
        return _Filled(Gaps(gaps.dataset, days, left), fetched)

    async def keep(self, found: Sequence[_Filled], failures: Sequence[str]) -> None:
        """Store the days, and their totals with the sync."""
        summary = _summary([filled.gaps for filled in found])
        missing = [filled.gaps for filled in found if filled.gaps.missing]
        warnings = [self._warning(gaps, failures) for gaps in missing]
        statements = [statement for filled in found for statement in self._kept(filled)]

        def with_summary(sync: Sync, now: datetime) -> Sync:
            staged = sync.staged(Stage.PROCESSING, "Detecting claims", now)
            return msgspec.structs.replace(
                staged, completeness=summary, warnings=(*staged.warnings, *warnings)
            )

        await self._held.change(with_summary, *statements)

    def _kept(self, filled: _Filled) -> Sequence[Statement]:
        """The statements that store the changed days, and the time up to which they were
        compared."""
        sync, dataset = self._held.sync, filled.gaps.dataset
        before = self._before.get(dataset)
        known = {day.day: day for day in before.days} if before else {}
        days = [
            day
            for day in filled.gaps.days
            if known.get(day.day) != day or filled.fetched.get(day.day)
        ]
        return [
            keep_days(sync, dataset, days, filled.fetched),
            mark_compared(sync, dataset, self._begun, self._windows),
        ]

    def _warning(self, gaps: Gaps, failures: Sequence[str]) -> SyncWarning:
        label = self._held.sync.dataset(gaps.dataset).label
        days = [day.day for day in gaps.days if day.missing]
        span = f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"
        why = f" {failures[0]}" if failures else ""
        text = (
            f"{gaps.missing:,} {label} of {span} are missing: other datasets show them, and they "
            f"could not be read in this sync.{why} The next sync looks for them again."
        )
        return SyncWarning(Code.RECORDS_MISSING, text, gaps.dataset, gaps.missing)


def _filled(sync: Sync, name: str, tally: Tally, text: str, at: datetime) -> Sync:
    """The sync after a page of missing records."""
    datasets = tuple(
        dataset.filled(tally) if dataset.name == name else dataset for dataset in sync.datasets
    )
    staged = sync.staged(Stage.PROCESSING, text, at)
    progress = {"retries": 0, "takeovers": 0, "checkpoint_at": at} if tally.processed else {}
    return msgspec.structs.replace(staged, datasets=datasets, **progress)


def _summary(compared: Sequence[Gaps]) -> Completeness:
    counts = Counter(day.state for gaps in compared for day in gaps.days)
    return Completeness(counts["confirmed"], counts["single_sourced"], counts["short"])


def _resolved(day: DatasetDay, resolved: int, records: int) -> DatasetDay:
    """The day after some of its gaps were resolved."""
    missing = day.missing - resolved
    state = day.state if missing else day.filled
    return msgspec.structs.replace(day, state=state, records=records, missing=missing)
