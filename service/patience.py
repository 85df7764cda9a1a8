"""How often, and for how long, a sync tries again: as a whole, and each dataset that its source
cannot give for now."""

from datetime import datetime, timedelta
from random import Random

RETRIES = 3
"""How often a sync is tried again by itself without having got any further."""
IN_TIME = 0.9
"""The share of an attempt's time after which no dataset is asked for again: what was read is still
to be detected and kept."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0
"""Seconds before the second try, and the most before any later one: each pause is twice as long as
the one before it, give or take a quarter."""
LEAST = timedelta(milliseconds=500)
"""Less than this is not worth another try."""

_random = Random()  # noqa: S311 - jitter, not secrecy


def pause_before(tries: int) -> float:
    """Seconds until the next try, after so many that failed beside the first."""
    pause = min(FIRST_PAUSE * 2.0 ** min(tries, 16), LONGEST_PAUSE)
    return pause * _random.uniform(0.75, 1.25)


class Patience:
    """Of one sync with its datasets. It counts from the first failure of a dataset since a record
    of it was read, over all attempts in this process."""

    def __init__(self, seconds: float) -> None:
        self._seconds = timedelta(seconds=seconds)
        self._failing: dict[str, tuple[datetime, int]] = {}

    def restore(self, dataset: str) -> None:
        """A record of it was read: the next failure is the first again."""
        self._failing.pop(dataset, None)

    def pause(self, dataset: str, now: datetime, ends: datetime) -> float | None:
        """Seconds until the next try of a dataset that failed; None where it is given up. No try
        begins later than at `ends`."""
        since, tries = self._failing.get(dataset, (now, 0))
        self._failing[dataset] = (since, tries + 1)
        left = min(since + self._seconds, ends) - now
        return None if left < LEAST else min(pause_before(tries), left.total_seconds())
