"""How often, and after which pauses, a sync and its datasets are retried."""

from datetime import datetime, timedelta
from random import Random

from connectors.base import Clock

#: Automatic retries of a sync without progress between them.
RETRIES = 3
#: The share of an attempt's time after which no dataset is retried: the rest is needed to detect
#: and store claims.
IN_TIME = 0.9
#: Seconds before the first retry, and the maximum before a later one. Each pause is twice as long
#: as the one before, plus or minus a quarter.
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0
#: The minimum pause. A dataset with less remaining time is given up.
SHORTEST_PAUSE = timedelta(milliseconds=500)


class Patience:
    """The pauses of one sync and its datasets.

    The time for retries of a dataset starts at its first failure after progress, and continues over
    all attempts in this process."""

    def __init__(self, seconds: float, clock: Clock, random: Random | None = None) -> None:
        self._seconds = timedelta(seconds=seconds)
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - jitter, not secrecy
        #: The first failure of each failing dataset, and the number of failures since.
        self._failing: dict[str, tuple[datetime, int]] = {}

    def before_retry(self, retries: int) -> float:
        """Seconds until the next retry, after `retries` earlier ones."""
        pause = min(FIRST_PAUSE * 2.0 ** min(retries, 16), LONGEST_PAUSE)
        return pause * self._random.uniform(0.75, 1.25)

    def restore(self, dataset: str) -> None:
        """Call when a record was read: the next failure of the dataset counts as the first."""
        self._failing.pop(dataset, None)

    def pause(self, dataset: str, ends: datetime) -> float | None:
        """Seconds until the next retry of a failed dataset; None if it is given up. No retry begins
        after `ends`."""
        now = self._clock.now()
        since, retries = self._failing.get(dataset, (now, 0))
        self._failing[dataset] = (since, retries + 1)
        left = min(since + self._seconds, ends) - now
        if left < SHORTEST_PAUSE:
            return None
        return min(self.before_retry(retries), left.total_seconds())
