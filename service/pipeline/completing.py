"""Comparing the datasets of a sync with one another, and reading what one of them lacks."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from typing import cast

import anyio
import msgspec
import structlog

from connectors.base import Connection, Misconfigured, Page, Retryable, SourceError, Window
from connectors.completing import Completing, Gap, Gaps
from service.intake import fit_page, fit_text, reason
from service.model import Sync
from service.pipeline.detection import StoredRecords
from service.pipeline.held import HeldSync
from service.pipeline.resources import Resources
from service.progress import Completeness, Coverage, Stage, Tally
from service.store.completeness import close_gaps, keep_days
from service.store.connections import learn

log = structlog.get_logger()


async def complete_datasets(
    resources: Resources,
    held: HeldSync,
    connection: Connection,
    coverages: Mapping[str, Coverage],
) -> None:
    """Read what other datasets show that one lacks, and store the state of each day.

    Records that were stored are no longer missing, so an interrupted run continues where it was.
    What stays missing is a warning, and the next sync looks for it again."""
    done = held.sync.completeness is not None or held.sync.options.dry_run
    if done or not hasattr(held.connector, "complete"):
        return
    completing = _Completing(resources, held, connection, coverages)
    first = await completing.compare()
    if not first:
        return
    failures = [why for gaps in first if gaps.gaps and (why := await completing.fill(gaps))]
    last = await completing.compare() if any(gaps.gaps for gaps in first) else first
    await completing.keep(first, last, failures)


class _Completing:
    """The step of one attempt."""

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
        self._closed: Mapping[str, AbstractSet[str]] = {}
        self._progress = ""  # the message while filling

    async def compare(self) -> Sequence[Gaps]:
        """Compare the datasets that this sync has read completely with all stored records, off the
        event loop."""
        resources, sync = self._resources, self._held.sync
        self._closed = await resources.completeness.closed(sync.connection_id)
        windows = await self._windows()
        compared = await anyio.to_thread.run_sync(
            self._connector.complete,
            self._connection,
            StoredRecords(
                resources.records,
                sync.connection_id,
                costs={},
                complete=frozenset(windows),
                learned=self._connection.learned,
            ),
            windows,
            self._closed,
            abandon_on_cancel=True,
            limiter=resources.detecting,
        )
        return [gaps for gaps in compared if gaps.dataset in self._coverages]

    async def _windows(self) -> Mapping[str, Window]:
        """The spans of time that this and earlier syncs have read without a gap."""
        landed = await self._resources.records.datasets(self._held.sync.connection_id)
        earlier = {name: data.coverage for name, data in landed.items() if data.coverage}
        return {
            name: Window(coverage.since, coverage.until)
            for name, coverage in {**earlier, **self._coverages}.items()
        }

    async def fill(self, gaps: Gaps) -> str:
        """Read what is missing. Returns why some of it could not be read; empty if all was."""
        log.info("gaps_found", sync_id=self._held.sync.id, missing=gaps.missing)
        pages = self._connector.fill(self._connection, gaps, self._waiting)
        try:
            await self._store_all(gaps, pages)
        except Misconfigured:
            raise
        except (Retryable, SourceError) as error:
            log.info("gaps_left", sync_id=self._held.sync.id, dataset=gaps.dataset)
            return reason(error)
        return ""

    async def _waiting(self, until: datetime, why: str) -> None:
        """Announce a pause without losing sight of how much is left."""

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
        await resources.pacer.rest(resources.clock.now() - begun)

    async def keep(
        self, first: Sequence[Gaps], last: Sequence[Gaps], failures: Sequence[str]
    ) -> None:
        """Store the days, and what they add up to with the sync."""
        before = {gaps.dataset: gaps for gaps in first}
        summary = _summary(last)
        warnings = [self._warning(gaps, failures) for gaps in last if gaps.missing]
        statements = [
            keep_days(
                self._held.sync,
                gaps,
                _fetched(before[gaps.dataset], gaps, self._closed.get(gaps.dataset, frozenset())),
            )
            for gaps in last
            if gaps.dataset in before
        ]

        def with_summary(sync: Sync, now: datetime) -> Sync:
            staged = sync.staged(Stage.PROCESSING, "Detecting claims", now)
            return msgspec.structs.replace(
                staged, completeness=summary, warnings=(*staged.warnings, *warnings)
            )

        await self._held.change(with_summary, *statements)

    def _warning(self, gaps: Gaps, failures: Sequence[str]) -> str:
        label = self._held.sync.dataset(gaps.dataset).label
        days = [day.day for day in gaps.days if day.missing]
        span = f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"
        why = f" {failures[0]}" if failures else ""
        return (
            f"{gaps.missing:,} {label} of {span} are missing: other datasets show them, and they "
            f"could not be read in this sync.{why} The next sync looks for them again."
        )


def _filled(sync: Sync, name: str, tally: Tally, text: str, at: datetime) -> Sync:
    """After a page of missing records."""
    datasets = tuple(
        dataset.filled(tally) if dataset.name == name else dataset for dataset in sync.datasets
    )
    staged = sync.staged(Stage.PROCESSING, text, at)
    progress = {"retries": 0, "takeovers": 0, "checkpoint_at": at} if tally.processed else {}
    return msgspec.structs.replace(staged, datasets=datasets, **progress)


def _summary(compared: Sequence[Gaps]) -> Completeness:
    counts = Counter(day.state for gaps in compared for day in gaps.days)
    return Completeness(counts["confirmed"], counts["single_sourced"], counts["short"])


def _fetched(before: Gaps, after: Gaps, closed: AbstractSet[str]) -> Mapping[date, int]:
    """How many records of each day were missing before and are stored now."""
    left = {gap.key for gap in after.gaps}

    def stored(gap: Gap) -> bool:
        return gap.identified and gap.key not in left and gap.key not in closed

    return Counter(gap.day for gap in before.gaps if stored(gap))
