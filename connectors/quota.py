"""Token buckets, one per seller and operation, kept in step with the far side's own."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from random import Random

import msgspec

from connectors.base import Clock, Waiting

LONGEST_PENALTY = 300.0
"""Seconds: the most that one refusal (429) makes us wait."""
ANNOUNCED = 1.0
"""Seconds: a pause longer than this is announced before it begins."""
MOST_BUCKETS = 20_000


class Quota(msgspec.Struct, frozen=True):
    """What a bucket knows: calls a second, the most saved up, how many were left, and when.

    Kept between processes: one that forgets it would burst into refusals."""

    rate: float
    burst: float
    level: float
    at: datetime


class Bucket:
    """Paces the calls of one operation for one seller.

    A taker reserves its token at once and sleeps until it exists, so takers leave in the order in
    which they came; `level` below zero is how many of them still sleep.
    """

    def __init__(self, quota: Quota, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self.rate = quota.rate
        self.burst = quota.burst
        self._level = min(quota.level, quota.burst)
        self._at = quota.at
        self._closed_until = quota.at
        self._refusals = 0

    @property
    def level(self) -> float:
        self._refill()
        return self._level

    def known(self) -> Quota:
        self._refill()
        return Quota(self.rate, self.burst, self._level, self._at)

    def seconds_for(self, calls: float) -> float:
        """How long that many calls will take from now on, as far as the quota decides it."""
        short = max(0.0, calls - max(0.0, self.level))
        return short / self.rate + self._closed_for()

    async def take(self, waiting: Waiting, why: str) -> bool:
        """Wait for a token. True if the bucket was full: then the far side's may refill later."""
        self._refill()
        full = self._level >= self.burst
        self._level -= 1
        seconds = max(-self._level / self.rate, self._closed_for())
        if seconds > 0:
            await self._sleep(seconds, waiting, why)
        return full

    async def _sleep(self, seconds: float, waiting: Waiting, why: str) -> None:
        try:
            if seconds > ANNOUNCED:
                await waiting(self._clock.now() + timedelta(seconds=seconds), why)
            await self._clock.sleep(seconds)
        except BaseException:
            self._level += 1  # cancelled in its sleep: the token was never used
            raise

    def answered(self, rate: float | None, late: float = 0.0) -> None:
        """The call went through. `rate` is what the answer announced.

        `late` is how long the answer took if the bucket was full before: the far side may have
        spent the token only just now, so its refill began that much later than ours.
        """
        self._refusals = 0
        self._refill()
        self._level -= late * self.rate
        if rate and rate > 0:
            self.rate = rate

    def refused(self) -> None:
        """429: the far side's bucket is empty whatever ours says. Each one in a row waits twice as
        long; a little chance keeps callers apart."""
        seconds = max(1 / self.rate, 1.0) * 2**self._refusals
        seconds = min(seconds, LONGEST_PENALTY) * (1 + self._random.random() / 10)
        self._refusals += 1
        self._refill()
        self._level = min(self._level, 0.0)
        # The token that grows meanwhile is the one that the next taker, the one refused, will use.
        self._closed_until = self._clock.now() + timedelta(seconds=seconds)

    def _closed_for(self) -> float:
        return max(0.0, (self._closed_until - self._clock.now()).total_seconds())

    def _refill(self) -> None:
        now = self._clock.now()
        passed = max(0.0, (now - self._at).total_seconds())  # a clock set back refills nothing
        self._level = min(self.burst, self._level + passed * self.rate)
        self._at = now


class Buckets:
    """Every bucket of this process, found by a key of seller and operation."""

    def __init__(self, clock: Clock, random: Random | None = None) -> None:
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - jitter, not secrecy
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def get(self, key: Hashable, first: Callable[[], Quota]) -> Bucket:
        """The bucket of that key; made from what `first` tells when it is not known yet."""
        if (bucket := self._buckets.get(key)) is None:
            bucket = self._buckets[key] = Bucket(first(), self._clock, self._random)
            self._forget_idle()
        self._buckets.move_to_end(key)
        return bucket

    def _forget_idle(self) -> None:
        while len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
