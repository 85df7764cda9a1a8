"""Token buckets: how many calls an application may make for a seller."""

from collections import OrderedDict

import msgspec


class RateLimit(msgspec.Struct, frozen=True):
    #: Calls per second.
    rate: float
    #: Calls at once.
    burst: float


class TokenBuckets:
    """One bucket per (seller, application, operation); a new one is full."""

    def __init__(self, maximum: int = 100_000) -> None:
        self._maximum = maximum
        self._levels: OrderedDict[tuple[str, str, str], tuple[float, float]] = OrderedDict()

    def take(self, key: tuple[str, str, str], limit: RateLimit, now: float) -> bool:
        """Take one call out of the bucket. Returns False if the bucket is empty."""
        level, at = self._levels.pop(key, (limit.burst, now))
        level = min(limit.burst, level + (now - at) * limit.rate)
        # A client that waited exactly 1/rate must not fail by a rounding error.
        taken = level > 1 - 1e-6
        self._levels[key] = (max(0.0, level - 1) if taken else level, now)
        if len(self._levels) > self._maximum:
            self._levels.popitem(last=False)
        return taken
