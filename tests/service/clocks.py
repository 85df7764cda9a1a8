"""Clocks for tests: one that runs fast and can be set, and one that a test advances."""

from datetime import datetime, timedelta
from time import monotonic

import anyio

from connectors.base import SystemClock

BLINK = 0.05
"""Real seconds that a pause of the event loop counts at most, however busy the machine is."""


class FastClock:
    """Runs `speed` times as fast as the system clock, while the process gets processor time."""

    def __init__(self, speed: float = 100.0, now: datetime | None = None) -> None:
        self._speed = speed
        self._begin = now or SystemClock().now()
        self._passed = 0.0
        self._looked = monotonic()

    def now(self) -> datetime:
        return self._begin + timedelta(seconds=self._seconds())

    async def sleep(self, seconds: float) -> None:
        until = self._seconds() + seconds
        while (rest := until - self._seconds()) > 0:
            await anyio.sleep(min(rest / self._speed, BLINK))

    def jump(self, by: timedelta) -> None:
        self._begin += by

    def _seconds(self) -> float:
        """The seconds that have passed on this clock, without its jumps."""
        now = monotonic()
        self._passed += min(now - self._looked, BLINK) * self._speed
        self._looked = now
        return self._passed


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
