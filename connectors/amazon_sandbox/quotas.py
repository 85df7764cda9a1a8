"""Token buckets: how many calls an application may make for a seller."""

from collections import OrderedDict

import msgspec


class Quota(msgspec.Struct, frozen=True):
    """`rate` is calls per second, `burst` how many may come at once."""

    rate: float
    burst: float


class Buckets:
    """One bucket per (seller, application, operation). Full when new, and when long unused."""

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._levels: OrderedDict[tuple[str, str, str], tuple[float, float]] = OrderedDict()

    def draw(self, key: tuple[str, str, str], quota: Quota, now: float) -> bool:
        """Take one call out of the bucket; False if it is empty."""
        level, at = self._levels.pop(key, (quota.burst, now))
        level = min(quota.burst, level + (now - at) * quota.rate)
        # A client that waited exactly 1/rate must not fail by a rounding error.
        drawn = level > 1 - 1e-6
        self._levels[key] = (max(0.0, level - 1) if drawn else level, now)
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)
        return drawn
