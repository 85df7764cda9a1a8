"""Token buckets, one per seller and operation, kept in step with the far side's own."""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from random import Random
from typing import Annotated

import anyio
import msgspec

from connectors.base import ANNOUNCED, Clock, Retryable, Waiting

LONGEST_PENALTY = 300.0
"""Seconds: the most that one refusal (429) makes us wait, give or take a tenth."""
REFUSED_FOR = timedelta(minutes=10)
"""Where a bucket met nothing but refusals for so long, nobody waits for the end of the next pause:
a caller may come back when it is over."""
FORGOTTEN = timedelta(hours=1)
"""So long after the pause of a refusal, the next one is the first of its row."""
MOST_BUCKETS = 20_000
BELIEVED = timedelta(days=1)
"""How long a burst that turned out to be smaller than published is believed to be so."""
SLOWEST = 8.0
"""So many times slower than published is the slowest rate that an announcement can set."""
SILENT = 2
"""After so many answers in a row without an announcement a slower rate is no longer believed."""
MOMENT = 1e-6
"""Seconds that no clock can tell: what is left to sleep of less than that is rounding."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Quota(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a bucket knows: calls a second, the most saved up, how many were left, and when.

    `usual` is the published rate. `published` is the published burst, where a refusal taught a
    smaller one, at `lowered_at`. Kept between processes: one that forgets it would burst into
    refusals."""

    rate: Positive
    burst: Positive
    level: float
    at: Moment
    published: Positive | None = None
    lowered_at: Moment | None = None
    usual: Positive | None = None


