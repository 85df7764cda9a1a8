"""Rate limit: how many requests a user may make per minute, if the operator sets a limit."""

import math
from collections import OrderedDict

from connectors.base import Clock
from service.errors import TooManyRequests

MINUTE = 60.0
MAX_USERS = 100_000
"""Maximum users whose requests are counted. Beyond that, the least recently active is dropped."""


class Rates:
    """The generic cell rate algorithm: it stores one time per user, the theoretical arrival time
    of the next request. A user may send the requests of a whole minute at once."""

    def __init__(self, max_per_minute: int, clock: Clock) -> None:
        self._interval = MINUTE / max_per_minute if max_per_minute else 0.0
        self._clock = clock
        self._arrivals: OrderedDict[str, float] = OrderedDict()

    def count(self, user: str) -> None:
        """Count a request. Raises TooManyRequests, with the seconds until the next is allowed."""
        if not self._interval:
            return
        now = self._clock.now().timestamp()
        arrival = self._arrivals.pop(user, now)
        if arrival > now + MINUTE:  # further ahead than possible: the clock was set back
            arrival = now
        following = max(arrival, now) + self._interval
        allowed = following <= now + MINUTE + 1e-6
        self._arrivals[user] = following if allowed else arrival
        if len(self._arrivals) > MAX_USERS:
            self._arrivals.popitem(last=False)
        if not allowed:
            seconds = math.ceil(following - now - MINUTE)
            raise TooManyRequests(headers={"Retry-After": str(seconds)})
