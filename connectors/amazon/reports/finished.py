"""Reads that wait for a report, and notifications that it is finished."""

import anyio

from connectors.base import Clock


class FinishedReports:
    """Wakes the reads of this process that wait for a report when a notification names it."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[anyio.CancelScope]] = {}

    async def sleep(self, clock: Clock, seconds: float, report: str) -> None:
        """Sleep, but not longer than until the report is finished."""
        with anyio.CancelScope() as pause:
            self._waiting.setdefault(report, set()).add(pause)
            try:
                await clock.sleep(seconds)
            finally:
                others = self._waiting[report]
                others.discard(pause)
                if not others:
                    self._waiting.pop(report)

    def finish(self, report: str) -> bool:
        """Wake the reads that wait for a report. Returns whether there were any."""
        waiting = self._waiting.get(report, set())
        for pause in waiting:
            pause.cancel()
        return bool(waiting)
