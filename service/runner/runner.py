"""Runs syncs as tasks of this process, so many at once and no more."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import structlog
from anyio.abc import TaskGroup

Run = Callable[[str], Awaitable[None]]

log = structlog.get_logger()


class Runner:
    """Takes the id of a sync and sees that it is run. Stopping it costs no sync an attempt."""

    def __init__(self, most_at_once: int) -> None:
        self._most_at_once = most_at_once
        self._group: TaskGroup | None = None
        self._running: dict[str, bool] = {}  # whether to run it again

    @asynccontextmanager
    async def open(self, run: Run) -> AsyncIterator[None]:
        """While open, what is submitted runs; at the end all of it is stopped where it is."""
        self._run = run
        self._turns = anyio.Semaphore(self._most_at_once)
        async with anyio.create_task_group() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                group.cancel_scope.cancel()

    def submit(self, sync_id: str) -> None:
        """Twice is once; but what is submitted while its last run ends (cancelled, and resumed
        at once) runs again. After the end nothing is taken: the next process will find it."""
        if sync_id in self._running:
            self._running[sync_id] = True
        elif self._group:
            self._running[sync_id] = False
            self._group.start_soon(self._one, sync_id)

    async def _one(self, sync_id: str) -> None:
        try:
            async with self._turns:
                await self._run(sync_id)
        except Exception:
            log.exception("sync_crashed", sync_id=sync_id)
        finally:
            if self._running.pop(sync_id):
                self.submit(sync_id)
