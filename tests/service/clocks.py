"""A clock on which a minute passes in less than a second, and that can be set."""

from datetime import datetime, timedelta
from time import monotonic

import anyio

from connectors.base import SystemClock


class FastClock:
    """So many times as fast as the one on the wall."""

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
