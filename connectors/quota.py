"""Token buckets, one per seller and operation, which follow the source's own buckets."""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Annotated

import anyio
import msgspec

from connectors.base import ANNOUNCED, Clock, Retryable, Use, Waiting

LONGEST_PENALTY = 300.0
"""Seconds of the longest pause after a refusal (HTTP 429); jitter adds up to a tenth."""
REFUSED_FOR = timedelta(minutes=10)
"""After refusals for this long without a success, callers fail at once instead of waiting for the
next pause to end; they may try again after it."""
FORGOTTEN = timedelta(hours=1)
"""A refusal this long after the last pause counts as the first of a new series."""
MAX_BUCKETS = 20_000
BELIEVED = timedelta(days=1)
"""How long a measured burst that is smaller than the published one is used."""
SLOWEST = 8.0
"""An announced rate is at most this many times slower than the published one."""
SILENT = 2
"""After this many responses in a row without an announced rate, a slower rate is dropped."""
MOMENT = 1e-6
"""Seconds below the resolution of a clock: a shorter remaining sleep is a rounding error."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Quota(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of a bucket. It is stored between processes: a new process that assumed a full
    bucket would be refused."""

    #: Calls per second.
    rate: Positive
    #: The most tokens that the bucket holds.
    burst: Positive
    #: Tokens that were left at `at`.
    level: float
    at: Moment
    #: The published burst, if a refusal has shown that the real one is smaller.
    published: Positive | None = None
    #: When the smaller burst was measured.
    lowered_at: Moment | None = None
    #: The published rate.
    usual: Positive | None = None


NEVER = datetime.min.replace(tzinfo=UTC)


