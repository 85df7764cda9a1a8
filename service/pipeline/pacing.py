"""Slows down syncs with much data while the processor is fully used."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from anyio.lowlevel import checkpoint

from connectors.base import Clock

#: Seconds. If a round of the event loop takes longer, the processor is fully used.
BUSY = 0.0005
#: After storing a page, a sync sleeps REST times as long as that took (at most LONGEST_REST
#: seconds), so that large tenants do not starve small ones.
REST, LONGEST_REST = 12, 0.5


class Pacer:
    """Makes running syncs rest in proportion to their work."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._runs = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count one run while open."""
        self._runs += 1
        try:
            yield
        finally:
            self._runs -= 1

    async def rest(self, worked: timedelta) -> None:
        """Sleep after working for `worked`, if other syncs run and the processor is fully used."""
        if self._runs < 2:
            return
        begun = self._clock.now()
        await checkpoint()
        if (self._clock.now() - begun).total_seconds() > BUSY:
            # Less than zero where the clock was set back meanwhile.
            seconds = max(0.0, worked.total_seconds() * REST)
            await self._clock.sleep(min(seconds, LONGEST_REST))
