"""What the service needs of a runner, in this process or of a cluster."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from service.model import Sync
from service.store.engine import Statement

Run = Callable[[str], Awaitable[None]]
"""Runs the sync with this id to its end, or until another process takes it."""


class Runner(Protocol):
    """Runs every live sync that is not paused, once at a time."""

    def job(self, sync: Sync) -> Sequence[Statement]:
        """Statements of the write that starts or resumes the sync, by which a cluster learns of
        it."""

    def submit(self, sync: Sync) -> None:
        """Run a sync that was started or resumed here. Call this after the commit."""

    def open(self, run: Run) -> AbstractAsyncContextManager[None]:
        """Run syncs while open. At the end, running syncs are stopped at once."""

    async def rescue(self) -> bool:
        """Give the live syncs whose process has died to others. Returns whether there were any."""

    def runs(self, sync_id: str) -> bool:
        """Whether this process is running the sync."""
