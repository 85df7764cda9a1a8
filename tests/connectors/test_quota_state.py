"""What a bucket stores and adopts: its state, announced rates, and the values of its constants."""

from datetime import datetime, timedelta
from random import Random

import anyio
import msgspec
import pytest

from connectors import quota
from connectors.base import Retryable
from connectors.quota import Bucket, Buckets, Quota

from .clocks import NOW, JumpingClock, Timeline
from .quotas import Diary, bucket_of, call, wait_quietly

pytestmark = pytest.mark.anyio


def published_bucket(clock: JumpingClock, rate: float = 1.0, usual: float = 1.0) -> Bucket:
    return Bucket(Quota(rate, 5, 5, clock.now(), usual=usual), clock, Random(1))


async def test_the_state_is_the_state_of_now() -> None:
    clock = JumpingClock()
    bucket = Bucket(Quota(0.5, 5, 1, NOW, usual=0.25), clock, Random(1))
    clock.time += timedelta(seconds=4)
    assert bucket.state() == Quota(0.5, 5, 3, clock.now(), usual=0.25)


async def test_a_measured_burst_is_stored_with_its_time_and_the_published_one() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=0.1, burst=5)
    for _ in range(2):
        await call(bucket)
    await bucket.take(wait_quietly, "")
    bucket.finished()
    bucket.refused()
    state = bucket.state()
    assert (state.burst, state.published, state.lowered_at) == (2, 5, NOW)
    clock.time += timedelta(hours=23)
    after = Bucket(state, clock, Random(1))
    assert after.state().burst == 2, "a new process uses the measured burst"
    clock.time += timedelta(hours=2)
    assert after.level == 5, "after a day it uses the published one"
    assert after.state().lowered_at is None


async def test_a_state_is_read_as_it_was_written() -> None:
    state = Quota(0.5, 5, -2.5, NOW)
    written = msgspec.json.encode(state)
    assert b"published" not in written, "defaults are left out"
    assert msgspec.json.decode(written, type=Quota) == state


class _Endless(JumpingClock):
    """A clock whose sleepers never wake."""

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep_forever()


@pytest.mark.parametrize("refused", [False, True])
async def test_callers_that_wait_are_not_stored(refused: bool) -> None:
    """They die with their process; those of the next one must not queue behind them."""
    clock = _Endless()
    bucket = bucket_of(clock, rate=0.1, burst=2)
    await call(bucket)
    await bucket.take(wait_quietly, "")
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(bucket.take, wait_quietly, "")
        await anyio.wait_all_tasks_blocked()
        bucket.finished()
        assert (bucket.level, bucket.state().level) == (-8, 0)
        if refused:
            bucket.refused()
            pause = (1 - bucket.state().level) / bucket.rate
            assert 10 <= pause <= 11, "one token at the end of the pause"
        group.cancel_scope.cancel()


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0},
        {"rate": -1},
        {"burst": 0},
        {"published": 0},
        {"at": "2026-03-02T09:30:00"},
        {"lowered_at": "2026-03-02T09:30:00"},
    ],
)
async def test_a_state_that_no_bucket_can_have_is_refused(wrong: dict[str, object]) -> None:
    right = {"rate": 0.5, "burst": 0.5, "level": 0, "at": "2026-03-02T09:30:00Z"}
    msgspec.convert(right, Quota)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(right | wrong, Quota)


async def test_a_stored_state_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Quota(1, 2, 2, NOW).rate = 2  # type: ignore[misc]


# Announced rates ----------------------------------------------------------------------------------


async def test_an_announced_rate_is_at_most_eight_times_slower_than_the_published_one() -> None:
    bucket = published_bucket(JumpingClock())
    bucket.admitted(0.001)
    assert bucket.rate == 1 / 8


async def test_a_slower_rate_is_dropped_after_two_responses_in_a_row_without_one() -> None:
    bucket = published_bucket(JumpingClock())
    bucket.admitted(0.5)
    rates = []
    for announced in (None, 0.5, None, None):
        bucket.admitted(announced)
        rates.append(bucket.rate)
    assert rates == [0.5, 0.5, 0.5, 1]


async def test_a_slower_rate_of_another_process_is_dropped_after_two_responses_too() -> None:
    bucket = published_bucket(JumpingClock(), rate=0.5)
    rates = []
    for _ in range(2):
        bucket.admitted(None)
        rates.append(bucket.rate)
    assert rates == [0.5, 1]