class Bucket:
    """Paces the calls of one operation for one seller.

    A taker reserves its token at once and sleeps until it exists, so takers leave in the order in
    which they came; `level` below zero is how many of them still sleep. A token is known by how
    many have grown before it: whoever sleeps for one is woken when they begin to grow faster, and
    sleeps on when they were put off.

    A call that is out keeps its place in the bucket: the far side may count it only just before it
    answers, and until then its own bucket may be full and grow no more.
    """

    def __init__(self, quota: Quota, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._usual = quota.usual
        self.rate = self._bounded(quota.rate)
        self.burst = quota.burst
        self._silent = 0  # answers in a row that did not announce a rate
        self._published = quota.published or quota.burst
        self._lowered_at = quota.lowered_at
        self._level = min(quota.level, quota.burst)
        self._at = quota.at
        self._closed_until = quota.at
        self._refusals = 0
        self._refused_at: datetime | None = None  # the first of those in a row
        self._out = 0
        self._passed = 0  # of a burst that was refused: how many were let in,
        self._doubtful = 0  # and how many are out that may have been, too
        self._grown = 0.0
        self._asleep: set[anyio.CancelScope] = set()

    @property
    def level(self) -> float:
        self._refill()
        return self._level

    def known(self) -> Quota:
        self._refill()
        known = Quota(self.rate, self.burst, self._level, self._at, usual=self._usual)
        if self._lowered_at is None:
            return known
        return msgspec.structs.replace(
            known, published=self._published, lowered_at=self._lowered_at
        )

    def seconds_for(self, calls: float) -> float:
        """How long that many calls will take from now on, as far as the quota decides it."""
        short = max(0.0, calls - max(0.0, self.level))
        return short / self.rate + self._closed_for()

    async def take(self, waiting: Waiting, why: str) -> None:
        """Wait for a token. The call is out from then on, until `back`. Raises Retryable while all
        calls are refused, and have been for REFUSED_FOR."""
        self._refill()
        self._level -= 1
        mine = self._grown - self._level
        try:
            await self._sleep_until(mine, waiting, why)
        except BaseException:
            self._level += 1  # cancelled in its sleep: the token was never used
            raise
        self._doubtful = 0  # who has not told by now will not tell any more
        self._judge_burst()
        self._out += 1

    def back(self, calls: int = 1) -> None:
        """So many calls are out no more, however they ended."""
        self._refill()
        self._out -= calls

    async def _sleep_until(self, grown: float, waiting: Waiting, why: str) -> None:
        announced = self._clock.now()
        while True:
            self._refill()
            self._raise_if_hopeless(why)
            seconds = max((grown - self._grown) / self.rate, self._closed_for())
            if seconds <= MOMENT:
                return
            until = self._clock.now() + timedelta(seconds=seconds)
            if seconds > ANNOUNCED and abs(until - announced) > timedelta(seconds=ANNOUNCED):
                await waiting(until, why)
                announced = until
            with anyio.CancelScope() as nap:
                self._asleep.add(nap)
                try:
                    await self._clock.sleep(seconds)
                finally:
                    self._asleep.remove(nap)

    def _hopeless(self) -> bool:
        """Whether calls were refused for long, and the next one may not leave yet."""
        since = self._refused_at
        long = since is not None and self._clock.now() - since >= REFUSED_FOR
        return long and self._closed_for() > MOMENT

    def _raise_if_hopeless(self, why: str) -> None:
        if self._refused_at is None or not self._hopeless():
            return
        minutes = (self._clock.now() - self._refused_at) / timedelta(minutes=1)
        raise Retryable(
            f"All calls have been refused for {minutes:.0f} minutes (HTTP 429): {why}. Perhaps "
            "another application uses it up. Try again later."
        )

    def answered(self, rate: float | None) -> None:
        """The call went through. `rate` is what the answer announced."""
        self._refusals = 0
        self._refused_at = None
        self._refill()
        if self._doubtful:
            self._doubtful -= 1
            self._passed += 1
            self._judge_burst()
        self._hear(rate if rate and rate > 0 else None)

    def _hear(self, rate: float | None) -> None:
        """A rate that was announced. One below the published rate could stop a reader for hours: it
        is believed only while answers repeat it, and only down to a bound."""
        self._silent = 0 if rate else self._silent + 1
        if rate is None and self._usual and self._silent >= SILENT:
            rate = max(self.rate, self._usual)
        if rate is not None:
            self._turn(self._bounded(rate))

    def _bounded(self, rate: float) -> float:
        return max(rate, (self._usual or 0.0) / SLOWEST)

    def _turn(self, rate: float) -> None:
        if rate != self.rate:
            self.rate = rate
            for nap in self._asleep:
                nap.cancel()

    def refused(self) -> None:
        """429: the far side's bucket is empty whatever ours says. Each one in a row waits twice as
        long; a little chance keeps callers apart."""
        self._refill()
        if self._closed_for() > MOMENT:  # it left before another was refused: that told the same
            self._doubtful = max(0, self._doubtful - 1)
            self._judge_burst()
            return
        if self._level >= 0:  # there should have been a token
            self._passed = math.ceil(self.burst - self._level - 1 - self._out - MOMENT)
            self._doubtful = self._out
            self._judge_burst()
        now = self._clock.now()
        if self._refused_at is None or now - self._closed_until > FORGOTTEN:
            self._refused_at = now
        seconds = max(1 / self.rate, 1.0) * 2.0 ** min(self._refusals, 16)
        seconds = min(seconds, LONGEST_PENALTY) * (1 + self._random.random() / 10)
        self._refusals += 1
        # One token grows meanwhile, for the next taker: the first of those who sleep, or the one
        # refused. What grows beyond it does not count: what we believe of the far side is wrong.
        level = min(self._level, 0.0, 1 - seconds * self.rate - len(self._asleep))
        self._grown -= self._level - level
        self._level = level
        self._closed_until = now + timedelta(seconds=seconds)
        if self._hopeless():
            for nap in self._asleep:
                nap.cancel()

    def _judge_burst(self) -> None:
        """The burst is no larger than what was let in of one that was refused. If nothing was, the
        bucket was not full, which tells nothing of its size."""
        if self._doubtful or not self._passed:
            return
        if 1 <= self._passed < self.burst:
            self.burst, self._lowered_at = float(self._passed), self._clock.now()
        self._passed = 0

    def _closed_for(self) -> float:
        seconds = (self._closed_until - self._clock.now()).total_seconds()
        # More than the longest penalty is a clock that was set back.
        return seconds if 0 < seconds <= LONGEST_PENALTY * 1.1 else 0.0

    def _refill(self) -> None:
        now = self._clock.now()
        if self._lowered_at and now - self._lowered_at > BELIEVED:
            self.burst, self._lowered_at = self._published, None
        grown = max(0.0, (now - self._at).total_seconds()) * self.rate
        room = max(0.0, self.burst - self._out)
        self._grown += grown  # nothing, if the clock was set back
        self._level = min(room, self._level + grown)
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
