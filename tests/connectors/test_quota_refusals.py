"""Quota buckets after refusals (HTTP 429)."""

from datetime import datetime, timedelta
from random import Random

import anyio
import pytest

from connectors.base import Retryable
from connectors.quota import REFUSED_FOR, Bucket

from .clocks import NOW, JumpingClock, Timeline
from .quotas import SourceBucket, bucket_of, call, wait_quietly

pytestmark = pytest.mark.anyio


async def test_each_refusal_in_a_row_doubles_the_pause_up_to_five_minutes() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=0.1, burst=5)
    for _ in range(2_000):
        bucket.refused()
        try:
            await bucket.take(wait_quietly, "")
        except Retryable:  # refused for long: the pause is the same for a later caller
            await clock.sleep(bucket.seconds_for(0))
            await bucket.take(wait_quietly, "")
        bucket.finished()
    foreseen = [10, 20, 40, 80, 160, 300, 300]
    for slept, least in zip(clock.slept, foreseen, strict=False):
        assert least <= slept <= least * 1.1
    assert 300 <= min(clock.slept[6:]) <= max(clock.slept) <= 330


async def refused_for_long(bucket: Bucket, clock: JumpingClock) -> None:
    begun = clock.now()
    while clock.now() - begun < REFUSED_FOR:
        bucket.refused()
        await clock.sleep(bucket.seconds_for(0))
    bucket.refused()


async def test_after_long_refusals_callers_fail_at_once_and_one_call_per_pause_is_sent() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock)
    await refused_for_long(bucket, clock)
    waited = len(clock.slept)
    for _ in range(3):
        with pytest.raises(Retryable, match=r"refused for 1[0-9] minutes"):
            await bucket.take(wait_quietly, "a quota")
    assert len(clock.slept) == waited
    await clock.sleep(bucket.seconds_for(0))
    await bucket.take(wait_quietly, "a quota")
    bucket.admitted(None)
    bucket.finished()
    await bucket.take(wait_quietly, "a quota")


async def test_after_a_success_a_new_series_of_refusals_is_measured_from_its_first() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock)
    bucket.refused()
    await call(bucket)  # within the hour after which refusals are forgotten
    await refused_for_long(bucket, clock)
    with pytest.raises(Retryable, match=r"refused for 1[0-9] minutes"):
        await bucket.take(wait_quietly, "a quota")


async def test_sleeping_callers_are_woken_after_long_refusals() -> None:
    """Otherwise ten datasets would wait five minutes each, one after the other."""
    async with Timeline().running() as clock:
        bucket = bucket_of(clock, rate=0.0167, burst=1)
        refused: list[datetime] = []

        async def calls() -> None:
            try:
                while True:
                    await bucket.take(wait_quietly, "a quota")
                    bucket.finished()
                    bucket.refused()
            except Retryable:
                refused.append(clock.now())

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(calls)
        assert len(refused) == 10
        assert max(refused) - NOW < REFUSED_FOR + timedelta(seconds=400)


async def test_a_refusal_long_after_another_starts_a_new_series() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock)
    bucket.refused()
    clock.time += timedelta(days=1)
    bucket.refused()
    await bucket.take(wait_quietly, "a quota")


async def test_a_success_ends_the_series_of_refusals() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock)
    for _ in range(4):
        bucket.refused()
        await call(bucket)
    assert max(clock.slept) <= 1.1


async def test_a_refusal_empties_the_bucket() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=0.01, burst=20)
    bucket.refused()
    assert bucket.level <= 0
    assert bucket.seconds_for(1) >= 100


async def test_a_source_with_a_smaller_burst_refuses_only_once() -> None:
    clock = JumpingClock()
    bucket, source = bucket_of(clock, rate=0.1, burst=20), SourceBucket(0.1, 1, clock)
    admitted = []
    for _ in range(10):
        await bucket.take(wait_quietly, "")
        admitted.append(source.admits())
        bucket.finished()
        if admitted[-1]:
            bucket.admitted(0.1)
        else:
            bucket.refused()
    assert admitted == [True, False] + [True] * 8


