"""Buckets for tests, and the bucket of a source."""

from datetime import datetime
from random import Random

from connectors.amazon_sandbox.rate_limits import RateLimit, TokenBuckets
from connectors.base import Clock
from connectors.quota import Bucket, Quota

from .clocks import NOW


class Diary:
    """Records calls of `waiting`."""

    def __init__(self) -> None:
        self.entries: list[tuple[datetime, str]] = []

    async def waiting(self, until: datetime, why: str) -> None:
        self.entries.append((until, why))


class SourceBucket:
    """The source's bucket, which counts a call when it arrives."""

    def __init__(self, rate: float, burst: float, clock: Clock) -> None:
        self.quota = RateLimit(rate, burst)
        self.clock = clock
        self.buckets = TokenBuckets()

    def admits(self) -> bool:
        seconds = (self.clock.now() - NOW).total_seconds()
        return self.buckets.take(("", "", ""), self.quota, seconds)


async def wait_quietly(until: datetime, why: str) -> None:
    pass


def bucket_of(
    clock: Clock, rate: float = 1, burst: float = 2, level: float | None = None
) -> Bucket:
    at = clock.now()
    return Bucket(Quota(rate, burst, burst if level is None else level, at), clock, Random(1))


async def call(bucket: Bucket) -> None:
    await bucket.take(wait_quietly, "the quota")
    bucket.finished()
    bucket.admitted(None)
