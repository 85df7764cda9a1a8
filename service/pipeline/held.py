"""The sync of a run: every change is stored and published before the next one is made."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import anyio
import msgspec

from connectors.base import Dataset
from service.intake import fit_reason
from service.model import Fault, Sync
from service.pipeline.resources import Resources
from service.progress import Stage
from service.store.engine import Statement

Change = Callable[[Sync, datetime], Sync]
"""Returns the next version of a sync, at a given time."""


class HeldSync:
    """The version that this run holds. A write fails if another process has made a newer one."""

    def __init__(self, resources: Resources, sync: Sync) -> None:
        self.sync = sync
        self.connector = resources.sources.get(sync.connector)
        self._registry = resources.registry
        self._clock = resources.clock
        self._writing = resources.writing
        # Datasets are read side by side, but their changes are stored one at a time.
        self._lock = anyio.Lock()

    def dataset(self, name: str) -> Dataset:
        """The connector's definition of a dataset."""
        return next(dataset for dataset in self.connector.datasets if dataset.name == name)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """While open, only the caller changes the sync."""
        async with self._lock, self._writing:
            yield

    async def record(self, sync: Sync, *rest: Statement) -> None:
        """Store the next version together with `rest`. Call it inside `exclusive`."""
        await self._registry.record(sync, *rest)
        self.sync = sync

    async def change(self, change: Change, *rest: Statement) -> None:
        async with self.exclusive():
            await self.record(change(self.sync, self._clock.now()), *rest)

    async def enter(self, stage: Stage, message: str, seconds: float | None = None) -> None:
        """Begin a stage that will take about `seconds`."""
        await self.change(
            lambda sync, now: msgspec.structs.replace(
                sync.staged(stage, message, now), seconds_left=seconds
            )
        )

    async def fail(self, fault: Fault) -> None:
        await self.change(lambda sync, now: sync.failed(fault, now))

    def announcer(self, dataset: str | None) -> Callable[[datetime, str], Awaitable[None]]:
        """A callback that announces a pause of a dataset, or of the whole sync if None."""

        async def waiting(until: datetime, why: str) -> None:
            await self.change(lambda sync, now: sync.waiting(dataset, until, fit_reason(why), now))

        return waiting
