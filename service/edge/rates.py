"""The rate limit: how many requests a user may make per minute, if the operator sets a limit."""

import math
from collections import OrderedDict

from connectors.base import Clock
from service.errors import TooManyRequests

MINUTE = 60.0
MAX_USERS = 100_000
"""Maximum users whose requests are counted. Beyond it, the least recently active one is dropped."""
ROUNDING = 1e-6
"""Seconds by which sums of intervals may differ from a whole minute."""

Headers = list[tuple[bytes, bytes]]


class Rates:
    """The generic cell rate algorithm: it stores one time per user, the theoretical arrival time
    of the next request. A user may send the requests of a whole minute at once."""

    def __init__(self, max_per_minute: int, clock: Clock) -> None:
        self._max_per_minute = max_per_minute
        self._interval = MINUTE / max_per_minute if max_per_minute else 0.0
        self._clock = clock
        self._arrivals: OrderedDict[str, float] = OrderedDict()

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self._max_per_minute > 0

    def count(self, user: str) -> None:
        """Count a request. Raises TooManyRequests, with the seconds until the next is allowed."""
        if not self.limited:
            return
        now = self._clock.now().timestamp()
        arrival = self._arrival(user, now)
        following = arrival + self._interval
        allowed = following <= now + MINUTE + ROUNDING
        self._arrivals[user] = following if allowed else arrival
        self._arrivals.move_to_end(user)
        if len(self._arrivals) > MAX_USERS:
            self._arrivals.popitem(last=False)
        if not allowed:
            seconds = math.ceil(following - now - MINUTE)
            raise TooManyRequests(headers={"Retry-After": str(seconds)})

    def headers(self, user: str) -> Headers:
        """RateLimit-Policy and RateLimit, as draft-ietf-httpapi-ratelimit-headers-11 defines them:
        the user may make `r` requests in the next `t` seconds without being refused.

        `t` is the time in which the policy allows `r` requests, since a client may divide one by
        the other (section 8.5). If `r` is 0, it is the time until the next request is allowed,
        because Retry-After must not be earlier (section 6)."""
        now = self._clock.now().timestamp()
        used = self._arrival(user, now) - now
        remaining = max(0, math.floor((MINUTE - used + ROUNDING) / self._interval))
        seconds = remaining * self._interval or used + self._interval - MINUTE
        policy = f'"default";q={self._max_per_minute};w={MINUTE:.0f}'
        limit = f'"default";r={remaining};t={math.ceil(seconds - ROUNDING)}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", limit.encode())]

    def _arrival(self, user: str, now: float) -> float:
        """The theoretical arrival time of the user's next request; never in the past."""
        arrival = self._arrivals.get(user, now)
        if arrival > now + MINUTE:  # further ahead than possible: the clock was set back
            return now
        return max(arrival, now)
