"""Reads that wait for a report, and notifications that it is finished."""

import anyio

from connectors.base import Clock


class FinishedReports:
    """Wakes the reads of this process that wait for a report when a notification names it."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[anyio.Event]] = {}

    async def sleep(self, clock: Clock, seconds: float, report: str) -> None:
        """Sleep, but not longer than until the report is finished."""
        finished = anyio.Event()
        self._waiting.setdefault(report, set()).add(finished)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._wake, finished, group.cancel_scope)
                await clock.sleep(seconds)
                group.cancel_scope.cancel()
        finally:
            others = self._waiting.get(report, set())
            others.discard(finished)
            if not others:
                self._waiting.pop(report, None)

    async def _wake(self, finished: anyio.Event, scope: anyio.CancelScope) -> None:
        await finished.wait()
        scope.cancel()

    def finish(self, report: str) -> bool:
        """Wake the reads that wait for a report. Returns whether there were any."""
        waiting = self._waiting.get(report, set())
        for finished in waiting:
            finished.set()
        return bool(waiting)
