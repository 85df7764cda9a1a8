"""Runs syncs as tasks of this process, so many at once and no more, tenants in fair turns."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import structlog
from anyio.abc import TaskGroup

from service.model import Sync

Run = Callable[[str], Awaitable[None]]

log = structlog.get_logger()


class Runner:
    """Takes a sync and sees that it is run. Stopping it costs no sync an attempt.

    Who waits is taken in turns: first those of the tenant of which the fewest run, of these the one
    of the highest priority, and of equals the one that has waited longest."""

    def __init__(self, most_at_once: int) -> None:
        self._most_at_once = most_at_once
        self._group: TaskGroup | None = None
        self._waiting: dict[str, Sync] = {}  # in the order in which they came
        self._running: dict[str, Sync] = {}

    @asynccontextmanager
    async def open(self, run: Run) -> AsyncIterator[None]:
        """While open, what is submitted runs; at the end all of it is stopped where it is."""
        self._run = run
        async with anyio.create_task_group() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                group.cancel_scope.cancel()

    def submit(self, sync: Sync) -> None:
        """Twice is once; but what is submitted while its last run ends (cancelled, and resumed
        at once) runs again. After the end nothing is taken: the next process will find it."""
        if self._group:
            self._waiting.setdefault(sync.id, sync)
            self._next()

    def runs(self, sync_id: str) -> bool:
        return sync_id in self._running

    def _next(self) -> None:
        """Let as many begin as there is room for."""
        while self._group and len(self._running) < self._most_at_once:
            sync = self._chosen()
            if sync is None:
                return
            del self._waiting[sync.id]
            self._running[sync.id] = sync
            self._group.start_soon(self._one, sync)

    def _chosen(self) -> Sync | None:
        ready = [each for each in self._waiting.values() if each.id not in self._running]
        busy = Counter(each.tenant for each in self._running.values())
        # The first of those that are equal: it has waited longest.
        return min(
            ready, key=lambda each: (busy[each.tenant], -each.options.priority), default=None
        )

    async def _one(self, sync: Sync) -> None:
        try:
            await self._run(sync.id)
        except Exception:
            log.exception("sync_crashed", sync_id=sync.id)
        finally:
            del self._running[sync.id]
            self._next()
