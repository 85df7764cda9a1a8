"""Amazon's time, which may differ from this computer's clock."""

import math
from datetime import UTC, datetime, timedelta

from connectors.base import Clock, Waiting, Window

FORM = "%a, %d %b %Y %H:%M:%S GMT"
SECOND = timedelta(seconds=1)
SLACK = timedelta(seconds=2)
"""How much a Date header may lag: servers compute it once a second, or less often."""
BELIEVED = timedelta(days=1)
"""A larger difference is taken for a wrong header rather than a wrong clock, and is ignored."""
MARGIN = timedelta(seconds=5)
"""How much the difference may be underestimated."""
MINUTE = timedelta(minutes=1)


class SourceClock:
    """This computer's clock, corrected by the difference to Amazon's clock. The `Date` header of
    each response shows it (RFC 9110, section 6.6.1); `known` is true after the first response."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.difference = timedelta(0)
        #: The difference that the last response showed, also one that is not believed.
        self.measured = timedelta(0)
        self.known = False

    def now(self) -> datetime:
        return self._clock.now() + self.difference

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def observe(self, date: str, took: float) -> None:
        """Update the difference by the Date header of a response that took `took` seconds. It
        changes only as far as the header requires, and not at all while both clocks agree."""
        self.known = True
        received = self._clock.now()
        try:
            sent = datetime.strptime(date, FORM).replace(tzinfo=UTC)
            least = sent - SLACK - received
            most = sent + SECOND + SLACK - received + timedelta(seconds=took)
        except (ValueError, OverflowError):
            return
        preferred = timedelta(0) if least <= timedelta(0) <= most else self.difference
        difference = self.measured = min(max(preferred, least), most)
        if abs(difference) <= BELIEVED:
            self.difference = difference

    def window(self, window: Window) -> Window:
        """Move a window back if Amazon's clock is behind this computer's: Amazon would refuse an
        end in its future. It moves by whole minutes, so that it is the same after a restart, when
        the estimate differs a little: page tokens require unchanged parameters.

        Both ends move, and the service stores the end in this computer's time. So the next window
        follows without a gap, even if the clock is corrected between two syncs by up to the
        dataset's overlap."""
        if self.difference >= timedelta(0):
            return window
        minutes = math.ceil((MARGIN - self.difference) / MINUTE)
        return Window(window.since - minutes * MINUTE, window.until - minutes * MINUTE)

    def announcing(self, waiting: Waiting) -> Waiting:
        """A `Waiting` for times of this clock: it converts them to this computer's time."""

        async def announce(until: datetime, why: str) -> None:
            await waiting(until - self.difference, why)

        return announce
