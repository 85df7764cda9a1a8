"""Token buckets, one per seller and operation, kept in step with the far side's own."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from random import Random
from typing import Annotated

import msgspec

from connectors.base import ANNOUNCED, Clock, Waiting

LONGEST_PENALTY = 300.0
"""Seconds: the most that one refusal (429) makes us wait, give or take a tenth."""
MOST_BUCKETS = 20_000


class Quota(msgspec.Struct, frozen=True):
    """What a bucket knows: calls a second, the most saved up, how many were left, and when.

    Kept between processes: one that forgets it would burst into refusals."""

    rate: Annotated[float, msgspec.Meta(gt=0)]
    burst: Annotated[float, msgspec.Meta(gt=0)]
    level: float
    at: Annotated[datetime, msgspec.Meta(tz=True)]


class Bucket:
    """Paces the calls of one operation for one seller.

    A taker reserves its token at once and sleeps until it exists, so takers leave in the order in
    which they came; `level` below zero is how many of them still sleep.

    A call that is out keeps its place in the bucket: the far side may count it only just before it
    answers, and until then its own bucket may be full and grow no more.
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
        self._out = 0

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

    async def take(self, waiting: Waiting, why: str) -> None:
        """Wait for a token. The call is out from then on, until `back`."""
        self._refill()
        self._level -= 1
        seconds = max(-self._level / self.rate, self._closed_for())
        if seconds > 0:
            await self._sleep(seconds, waiting, why)
        self._refill()
        self._out += 1

    def back(self, calls: int = 1) -> None:
        """So many calls are out no more, however they ended."""
        self._refill()
        self._out -= calls

    async def _sleep(self, seconds: float, waiting: Waiting, why: str) -> None:
        try:
            if seconds > ANNOUNCED:
                await waiting(self._clock.now() + timedelta(seconds=seconds), why)
            await self._clock.sleep(seconds)
        except BaseException:
            self._level += 1  # cancelled in its sleep: the token was never used
            raise

    def answered(self, rate: float | None) -> None:
        """The call went through. `rate` is what the answer announced."""
        self._refusals = 0
        self._refill()
        if rate and rate > 0:
            self.rate = rate

    def refused(self) -> None:
        """429: the far side's bucket is empty whatever ours says. Each one in a row waits twice as
        long; a little chance keeps callers apart."""
        seconds = max(1 / self.rate, 1.0) * 2.0 ** min(self._refusals, 16)
        seconds = min(seconds, LONGEST_PENALTY) * (1 + self._random.random() / 10)
        self._refusals += 1
        self._refill()
        # One token grows meanwhile, for the next taker, the one refused. What grows beyond it does
        # not count: the far side's burst may be smaller than we believe.
        self._level = min(self._level, 0.0, 1 - seconds * self.rate)
        self._closed_until = self._clock.now() + timedelta(seconds=seconds)

    def _closed_for(self) -> float:
        seconds = (self._closed_until - self._clock.now()).total_seconds()
        # More than the longest penalty is a clock that was set back.
        return seconds if 0 < seconds <= LONGEST_PENALTY * 1.1 else 0.0

    def _refill(self) -> None:
        now = self._clock.now()
        passed = max(0.0, (now - self._at).total_seconds())  # a clock set back refills nothing
        room = max(0.0, self.burst - self._out)
        self._level = min(room, self._level + passed * self.rate)
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
