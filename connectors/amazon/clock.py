"""Amazon's time, which this computer's clock may not show."""

import math
from datetime import UTC, datetime, timedelta

from connectors.base import Clock, Waiting, Window

FORM = "%a, %d %b %Y %H:%M:%S GMT"
SECOND = timedelta(seconds=1)
SLACK = timedelta(seconds=2)
"""How much a Date header may be off: servers compute it once a second, or less often."""
BELIEVED = timedelta(days=1)
"""A larger difference is a wrong header rather than a wrong clock, and is ignored."""
MARGIN = timedelta(seconds=5)
"""How much the difference may be underestimated."""
MINUTE = timedelta(minutes=1)


class SourceClock:
    """This computer's clock plus the difference of Amazon's from it, which the `Date` header of
    each answer tells (RFC 9110, section 6.6.1). `known` once one was received."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.difference = timedelta(0)
        self.known = False

    def now(self) -> datetime:
        return self._clock.now() + self.difference

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def heard(self, date: str, took: float) -> None:
        """An answer that came so many seconds after it was asked for. The difference changes only
        as far as the answer requires: not at all while both clocks agree."""
        self.known = True
        received = self._clock.now()
        try:
            told = datetime.strptime(date, FORM).replace(tzinfo=UTC)
            least = told - SLACK - received
            most = told + SECOND + SLACK - received + timedelta(seconds=took)
        except (ValueError, OverflowError):
            return
        wanted = timedelta(0) if least <= timedelta(0) <= most else self.difference
        found = min(max(wanted, least), most)
        if abs(found) <= BELIEVED:
            self.difference = found

    def window(self, window: Window) -> Window:
        """A window of this computer's time, in Amazon's where that is behind: its end would be in
        Amazon's future, and refused. By whole minutes, so that it is the same after a restart, when
        the estimate differs a little: page tokens are good for unchanged parameters only.

        Both ends move, and the end of what was read is kept in this computer's time. So the next
        window follows without a gap; if the clock is corrected between two syncs, by up to the
        dataset's overlap."""
        if self.difference >= timedelta(0):
            return window
        minutes = math.ceil((MARGIN - self.difference) / MINUTE)
        return Window(window.since - minutes * MINUTE, window.until - minutes * MINUTE)

    def announcing(self, waiting: Waiting) -> Waiting:
        """For waits that end at a moment of this clock."""

        async def announce(until: datetime, why: str) -> None:
            await waiting(until - self.difference, why)

        return announce
