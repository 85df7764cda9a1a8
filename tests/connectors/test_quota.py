"""The buckets: against the far side's own, and each rule by itself."""

from datetime import datetime, timedelta
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import quota
from connectors.amazon_sandbox.rate_limits import RateLimit, TokenBuckets
from connectors.base import Clock, Retryable
from connectors.quota import REFUSED_FOR, Bucket, Buckets, Quota

from .clocks import NOW, JumpingClock, Timeline

pytestmark = pytest.mark.anyio

RATES = st.sampled_from([0.0056, 0.016, 0.5, 2.0, 10.0])
BURSTS = st.integers(1, 20)
# Mostly quick, now and then very slow: it is after a slow call that a bucket deceives itself.
LATENCIES = st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.4, 3.0, 60.0]) | st.floats(0, 60)
IDLE = st.sampled_from([0.0, 0.0, 0.0, 500.0, 5_000.0]) | st.floats(0, 500)
CALLS = st.lists(st.tuples(LATENCIES, LATENCIES, IDLE), min_size=1, max_size=40)


class Diary:
    """Listens to `waiting`."""

    def __init__(self) -> None:
        self.entries: list[tuple[datetime, str]] = []

    async def waiting(self, until: datetime, why: str) -> None:
        self.entries.append((until, why))


class FarSide:
    """The bucket that counts: it sees a call when the call arrives."""

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
    bucket.back()
    bucket.answered(None)


@settings(max_examples=200, deadline=None)
@given(RATES, BURSTS, CALLS)
async def test_a_reader_is_never_refused_however_long_its_calls_travel(
    rate: float, burst: int, calls: list[tuple[float, float, float]]
) -> None:
    clock = JumpingClock()
    bucket, far = bucket_of(clock, rate, burst), FarSide(rate, burst, clock)
    for there, back, idle in calls:
        await bucket.take(wait_quietly, "")
        await clock.sleep(there)
        assert far.admits()
        await clock.sleep(back)
        bucket.back()
        bucket.answered(rate)
        await clock.sleep(idle)


@settings(max_examples=60, deadline=None)
@given(RATES, st.integers(1, 20), st.lists(CALLS, min_size=1, max_size=4))
async def test_readers_side_by_side_are_never_refused_while_the_burst_holds_them_all(
    rate: float, burst: int, readers: list[list[tuple[float, float, float]]]
) -> None:
    burst = max(burst, len(readers))
    refused = []
    async with Timeline().running() as clock:
        bucket, far = bucket_of(clock, rate, burst), FarSide(rate, burst, clock)

        async def read(calls: list[tuple[float, float, float]]) -> None:
            for there, back, idle in calls:
                await bucket.take(wait_quietly, "")
                await clock.sleep(there)
                refused.extend([] if far.admits() else [clock.now()])
                await clock.sleep(back)
                bucket.back()
                bucket.answered(rate)
                await clock.sleep(idle)

        async with anyio.create_task_group() as group:
            for calls in readers:
                group.start_soon(read, calls)
    assert refused == []


@given(RATES, BURSTS, st.integers(1, 100))
async def test_quick_calls_take_the_least_time_that_the_quota_allows(
    rate: float, burst: int, calls: int
) -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate, burst)
    foreseen = bucket.seconds_for(calls)
    for _ in range(calls):
        await call(bucket)
    took = (clock.now() - NOW).total_seconds()
    assert took == pytest.approx(max(0, calls - burst) / rate, abs=1e-3)
    assert took == pytest.approx(foreseen, abs=1e-3)


async def test_a_call_that_travels_long_costs_no_more_than_its_own_token() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=2, burst=2)
    await bucket.take(wait_quietly, "")
    await clock.sleep(29)
    bucket.back()
    assert bucket.level == 1


async def test_a_pause_of_more_than_a_second_is_announced_before_it_begins() -> None:
    clock, diary = JumpingClock(), Diary()
    bucket = bucket_of(clock, rate=0.5, level=0)

    async def waiting(until: datetime, why: str) -> None:
        assert clock.now() == NOW
        await diary.waiting(until, why)

    await bucket.take(waiting, "the quota")
    assert diary.entries == [(NOW + timedelta(seconds=2), "the quota")]
    assert clock.slept == [2]


async def test_a_pause_of_a_second_is_not_announced() -> None:
    clock, diary = JumpingClock(), Diary()
    await bucket_of(clock, rate=1, level=0).take(diary.waiting, "")
    assert clock.slept == [1]
    assert diary.entries == []


async def test_takers_leave_in_the_order_in_which_they_came() -> None:
    order = []
    async with Timeline().running() as clock:
        bucket = bucket_of(clock, rate=1, level=0)

        async def take(number: int) -> None:
            await bucket.take(wait_quietly, "")
            order.append((number, (clock.now() - NOW).total_seconds()))

        async with anyio.create_task_group() as group:
            for number in range(1, 5):
                group.start_soon(take, number)
    assert order == [(1, 1), (2, 2), (3, 3), (4, 4)]


