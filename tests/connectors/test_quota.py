"""Quota buckets: against the source's own buckets, and each rule by itself."""

from datetime import datetime, timedelta
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import quota
from connectors.quota import Bucket, Buckets, Quota

from .clocks import NOW, JumpingClock, Timeline
from .quotas import Diary, SourceBucket, bucket_of, call, wait_quietly

pytestmark = pytest.mark.anyio

RATES = st.sampled_from([0.0056, 0.016, 0.5, 2.0, 10.0])
BURSTS = st.integers(1, 20)
# Mostly fast, sometimes very slow: buckets go wrong after slow calls.
LATENCIES = st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.4, 3.0, 60.0]) | st.floats(0, 60)
IDLE = st.sampled_from([0.0, 0.0, 0.0, 500.0, 5_000.0]) | st.floats(0, 500)
CALLS = st.lists(st.tuples(LATENCIES, LATENCIES, IDLE), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(RATES, BURSTS, CALLS)
async def test_a_reader_is_never_refused_at_any_latency(
    rate: float, burst: int, calls: list[tuple[float, float, float]]
) -> None:
    clock = JumpingClock()
    bucket, source = bucket_of(clock, rate, burst), SourceBucket(rate, burst, clock)
    for outward, homeward, idle in calls:
        await bucket.take(wait_quietly, "")
        await clock.sleep(outward)
        assert source.admits()
        await clock.sleep(homeward)
        bucket.finished()
        bucket.admitted(rate)
        await clock.sleep(idle)


@settings(max_examples=60, deadline=None)
@given(RATES, st.integers(1, 20), st.lists(CALLS, min_size=1, max_size=4))
async def test_concurrent_readers_are_never_refused_if_the_burst_holds_them_all(
    rate: float, burst: int, readers: list[list[tuple[float, float, float]]]
) -> None:
    burst = max(burst, len(readers))
    refused = []
    async with Timeline().running() as clock:
        bucket, source = bucket_of(clock, rate, burst), SourceBucket(rate, burst, clock)

        async def read(calls: list[tuple[float, float, float]]) -> None:
            for outward, homeward, idle in calls:
                await bucket.take(wait_quietly, "")
                await clock.sleep(outward)
                refused.extend([] if source.admits() else [clock.now()])
                await clock.sleep(homeward)
                bucket.finished()
                bucket.admitted(rate)
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


async def test_a_slow_call_costs_only_its_own_token() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=2, burst=2)
    await bucket.take(wait_quietly, "")
    await clock.sleep(29)
    bucket.finished()
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


async def test_callers_leave_in_order_of_arrival() -> None:
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


async def test_a_caller_that_is_cancelled_while_sleeping_returns_its_token() -> None:
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


async def test_a_caller_that_refuses_to_wait_returns_its_token() -> None:
    async def impatient(until: datetime, why: str) -> None:
        raise LookupError

    bucket = bucket_of(JumpingClock(), rate=0.1, level=0)
    with pytest.raises(LookupError):
        await bucket.take(impatient, "")
    assert bucket.level == 0


async def test_an_announced_rate_is_used_from_then_on() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=1, level=0)
    bucket.admitted(4)
    await call(bucket)
    assert clock.slept == [0.25]
    bucket.admitted(None)
    assert bucket.rate == 4


@pytest.mark.parametrize(("rate", "times"), [(1.0, [6, 7, 8]), (0.05, [15, 35, 55])])
async def test_sleeping_callers_adopt_a_new_rate(rate: float, times: list[float]) -> None:
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
            bucket.admitted(rate)
    assert left == pytest.approx(times, abs=0.6)


async def test_a_rate_that_is_announced_while_a_pause_is_announced_shortens_the_pause() -> None:
    clock, announced = JumpingClock(), list[datetime]()
    bucket = bucket_of(clock, rate=1 / 45, level=0)

    async def waiting(until: datetime, why: str) -> None:
        announced.append(until)
        bucket.admitted(8 / 45)  # the response to another call, while this is written

    await bucket.take(waiting, "the quota")
    assert clock.now() - NOW == timedelta(seconds=45 / 8)
    assert announced == [NOW + timedelta(seconds=45), NOW + timedelta(seconds=45 / 8)]


async def test_after_a_restart_a_bucket_continues_from_its_state() -> None:
    clock = JumpingClock()
    before = bucket_of(clock, rate=0.01, burst=3)
    before.admitted(0.02)
    for _ in range(3):
        await call(before)
    clock.time += timedelta(seconds=20)
    after = Bucket(before.state(), clock, Random(1))
    assert after.state() == before.state()
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
async def test_a_clock_that_is_set_during_a_call_does_not_change_the_level(hours: int) -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=1, burst=4)
    await bucket.take(wait_quietly, "")
    clock.time += timedelta(hours=hours)
    bucket.finished()
    assert bucket.level == 3