async def burst(bucket: Bucket, source: SourceBucket, calls: int) -> int:
    """The number of refusals in consecutive calls, each repeated until it is admitted."""
    refused = 0
    for _ in range(calls):
        while True:
            await bucket.take(wait_quietly, "")
            admitted = source.admits()
            bucket.finished()
            if admitted:
                bucket.admitted(source.quota.rate)
                break
            bucket.refused()
            refused += 1
    return refused


@pytest.mark.parametrize("size", [1, 2, 5, 9])
async def test_a_smaller_burst_is_learned_from_one_refusal(size: int) -> None:
    clock = JumpingClock()
    bucket, source = bucket_of(clock, rate=0.1, burst=10), SourceBucket(0.1, size, clock)
    assert await burst(bucket, source, 15) == 1
    for hours in (0.01, 5, 5):
        clock.time += timedelta(hours=hours)
        bucket = Bucket(bucket.state(), clock, Random(1))  # it survives a restart
        assert await burst(bucket, source, 15) == 0
    assert bucket.burst == size


async def test_a_smaller_burst_is_used_for_a_day() -> None:
    clock = JumpingClock()
    bucket, source = bucket_of(clock, rate=0.1, burst=10), SourceBucket(0.1, 4, clock)
    await burst(bucket, source, 15)
    clock.time += timedelta(hours=23)
    assert bucket.level == 4
    clock.time += timedelta(hours=2)
    assert Bucket(bucket.state(), clock, Random(1)).level == 10
    assert bucket.level == 10


async def test_a_refusal_of_the_first_call_does_not_change_the_burst() -> None:
    bucket = bucket_of(JumpingClock(), rate=0.1, burst=10)
    await bucket.take(wait_quietly, "")
    bucket.finished()
    bucket.refused()
    assert bucket.burst == 10


async def test_calls_that_are_refused_together_count_as_one() -> None:
    clock = JumpingClock()
    bucket, source = bucket_of(clock, rate=0.1, burst=10), SourceBucket(0.1, 3, clock)
    for _ in range(9):
        await bucket.take(wait_quietly, "")
    for admitted in [source.admits() for _ in range(9)]:
        bucket.finished()
        if admitted:
            bucket.admitted(0.1)
        else:
            bucket.refused()
    assert bucket.burst == 3
    assert await burst(bucket, source, 6) == 0
    assert (clock.now() - NOW).total_seconds() == pytest.approx(60, abs=1)


async def test_calls_that_are_admitted_after_a_refusal_count_too() -> None:
    bucket = bucket_of(JumpingClock(), rate=0.1, burst=10)
    for _ in range(6):
        await bucket.take(wait_quietly, "")
    bucket.finished()
    bucket.admitted(None)
    bucket.finished()
    bucket.refused()
    for _ in range(4):
        bucket.finished()
        bucket.admitted(None)
    assert bucket.burst == 5


async def test_a_call_without_a_response_does_not_delay_the_measured_burst() -> None:
    bucket = bucket_of(JumpingClock(), rate=0.1, burst=10)
    for _ in range(4):
        await bucket.take(wait_quietly, "")
    bucket.finished(2)
    bucket.admitted(None)
    bucket.admitted(None)
    bucket.finished()
    bucket.refused()
    await call(bucket)
    assert bucket.burst == 2


async def test_a_refusal_delays_sleeping_callers() -> None:
    left: list[float] = []
    async with Timeline().running() as clock:
        bucket = bucket_of(clock, rate=0.1, level=0)

        async def take() -> None:
            await bucket.take(wait_quietly, "")
            left.append((clock.now() - NOW).total_seconds())

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(take)
            await clock.sleep(5)
            bucket.refused()
    assert left == pytest.approx([15, 25, 35], abs=1.1)
