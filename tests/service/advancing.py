"""A clock that a test advances."""

from datetime import datetime, timedelta
from time import monotonic

import anyio
import anyio.lowlevel

from connectors.base import SystemClock


class AdvancingClock:
    """The system clock plus what a test adds. A sleep ends as soon as the clock has advanced by its
    length. A negative `advance` sets the clock back, which does not affect sleeps."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)
        self._skipped = 0.0  # seconds by which sleeps were shortened
        self._advanced = anyio.Event()

    def now(self) -> datetime:
        return SystemClock().now() + self._ahead

    async def sleep(self, seconds: float) -> None:
        end = self._elapsed() + seconds
        await anyio.lowlevel.checkpoint()
        while (left := end - self._elapsed()) > 0:
            with anyio.move_on_after(left):
                await self._advanced.wait()

    def advance(self, seconds: float = 0, **span: float) -> None:
        """Advance by the given time, in the units of `timedelta`."""
        step = timedelta(seconds=seconds, **span)
        self._ahead += step
        self._skipped += max(0.0, step.total_seconds())
        self._advanced.set()
        self._advanced = anyio.Event()

    def _elapsed(self) -> float:
        return monotonic() + self._skipped
