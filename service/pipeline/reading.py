"""Reads the datasets of a sync in parallel, each with its own retries."""

from datetime import datetime, timedelta
from typing import cast

import anyio
import structlog

from connectors.base import (
    Connection,
    ConnectionLost,
    Misconfigured,
    Notifying,
    Page,
    Retryable,
    SourceError,
    Unknowable,
)
from service.intake import fit_page, reason, seconds_of
from service.pipeline.accounts import Recognition
from service.pipeline.held import HeldSync
from service.pipeline.patience import Patience
from service.pipeline.resources import Resources
from service.pipeline.restating import with_restated
from service.progress import DatasetProgress, Outcome, Stage
from service.store.connections import learn

NOTHING_READ = (Outcome.FAILED, Outcome.UNKNOWN)

log = structlog.get_logger()


class Reading:
    """Reads the datasets in one attempt. `ends` is the time after which no dataset is retried."""

    def __init__(
        self,
        resources: Resources,
        held: HeldSync,
        connection: Connection,
        recognition: Recognition,
        patience: Patience,
        ends: datetime,
    ) -> None:
        self._resources = resources
        self._clock = resources.clock
        self._held = held
        self._connection = connection
        self._recognition = recognition
        self._patience = patience
        self._ends = ends
        #: Errors that end the attempt.
        self._fatal: list[Exception] = []
        #: Datasets that were given up before anything of the sync was read, and why.
        self._unavailable: dict[str, str] = {}

    async def read_all(self) -> None:
        """Read all datasets that have not ended. They are read in parallel. Raises the error that
        ends the attempt: Retryable if no dataset was available, SourceError if none could be
        read."""
        if self._held.sync.stage is not Stage.FETCHING:
            await self._held.enter(Stage.FETCHING, "Fetching", self._estimate())
        async with anyio.create_task_group() as group:
            for dataset in self._held.sync.read_datasets:
                if not dataset.ended:
                    group.start_soon(self._read, dataset, group.cancel_scope)
        if self._fatal:
            raise self._fatal[0]
        if self._unavailable and not self._anything_read():
            raise Retryable(next(iter(self._unavailable.values())))
        for name, why in self._unavailable.items():
            await self._end(name, why)
        if all(dataset.status in NOTHING_READ for dataset in self._held.sync.read_datasets):
            warnings = " ".join(warning.message for warning in self._held.sync.warnings)
            raise SourceError(f"Nothing could be read. {warnings}")

    def _estimate(self) -> float | None:
        """Seconds that the slowest dataset will take; None if any dataset's time is unknown."""
        datasets = self._held.sync.read_datasets
        if self._held.sync.options.records is not None:
            return None
        windows = {dataset.name: dataset.checkpoint.window for dataset in datasets}
        return seconds_of(self._held.connector.plan(self._connection, windows))

    async def _read(self, dataset: DatasetProgress, scope: anyio.CancelScope) -> None:
        """Read one dataset to its end. An error that concerns only this dataset is recorded. Any
        other (lost credentials, a sync that another process holds) stops all datasets."""
        name = dataset.name
        try:
            with self._recognition.reading(name):
                await self._read_with_retries(name)
        except Retryable as error:
            await self._give_up(name, reason(error))
        except (ConnectionLost, Misconfigured) as error:
            self._fatal.append(error)
            scope.cancel()
        except SourceError as error:
            unread = Outcome.UNKNOWN if isinstance(error, Unknowable) else Outcome.FAILED
            await self._end(name, reason(error), unread)
        except Exception as error:
            self._fatal.append(error)
            scope.cancel()

    async def _read_with_retries(self, name: str) -> None:
        """Read one dataset. While the source cannot deliver it, retry from its checkpoint after
        growing pauses. Raises Retryable when the time for retries is over."""
        while True:
            before = self._held.sync.dataset(name)
            try:
                await self._read_pages(before)
                return
            except Retryable as error:
                if self._held.sync.dataset(name).processed > before.processed:
                    self._patience.restore(name)
                pause = self._patience.pause(name, self._ends)
                if pause is None:
                    raise
                why = f"another try. {error}"
            self._resources.metrics.retried(self._held.sync.connector, name)
            log.info("dataset_retried", dataset=name, seconds=round(pause, 1))
            until = self._clock.now() + timedelta(seconds=pause)
            await self._held.announcer(name)(until, why)
            await self._clock.sleep(pause)

    async def _read_pages(self, progress: DatasetProgress) -> None:
        """Read and store one page after the other. A crash costs at most one page, and the source's
        quotas, not the disk, decide how long a sync takes."""
        dataset = self._held.dataset(progress.name)
        window, cursor = progress.checkpoint.window, progress.checkpoint.cursor
        waiting, ids = self._held.announcer(dataset.name), self._held.sync.options.records
        connector = self._held.connector
        if ids is None:
            pages = connector.read(self._connection, dataset, window, cursor, waiting)
        else:
            notifying = cast(Notifying, connector)
            pages = notifying.fetch(self._connection, dataset, ids, cursor, waiting)
        async for page in pages:
            await self._recognition.check(dataset.name, page)
            await self._store(dataset.name, page)

    async def _store(self, dataset: str, page: Page) -> None:
        """Store a page together with its progress."""
        held, resources = self._held, self._resources
        page = await fit_page(page, held.sync.dataset(dataset).checkpoint.cursor)
        async with held.exclusive():
            begun = self._clock.now()
            write = await resources.records.page_write(
                held.sync, dataset, page.records, begun, resources.items
            )
            tally = await with_restated(
                resources.records, held.connector, held.sync, dataset, write
            )
            sync = held.sync.advanced(dataset, page, tally, begun)
            learned = learn(sync.connection_id, page.learned)
            await held.record(sync, *write.statements, learned)
        resources.metrics.landed(sync.connector, dataset, tally)
        await resources.pacer.rest(self._clock.now() - begun)

    async def _give_up(self, name: str, why: str) -> None:
        """Give up a dataset that stayed unavailable. If anything of the sync was read, only this
        dataset fails. Otherwise the whole sync may be retried, so the dataset must not end yet."""
        if self._anything_read():
            await self._end(name, why)
        else:
            self._unavailable[name] = why

    def _anything_read(self) -> bool:
        read = (Outcome.COMPLETE, Outcome.PARTIAL)
        return any(
            dataset.processed or dataset.status in read for dataset in self._held.sync.read_datasets
        )

    async def _end(self, name: str, why: str, unread: Outcome = Outcome.FAILED) -> None:
        """End a dataset early: as partial if any of it was read, else as `unread`."""
        await self._held.change(lambda sync, now: sync.dataset_failed(name, why, now, unread))