class Bucket:
    """Paces the calls of one operation for one seller.

    Tokens are numbered. A caller takes the next number at once and sleeps until that token has
    been refilled, so callers leave in order of arrival. They are woken early when the rate rises
    and sleep longer after a refusal. A negative `level` is the number of callers that sleep.

    A call in flight keeps its place in the bucket. The source may count the call only just before
    it responds; until then the source's bucket may be full and not refill, so this one must not
    refill either.
    """

    def __init__(self, quota: Quota, clock: Clock, random: Random, use: Use | None = None) -> None:
        self._use = use or Use()
        self._clock = clock
        self._random = random
        self._usual = quota.usual
        self.rate = self._bounded(quota.rate)
        self.burst = quota.burst
        self._silent = 0  # responses in a row that did not announce a rate
        self._published = quota.published or quota.burst
        self._lowered_at = quota.lowered_at
        self._level = min(quota.level, quota.burst)
        self._at = quota.at
        self._used_at = quota.at  # the last call, or the last state that was stored
        # Not `quota.at`: the clock may be set back, since the source's first response corrects it.
        self._closed_until = NEVER
        self._refusals = 0
        self._refused_at: datetime | None = None  # the first refusal of the series
        self._waiting = 0  # callers that have a number, but wait for its token
        self._out = 0  # calls in flight
        self._passed = 0  # calls of a refused burst that were admitted,
        self._doubtful = 0  # and those in flight whose result is still unknown
        self._grown = 0.0  # tokens refilled so far: the number of the newest one
        self._asleep: set[anyio.CancelScope] = set()

    @property
    def level(self) -> float:
        self._refill()
        return self._level

    def state(self) -> Quota:
        """The state to store. Callers that wait have not used their tokens: if the process dies,
        they never will, and those of the next process must not queue behind them."""
        self._refill()
        self._used_at = self._at
        level = self._level + self._waiting
        state = Quota(self.rate, self.burst, level, self._at, usual=self._usual)
        if self._lowered_at is None:
            return state
        return msgspec.structs.replace(
            state, published=self._published, lowered_at=self._lowered_at
        )

    def older_than(self, state: Quota) -> bool:
        """Whether that state is newer than the state of this bucket, and no call is using the
        bucket."""
        return self._used_at < state.at and not self._waiting and not self._out

    def seconds_for(self, calls: float) -> float:
        """Seconds that this many calls take from now on under the quota."""
        missing = max(0.0, calls - max(0.0, self.level))
        return missing / self.rate + self._closed_for()

    async def take(self, waiting: Waiting, why: str) -> None:
        """Wait for a token. The call is in flight from then on, until `finished`.

        Raises Retryable after REFUSED_FOR of refusals without a success."""
        self._refill()
        self._level -= 1
        self._waiting += 1
        number = self._grown - self._level
        try:
            await self._sleep_until(number, waiting, why)
        except BaseException:
            self._level += 1  # cancelled while it slept: the token was not used
            raise
        finally:
            self._waiting -= 1
        self._doubtful = 0  # stops waiting for calls of that burst that still have no result
        self._judge_burst()
        self._out += 1
        self._use.calls += 1

    def finished(self, calls: int = 1) -> None:
        """Note that these calls are no longer in flight, however they ended."""
        self._refill()
        self._used_at = self._clock.now()
        self._out -= calls

    async def _sleep_until(self, number: float, waiting: Waiting, why: str) -> None:
        """Sleep until the token of this number has been refilled."""
        announced = self._clock.now()
        while True:
            self._refill()
            self._raise_if_hopeless(why)
            seconds = max((number - self._grown) / self.rate, self._closed_for())
            if seconds <= MOMENT:
                return
            until = self._clock.now() + timedelta(seconds=seconds)
            if seconds > ANNOUNCED and abs(until - announced) > timedelta(seconds=ANNOUNCED):
                announced = until
                await waiting(until, why)
                continue  # meanwhile a response may have announced another rate
            with anyio.CancelScope() as scope:
                self._asleep.add(scope)
                begun = self._clock.now()
                try:
                    await self._clock.sleep(seconds)
                finally:
                    self._asleep.remove(scope)
                    waited = (self._clock.now() - begun).total_seconds()
                    self._use.waited += max(0.0, waited)

    def _hopeless(self) -> bool:
        """Whether all calls were refused for REFUSED_FOR, and the pause has not ended yet."""
        return self._refused_for() >= REFUSED_FOR and self._closed_for() > MOMENT

    def _refused_for(self) -> timedelta:
        now = self._clock.now()
        return now - (self._refused_at or now)

    def _raise_if_hopeless(self, why: str) -> None:
        if not self._hopeless():
            return
        minutes = self._refused_for() / timedelta(minutes=1)
        raise Retryable(
            f"All calls have been refused for {minutes:.0f} minutes (HTTP 429): {why}. Another "
            "application may be using up the quota. Try again later."
        )

    def admitted(self, rate: float | None) -> None:
        """Note that the call was admitted. `rate` is the rate that the response announced."""
        self._refusals = 0
        self._refused_at = None
        self._refill()
        if self._doubtful:
            self._doubtful -= 1
            self._passed += 1
            self._judge_burst()
        self._adopt(rate if rate is not None and rate > 0 else None)

    def _adopt(self, rate: float | None) -> None:
        """Use an announced rate. A wrong rate below the published one could stop a reader for
        hours: it is used only while responses repeat it, and not below a bound."""
        self._silent = 0 if rate else self._silent + 1
        if rate is None and self._usual and self._silent >= SILENT:
            rate = max(self.rate, self._usual)
        if rate is not None:
            self._set_rate(self._bounded(rate))

    def _bounded(self, rate: float) -> float:
        return max(rate, (self._usual or 0.0) / SLOWEST)

    def _set_rate(self, rate: float) -> None:
        if rate != self.rate:
            self.rate = rate
            for scope in self._asleep:
                scope.cancel()

    def refused(self) -> None:
        """Note a 429: the source's bucket is empty, whatever this one holds. Each refusal of a
        series doubles the pause; jitter keeps callers apart."""
        self._use.refused += 1
        self._refill()
        if self._closed_for() > MOMENT:  # it was sent before an earlier refusal
            self._doubtful = max(0, self._doubtful - 1)
            self._judge_burst()
            return
        if self._level >= 0:  # this bucket expected a token
            self._passed = math.ceil(self.burst - self._level - 1 - self._out - MOMENT)
            self._doubtful = self._out
            self._judge_burst()
        now = self._clock.now()
        if self._refused_at is None or now - self._closed_until > FORGOTTEN:
            self._refused_at = now
        seconds = max(1 / self.rate, 1.0) * 2.0 ** min(self._refusals, 16)
        seconds = min(seconds, LONGEST_PENALTY) * (1 + self._random.random() / 10)
        self._refusals += 1
        # The level is set so that just one token has been refilled when the pause ends: for the
        # first caller that sleeps, else for the refused one. More tokens must not be assumed,
        # since this bucket was wrong about the source's.
        level = min(self._level, 0.0, 1 - seconds * self.rate - self._waiting)
        self._grown -= self._level - level
        self._level = level
        self._closed_until = now + timedelta(seconds=seconds)
        if self._hopeless():
            for scope in self._asleep:
                scope.cancel()

    def _judge_burst(self) -> None:
        """Lower the burst to the number of admitted calls of a refused burst. If none was admitted,
        the source's bucket was not full, so nothing is known about its size."""
        if self._doubtful:
            return
        if 1 <= self._passed < self.burst:
            self.burst, self._lowered_at = float(self._passed), self._clock.now()
        self._passed = 0

    def _closed_for(self) -> float:
        seconds = (self._closed_until - self._clock.now()).total_seconds()
        # A pause above the longest penalty means that the clock was set back.
        return max(0.0, seconds) if seconds <= LONGEST_PENALTY * 1.1 else 0.0

    def _refill(self) -> None:
        now = self._clock.now()
        if self._lowered_at and now - self._lowered_at > BELIEVED:
            self.burst, self._lowered_at = self._published, None
        grown = max(0.0, (now - self._at).total_seconds()) * self.rate
        room = max(0.0, self.burst - self._out)
        self._grown += grown  # zero if the clock was set back
        self._level = min(room, self._level + grown)
        self._at = now


class Buckets:
    """The buckets of this process, by a key of seller and operation."""

    def __init__(self, clock: Clock, random: Random | None = None) -> None:
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - jitter, not secrecy
        #: The use of each operation by all sellers together.
        self.uses: dict[str, Use] = {}
        self._buckets: OrderedDict[Hashable, tuple[object, Bucket]] = OrderedDict()

    def get(
        self,
        key: Hashable,
        first: Callable[[], Quota],
        since: object = None,
        operation: str = "",
    ) -> Bucket:
        """The bucket of that key, created from the state that `first` returns. If another process
        has used the quota since this one did, its state is adopted: `since` is any value that
        changes with a state from elsewhere, so that `first` is seldom called."""
        known, bucket = self._buckets.get(key, (None, None))
        if bucket is None or since != known:
            state = first()
            if bucket is None or bucket.older_than(state):
                use = self.uses.setdefault(operation, Use())
                bucket = Bucket(state, self._clock, self._random, use)
            self._buckets[key] = (since, bucket)
            self._forget_idle()
        self._buckets.move_to_end(key)
        return bucket

    def _forget_idle(self) -> None:
        while len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