async def test_who_is_cancelled_in_his_sleep_gives_his_token_back() -> None:
    async with Timeline().running() as clock:
        bucket = bucket_of(clock, rate=0.1, level=0)
        async with anyio.create_task_group() as group:
            group.start_soon(bucket.take, wait_quietly, "")
            await anyio.lowlevel.checkpoint()
            assert bucket.level == -1
            group.cancel_scope.cancel()
        assert bucket.level == 0
        await bucket.take(wait_quietly, "")
        assert clock.now() == NOW + timedelta(seconds=10)


async def test_who_cannot_be_told_to_wait_gives_his_token_back() -> None:
    async def impatient(until: datetime, why: str) -> None:
        raise LookupError

    bucket = bucket_of(JumpingClock(), rate=0.1, level=0)
    with pytest.raises(LookupError):
        await bucket.take(impatient, "")
    assert bucket.level == 0


async def test_a_rate_that_was_announced_is_used_from_then_on() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=1, level=0)
    bucket.answered(4)
    await call(bucket)
    assert clock.slept == [0.25]
    bucket.answered(None)
    assert bucket.rate == 4


async def test_each_refusal_in_a_row_doubles_the_pause_up_to_five_minutes() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=0.1, burst=5)
    for _ in range(2_000):
        bucket.refused()
        try:
            await bucket.take(wait_quietly, "")
        except Retryable:  # refused for long: whoever comes back later finds the same pause
            await clock.sleep(bucket.seconds_for(0))
            await bucket.take(wait_quietly, "")
        bucket.back()
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


async def test_after_long_refusals_nobody_waits_but_one_call_a_pause_finds_out() -> None:
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
    bucket.answered(None)
    bucket.back()
    await bucket.take(wait_quietly, "a quota")


async def test_who_sleeps_when_refusals_have_lasted_long_is_woken() -> None:
    """Else ten datasets would wait for five minutes each, one after the other."""
    async with Timeline().running() as clock:
        bucket = bucket_of(clock, rate=0.0167, burst=1)
        refused: list[datetime] = []

        async def calls() -> None:
            try:
                while True:
                    await bucket.take(wait_quietly, "a quota")
                    bucket.back()
                    bucket.refused()
            except Retryable:
                refused.append(clock.now())

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(calls)
        assert len(refused) == 10
        assert max(refused) - NOW < REFUSED_FOR + timedelta(seconds=400)


async def test_a_refusal_long_after_another_is_the_first_of_its_row() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock)
    bucket.refused()
    clock.time += timedelta(days=1)
    bucket.refused()
    await bucket.take(wait_quietly, "a quota")


async def test_an_answer_ends_the_row_of_refusals() -> None:
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


async def test_a_far_side_with_a_smaller_burst_refuses_once_not_each_time() -> None:
    clock = JumpingClock()
    bucket, far = bucket_of(clock, rate=0.1, burst=20), FarSide(0.1, 1, clock)
    admitted = []
    for _ in range(10):
        await bucket.take(wait_quietly, "")
        admitted.append(far.admits())
        bucket.back()
        if admitted[-1]:
            bucket.answered(0.1)
        else:
            bucket.refused()
    assert admitted == [True, False] + [True] * 8


async def burst(bucket: Bucket, far: FarSide, calls: int) -> int:
    """How many of these calls, one after the other, are refused; each until it is let in."""
    refused = 0
    for _ in range(calls):
        while True:
            await bucket.take(wait_quietly, "")
            admitted = far.admits()
            bucket.back()
            if admitted:
                bucket.answered(far.quota.rate)
                break
            bucket.refused()
            refused += 1
    return refused


@pytest.mark.parametrize("size", [1, 2, 5, 9])
async def test_a_smaller_burst_is_learned_from_one_refusal(size: int) -> None:
    clock = JumpingClock()
    bucket, far = bucket_of(clock, rate=0.1, burst=10), FarSide(0.1, size, clock)
    assert await burst(bucket, far, 15) == 1
    for hours in (0.01, 5, 5):
        clock.time += timedelta(hours=hours)
        bucket = Bucket(bucket.known(), clock, Random(1))  # it survives a restart
        assert await burst(bucket, far, 15) == 0
    assert bucket.burst == size


async def test_a_smaller_burst_is_believed_for_a_day() -> None:
    clock = JumpingClock()
    bucket, far = bucket_of(clock, rate=0.1, burst=10), FarSide(0.1, 4, clock)
    await burst(bucket, far, 15)
    clock.time += timedelta(hours=23)
    assert bucket.level == 4
    clock.time += timedelta(hours=2)
    assert Bucket(bucket.known(), clock, Random(1)).level == 10
    assert bucket.level == 10


