"""Runs syncs as tasks of this process: a limited number at once, tenants in turn."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import structlog
from anyio.abc import TaskGroup

from service.model import Sync
from service.runner.base import Owner, Run, Worker, this_process
from service.store.engine import Statement

Unfinished = Callable[[], Awaitable[Sequence[Sync]]]

log = structlog.get_logger()


class LocalRunner:
    """Runs every sync that is submitted, after those that an earlier process left. A sync that is
    stopped with the runner loses no attempt.

    Waiting syncs are scheduled round-robin by tenant. The next tenant is the one with the fewest
    running syncs; of equals, the one that has waited longest since it submitted a sync or one of
    its syncs ended. Priority decides only among the waiting syncs of that tenant; of equals, the
    first submitted runs first."""

    def __init__(self, max_at_once: int, unfinished: Unfinished) -> None:
        self._max_at_once = max_at_once
        self._unfinished = unfinished
        self._group: TaskGroup | None = None
        #: Submitted syncs, in the order of submission.
        self._waiting: dict[str, Sync] = {}
        #: Waiting tenants in the order of their turns: the first has waited longest.
        self._turns: dict[str, None] = {}
        self._running: dict[str, Sync] = {}
        self._began: dict[str, datetime] = {}

    @asynccontextmanager
    async def open(self, run: Run) -> AsyncIterator[None]:
        """Run submitted syncs while open. At the end, running syncs are stopped at once."""
        self._run = run
        async with anyio.create_task_group() as group:
            self._group = group
            try:
                for sync in await self._unfinished():
                    self.submit(sync)
                    log.info("sync_requeued", sync_id=sync.id)
                yield
            finally:
                self._group = None
                group.cancel_scope.cancel()

    def job(self, sync: Sync) -> Sequence[Statement]:
        return ()

    async def rescue(self) -> bool:
        return False

    def submit(self, sync: Sync) -> None:
        """Queue a sync. Submitting a waiting sync again has no effect. A sync that is submitted
        while its last run ends (cancelled and resumed at once) runs again. A closed runner
        accepts no sync: the next process finds the sync in the store."""
        if self._group:
            self._waiting.setdefault(sync.id, sync)
            self._turns.setdefault(sync.tenant)
            self._start_next()

    def runs(self, sync_id: str) -> bool:
        return sync_id in self._running

    def here(self) -> Worker:
        return Worker(this_process(), len(self._running), self._max_at_once)

    async def owners(self) -> Mapping[str, Owner]:
        return {sync_id: Owner(this_process(), since) for sync_id, since in self._began.items()}

    def _start_next(self) -> None:
        """Start waiting syncs until the limit is reached."""
        while self._group and len(self._running) < self._max_at_once:
            sync = self._choose()
            if sync is None:
                return
            del self._waiting[sync.id]
            self._end_turn(sync.tenant)
            self._running[sync.id] = sync
            self._began[sync.id] = datetime.now(UTC)
            self._group.start_soon(self._run_one, sync)

    def _choose(self) -> Sync | None:
        """The waiting sync that runs next."""
        ready = [sync for sync in self._waiting.values() if sync.id not in self._running]
        tenants = {sync.tenant for sync in ready}
        busy = Counter(sync.tenant for sync in self._running.values())
        in_turn = (tenant for tenant in self._turns if tenant in tenants)
        tenant = min(in_turn, key=lambda tenant: busy[tenant], default=None)
        candidates = (sync for sync in ready if sync.tenant == tenant)
        return max(candidates, key=lambda sync: sync.options.priority, default=None)

    def _end_turn(self, tenant: str) -> None:
        """Move a tenant to the end of the queue; remove it if it has no waiting syncs."""
        self._turns.pop(tenant, None)
        if any(sync.tenant == tenant for sync in self._waiting.values()):
            self._turns[tenant] = None

    async def _run_one(self, sync: Sync) -> None:
        try:
            await self._run(sync.id)
        except Exception:
            log.exception("sync_crashed", sync_id=sync.id)
        finally:
            del self._running[sync.id], self._began[sync.id]
            self._end_turn(sync.tenant)
            self._start_next()