async def test_a_higher_rate_is_kept_while_responses_do_not_repeat_it() -> None:
    bucket = published_bucket(JumpingClock())
    for announced in (4, None, None, None):
        bucket.admitted(announced)
    assert bucket.rate == 4


@pytest.mark.parametrize("wrong", [0, -3])
async def test_a_rate_that_is_not_above_zero_counts_as_none(wrong: float) -> None:
    bucket = published_bucket(JumpingClock(), rate=0.5)
    bucket.admitted(wrong)
    assert bucket.rate == 0.5
    bucket.admitted(wrong)
    assert bucket.rate == 1


# Refusals -----------------------------------------------------------------------------------------


async def test_callers_fail_after_ten_minutes_of_refusals() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=0.001)
    bucket.refused()
    clock.time += timedelta(minutes=10, microseconds=-1)
    bucket.refused()
    assert bucket.seconds_for(0) >= 300, "the pause has begun again"
    clock.time += timedelta(seconds=340)
    bucket = bucket_of(clock, rate=0.001)
    bucket.refused()
    clock.time += timedelta(minutes=10)
    bucket.refused()
    with pytest.raises(Retryable, match="refused for 10 minutes"):
        await bucket.take(wait_quietly, "a quota")


async def test_callers_wait_for_the_pause_within_the_first_ten_minutes() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=0.001)
    bucket.refused()
    clock.time += timedelta(minutes=10, microseconds=-1)
    bucket.refused()
    clock.time -= timedelta(seconds=1)  # so that the pause is over before ten minutes
    await bucket.take(wait_quietly, "a quota")


@pytest.mark.parametrize(("hours", "fails"), [(1, True), (1.01, False)])
async def test_a_refusal_an_hour_after_the_last_pause_starts_a_new_series(
    hours: float, fails: bool
) -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock)
    bucket.refused()
    clock.time += timedelta(seconds=bucket.seconds_for(0), hours=hours)
    bucket.refused()
    assert bucket.seconds_for(0) > 0
    if fails:
        with pytest.raises(Retryable):
            await bucket.take(wait_quietly, "a quota")
    else:
        await bucket.take(wait_quietly, "a quota")


async def test_a_success_ends_the_series_at_once() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock)
    bucket.refused()
    clock.time += timedelta(minutes=9)
    await call(bucket)
    clock.time += timedelta(minutes=2)
    bucket.refused()
    await bucket.take(wait_quietly, "a quota")


class Highest(Random):
    """Returns the highest value each time."""

    def random(self) -> float:
        return 1.0


async def test_jitter_adds_a_tenth_at_most() -> None:
    clock = JumpingClock()
    bucket = Bucket(Quota(1, 2, 2, NOW), clock, Highest())
    pauses = []
    for _ in range(12):
        bucket.refused()
        pauses.append(bucket.seconds_for(0))
        clock.time += timedelta(seconds=pauses[-1])
    assert pauses == pytest.approx([1.1 * min(2**n, 300) for n in range(12)])


async def test_the_jitter_is_random_unless_a_generator_is_given() -> None:
    def pause(random: Random | None) -> float:
        bucket = Buckets(JumpingClock(), random).get("a", lambda: Quota(1, 2, 2, NOW))
        bucket.refused()
        return bucket.seconds_for(0)

    assert pause(Random(1)) == pause(Random(1))
    assert len({pause(None) for _ in range(5)}) > 1


async def test_a_token_that_takes_longer_than_the_longest_pause_is_still_waited_for() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=0.001)
    bucket.refused()
    await bucket.take(wait_quietly, "")
    assert sum(clock.slept) == pytest.approx(1000)


async def test_a_microsecond_before_its_end_a_pause_is_over() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock)
    bucket.refused()
    clock.time += timedelta(seconds=bucket.seconds_for(0), microseconds=-1)
    bucket.refused()
    assert bucket.seconds_for(0) >= 2, "the next pause has begun"
    clock.time += timedelta(minutes=10)
    bucket.refused()
    clock.time += timedelta(seconds=bucket.seconds_for(0), microseconds=-1)
    await bucket.take(wait_quietly, "")


async def test_a_clock_that_is_set_back_a_little_ends_a_long_pause() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=0.001)
    bucket.refused()
    clock.time -= timedelta(seconds=200)
    assert bucket.seconds_for(0) == 0