async def test_a_clock_that_is_set_back_does_not_stretch_the_pause_after_a_refusal() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=1)
    bucket.refused()
    clock.time -= timedelta(days=1)
    assert bucket.seconds_for(1) <= 1.1


async def test_a_state_with_a_future_time_does_not_block_the_bucket() -> None:
    clock = JumpingClock()
    bucket = Bucket(Quota(1, 2, 1, NOW + timedelta(days=1)), clock, Random(1))
    await call(bucket)
    assert clock.slept == []


async def test_each_key_has_one_bucket() -> None:
    clock = JumpingClock()
    buckets = Buckets(clock)

    def first() -> Quota:
        return Quota(1, 2, 2, clock.now())

    assert buckets.get("a", first) is buckets.get("a", first)
    assert buckets.get("a", first) is not buckets.get("b", first)


async def test_a_bucket_adopts_the_newer_state_of_another_process() -> None:
    clock = JumpingClock()
    here, there = Buckets(clock), Buckets(clock)

    def get(buckets: Buckets, state: Quota) -> Bucket:
        return buckets.get("a", lambda: state, state)

    state = Quota(0.01, 2, 2, clock.now())
    for buckets in (here, there, here, there):
        bucket = get(buckets, state)
        await call(bucket)
        state = bucket.state()
        await clock.sleep(1)
    assert [round(seconds) for seconds in clock.slept] == [1, 1, 98, 1, 99, 1], clock.slept


async def test_a_bucket_keeps_its_state_while_it_is_in_use_or_newer() -> None:
    clock = JumpingClock()
    buckets = Buckets(clock)
    bucket = buckets.get("a", lambda: Quota(1, 2, 2, clock.now()), "first")
    await clock.sleep(5)
    await bucket.take(wait_quietly, "")
    await clock.sleep(1)
    other = Quota(1, 2, 0, clock.now())
    assert buckets.get("a", lambda: other, "second") is bucket, "a call is in flight"
    await clock.sleep(1)
    bucket.finished()
    assert buckets.get("a", lambda: other, "third") is bucket, "the state is older than the call"
    await clock.sleep(1)
    own = bucket.state()
    assert buckets.get("a", lambda: own, "fourth") is bucket, "the state is its own"
    await clock.sleep(1)
    newer = Quota(1, 2, 0, clock.now())
    assert buckets.get("a", lambda: newer, "fifth") is not bucket
    assert buckets.get("a", lambda: newer, "fifth").level == 0


async def test_the_least_recently_used_bucket_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quota, "MAX_BUCKETS", 2)
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


async def test_a_full_bucket_lets_a_call_pass_after_the_clock_was_set_back() -> None:
    clock, diary = JumpingClock(), Diary()
    bucket = bucket_of(clock, 0.016, 15)
    clock.time -= timedelta(seconds=3)  # the source's first response corrected it
    await bucket.take(diary.waiting, "the quota")
    assert diary.entries == []


async def test_a_token_in_flight_is_not_refilled() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=1, burst=1)
    await bucket.take(wait_quietly, "")
    clock.time += timedelta(hours=1)
    assert (bucket.level, bucket.seconds_for(1)) == (0, 1)
    bucket.finished()
    clock.time += timedelta(seconds=1)
    assert (bucket.level, bucket.seconds_for(1)) == (1, 0)


async def test_calls_refusals_and_waits_are_counted_by_operation() -> None:
    clock = JumpingClock()
    buckets = Buckets(clock)

    def bucket_of_seller(seller: str) -> Bucket:
        return buckets.get(seller, lambda: Quota(0.1, 1, 1, clock.now()), None, "listThings")

    for seller in ("a", "b"):
        await bucket_of_seller(seller).take(wait_quietly, "")
        bucket_of_seller(seller).finished()
    use = buckets.uses["listThings"]
    assert (use.calls, use.refused, use.waited) == (2, 0, 0)
    bucket_of_seller("a").refused()
    await bucket_of_seller("a").take(wait_quietly, "")
    assert (use.calls, use.refused) == (3, 1)
    assert use.waited >= 10
    bucket_of_seller("a").finished()
    before, other = use.waited, bucket_of_seller("b")
    await call(other)
    clock.time += timedelta(seconds=other.seconds_for(1) - 0.5)
    await other.take(wait_quietly, "")
    assert use.waited - before == pytest.approx(0.5, abs=0.01)
    # Otherwise each call that waits would take memory until the process ends.
    assert not bucket_of_seller("a")._asleep and not bucket_of_seller("b")._asleep
