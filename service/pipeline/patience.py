"""The retry policy of a sync and its datasets: exponential backoff with jitter."""

from datetime import datetime, timedelta
from random import Random

from connectors.base import Clock

#: The maximum number of automatic retries of a sync in a row without progress.
RETRIES = 3
#: The share of an attempt's time limit after which no dataset is retried: the remaining time is
#: needed to detect and store claims.
IN_TIME = 0.9
#: Seconds before the first retry, and the maximum before later retries. The pause doubles with each
#: retry, plus or minus 25 %.
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0
#: The minimum pause. A dataset with less remaining time is not retried.
SHORTEST_PAUSE = timedelta(milliseconds=500)


class Patience:
    """Computes the pauses before retries of one sync and its datasets.

    The retry time of a dataset starts at its first failure after progress, and continues across all
    attempts in this process."""

    def __init__(self, seconds: float, clock: Clock, random: Random | None = None) -> None:
        self._seconds = timedelta(seconds=seconds)
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - jitter, not secrecy
        #: The first failure of each failing dataset, and the number of failures since.
        self._failing: dict[str, tuple[datetime, int]] = {}

    def before_retry(self, retries: int) -> float:
        """Seconds until the next retry, after `retries` earlier retries."""
        pause = min(FIRST_PAUSE * 2.0 ** min(retries, 16), LONGEST_PAUSE)
        return pause * self._random.uniform(0.75, 1.25)

    def restore(self, dataset: str) -> None:
        """Reset the failures of a dataset. Call this after a record was read."""
        self._failing.pop(dataset, None)

    def pause(self, dataset: str, ends: datetime) -> float | None:
        """Seconds until the next retry of a failed dataset; None if it is not retried. No retry
        begins after `ends`."""
        now = self._clock.now()
        since, retries = self._failing.get(dataset, (now, 0))
        self._failing[dataset] = (since, retries + 1)
        left = min(since + self._seconds, ends) - now
        if left < SHORTEST_PAUSE:
            return None
        return min(self.before_retry(retries), left.total_seconds())