async def test_all_calls_of_a_refused_burst_are_waited_for() -> None:
    bucket = bucket_of(JumpingClock(), rate=0.1, burst=5)
    for _ in range(4):
        await bucket.take(wait_quietly, "")
    bucket.finished()
    bucket.admitted(None)
    for _ in range(2):
        bucket.finished()
        bucket.refused()
    assert bucket.burst == 5, "one call has no result yet"
    bucket.finished()
    bucket.admitted(None)
    assert bucket.burst == 2


async def test_a_measured_burst_is_judged_once() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=0.1, burst=5)
    await call(bucket)
    await bucket.take(wait_quietly, "")
    bucket.finished()
    bucket.refused()
    assert bucket.burst == 1
    clock.time += timedelta(days=1)
    await bucket.take(wait_quietly, "")
    assert bucket.burst == 1, "a day has passed, not more"
    clock.time += timedelta(seconds=1)
    await bucket.take(wait_quietly, "")
    assert bucket.burst == 5


# Waiting ------------------------------------------------------------------------------------------


async def test_calls_in_flight_leave_no_room_in_a_bucket_that_was_idle() -> None:
    clock = JumpingClock()
    bucket = bucket_of(clock, rate=0.1, burst=1, level=0.5)
    clock.time += timedelta(hours=1)
    await bucket.take(wait_quietly, "")
    await bucket.take(wait_quietly, "")
    assert clock.slept == [10]


async def test_an_empty_bucket_has_no_token_to_count_on() -> None:
    bucket = bucket_of(JumpingClock(), rate=0.5, level=0)
    assert (bucket.seconds_for(0), bucket.seconds_for(1)) == (0, 2)


async def test_a_microsecond_is_not_slept() -> None:
    clock = JumpingClock()
    await bucket_of(clock, rate=1e6, level=0).take(wait_quietly, "")
    assert clock.slept == []


@pytest.mark.parametrize(
    ("rate", "entries"),
    [
        (1 / 8.5, [10, 8.5]),
        (1 / 9, [10]),  # a second earlier: not announced again
        (1.0, [10]),  # a second from now
        (1.25, [10]),
    ],
)
async def test_a_sleeping_caller_announces_an_end_that_moves_by_more_than_a_second(
    rate: float, entries: list[float]
) -> None:
    diary = Diary()
    async with Timeline().running() as clock:
        bucket = bucket_of(clock, rate=0.1, level=0)
        async with anyio.create_task_group() as group:
            group.start_soon(bucket.take, diary.waiting, "")
            await anyio.lowlevel.checkpoint()
            bucket.admitted(rate)
    assert [(until - NOW).total_seconds() for until, _ in diary.entries] == entries


# Several processes --------------------------------------------------------------------------------


async def test_an_unused_bucket_adopts_a_newer_state() -> None:
    clock = JumpingClock()
    buckets = Buckets(clock)
    buckets.get("a", lambda: Quota(1, 2, 2, NOW), "first")
    clock.time += timedelta(seconds=1)
    newer = Quota(1, 2, 0, clock.now())
    assert buckets.get("a", lambda: newer, "second").level == 0


async def test_a_bucket_is_in_use_while_a_caller_announces_its_pause() -> None:
    clock = JumpingClock()
    buckets = Buckets(clock)
    bucket = buckets.get("a", lambda: Quota(0.1, 2, 0, NOW), "first")
    clock.time += timedelta(seconds=2)
    earlier = Quota(0.1, 2, 0, clock.now() - timedelta(seconds=1))

    async def waiting(until: datetime, why: str) -> None:
        assert buckets.get("a", lambda: earlier, "second") is bucket

    await bucket.take(waiting, "")
    assert clock.slept == [8]


async def test_twenty_thousand_buckets_are_kept() -> None:
    buckets = Buckets(JumpingClock())
    state = Quota(1, 2, 2, NOW)
    first = buckets.get(0, lambda: state)
    for key in range(1, 20_000):
        buckets.get(key, lambda: state)
    assert buckets.get(0, lambda: state) is first
    second = buckets.get(1, lambda: state)
    buckets.get(20_000, lambda: state)
    assert buckets.get(2, lambda: state) is not second
    assert len(buckets._buckets) == quota.MAX_BUCKETS == 20_000
