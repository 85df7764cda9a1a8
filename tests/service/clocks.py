"""Clocks for tests: one that runs fast and can be set, and one that a test advances."""

from datetime import datetime, timedelta
from time import monotonic

import anyio

from connectors.base import SystemClock


class FastClock:
    """Runs `speed` times as fast as the system clock."""

    def __init__(self, speed: float = 100.0, now: datetime | None = None) -> None:
        self._speed = speed
        self._begin = now or SystemClock().now()
        self._zero = monotonic()

    def now(self) -> datetime:
        return self._begin + timedelta(seconds=(monotonic() - self._zero) * self._speed)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds / self._speed)

    def jump(self, by: timedelta) -> None:
        self._begin += by


class ManualClock:
    """Stands still until a test advances it or a task sleeps."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = now or SystemClock().now()
        #: The seconds of every sleep.
        self.sleeps: list[float] = []

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