async def test_a_refusal_of_the_first_call_tells_nothing_of_the_burst() -> None:
    bucket = bucket_of(JumpingClock(), rate=0.1, burst=10)
    await bucket.take(wait_quietly, "")
    bucket.back()
    bucket.refused()
    assert bucket.burst == 10


async def test_calls_that_are_refused_together_count_as_one() -> None:
    clock = JumpingClock()
    bucket, far = bucket_of(clock, rate=0.1, burst=10), FarSide(0.1, 3, clock)
    for _ in range(9):
        await bucket.take(wait_quietly, "")
    for admitted in [far.admits() for _ in range(9)]:
        bucket.back()
        if admitted:
            bucket.answered(0.1)
        else:
            bucket.refused()
    assert bucket.burst == 3
    assert await burst(bucket, far, 6) == 0
    assert (clock.now() - NOW).total_seconds() == pytest.approx(60, abs=1)


async def test_calls_that_are_let_in_after_a_refusal_count_too() -> None:
    bucket = bucket_of(JumpingClock(), rate=0.1, burst=10)
    for _ in range(6):
        await bucket.take(wait_quietly, "")
    bucket.back()
    bucket.answered(None)
    bucket.back()
    bucket.refused()
    for _ in range(4):
        bucket.back()
        bucket.answered(None)
    assert bucket.burst == 5


async def test_a_call_that_never_answers_does_not_keep_the_burst_in_doubt() -> None:
    bucket = bucket_of(JumpingClock(), rate=0.1, burst=10)
    for _ in range(4):
        await bucket.take(wait_quietly, "")
    bucket.back(2)
    bucket.answered(None)
    bucket.answered(None)
    bucket.back()
    bucket.refused()
    await call(bucket)
    assert bucket.burst == 2


async def test_a_refusal_puts_off_those_who_sleep() -> None:
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


@pytest.mark.parametrize(("rate", "times"), [(1.0, [6, 7, 8]), (0.05, [15, 35, 55])])
async def test_who_sleeps_hears_of_a_new_rate(rate: float, times: list[float]) -> None:
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
            bucket.answered(rate)
    assert left == pytest.approx(times, abs=0.6)


async def test_after_a_restart_a_bucket_goes_on_where_it_was() -> None:
    clock = JumpingClock()
    before = bucket_of(clock, rate=0.01, burst=3)
    before.answered(0.02)
    for _ in range(3):
        await call(before)
    clock.time += timedelta(seconds=20)
    after = Bucket(before.known(), clock, Random(1))
    assert after.known() == before.known()
    await call(after)
    assert clock.slept == pytest.approx([30])


async def test_a_bucket_never_holds_more_than_its_burst() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, burst=3, level=50)
    assert bucket.level == 3
    clock.time += timedelta(days=1)
    assert bucket.level == 3


async def test_a_clock_that_is_set_back_refills_nothing() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, burst=10, level=0)
    clock.time -= timedelta(hours=1)
    assert bucket.level == 0
    clock.time += timedelta(seconds=2)
    assert bucket.level == 2


@pytest.mark.parametrize("hours", [-5, 5])
async def test_a_clock_that_is_set_during_a_call_neither_gives_nor_takes_hours(hours: int) -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=1, burst=4)
    await bucket.take(wait_quietly, "")
    clock.time += timedelta(hours=hours)
    bucket.back()
    assert bucket.level == 3


async def test_a_clock_that_is_set_back_does_not_stretch_the_pause_after_a_refusal() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=1)
    bucket.refused()
    clock.time -= timedelta(days=1)
    assert bucket.seconds_for(1) <= 1.1


async def test_what_a_clock_of_tomorrow_kept_does_not_close_the_bucket_until_then() -> None:
    clock = JumpingClock()
    bucket = Bucket(Quota(1, 2, 1, NOW + timedelta(days=1)), clock, Random(1))
    await call(bucket)
    assert clock.slept == []


async def test_buckets_are_kept_apart_and_made_once() -> None:
    clock = JumpingClock()
    buckets = Buckets(clock)

    def first() -> Quota:
        return Quota(1, 2, 2, clock.now())

    assert buckets.get("a", first) is buckets.get("a", first)
    assert buckets.get("a", first) is not buckets.get("b", first)


async def test_of_too_many_buckets_the_one_longest_unused_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quota, "MOST_BUCKETS", 2)
    clock = JumpingClock()
    buckets = Buckets(clock)
    made: list[str] = []

    def get(key: str) -> None:
        def first() -> Quota:
            made.append(key)
            return Quota(1, 2, 2, clock.now())

        buckets.get(key, first)

    for key in "abacba":
        get(key)
    assert "".join(made) == "abcba"
