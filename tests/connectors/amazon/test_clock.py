"""Reading with a wrong clock, by Amazon's time."""

from datetime import datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.amazon.clock import BELIEVED, SourceClock
from connectors.amazon.connector import AmazonConnector
from connectors.amazon.orders.search import ORDERS
from connectors.amazon.times import SETTLED
from connectors.amazon.transactions import TRANSACTIONS
from connectors.amazon_sandbox import Settings, create_app
from connectors.base import Dataset, Window
from tests.connectors.clocks import NOW, JumpingClock

from .bench import UNLIMITED, Bench, ids

pytestmark = pytest.mark.anyio

TWO_MINUTES = timedelta(minutes=2)
DAY = 86_400.0
OFFSETS = st.one_of(st.floats(-DAY + 60, DAY - 60), st.floats(-120, 120))
LATENCIES = st.lists(st.floats(0, 4), min_size=1, max_size=5)


class Shifted:
    """A clock that is ahead of another one by some seconds."""

    def __init__(self, clock: JumpingClock, seconds: float) -> None:
        self.clock = clock
        self.ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self.clock.now() + self.ahead

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)


def dated(moment: datetime) -> str:
    return format_datetime(moment.replace(microsecond=0), usegmt=True)


# The estimate -------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(OFFSETS, LATENCIES, st.floats(0, 1))
def test_the_end_of_a_window_is_never_in_amazons_future(
    ahead: float, latencies: list[float], fraction: float
) -> None:
    """`ahead` is how far this computer's clock is ahead of Amazon's."""
    amazon = JumpingClock(NOW + timedelta(seconds=fraction))
    ours = Shifted(amazon, ahead)
    source = SourceClock(ours)
    for latency in latencies:
        date = dated(amazon.now())
        amazon.time += timedelta(seconds=latency)
        source.observe(date, latency)
        wrong = (source.now() - amazon.now()).total_seconds()
        assert abs(wrong) <= 4 + latency
    until = ours.now() - SETTLED
    window = source.window(Window(until - timedelta(days=1), until))
    assert window.until <= amazon.now() - TWO_MINUTES + timedelta(seconds=latencies[-1])
    assert window.until - window.since == timedelta(days=1)
    behind = max(-ahead, 0.0)
    assert window.until >= amazon.now() - SETTLED - timedelta(seconds=behind + 70)


@given(st.floats(-2, 1.9), st.floats(0, 1))
def test_clocks_that_agree_change_nothing(late: float, fraction: float) -> None:
    """A server may compute its Date header once in two seconds."""
    clock = JumpingClock(NOW + timedelta(seconds=fraction))
    source = SourceClock(clock)
    source.observe(dated(clock.now() + timedelta(seconds=min(late, 0))), 0.1)
    assert source.difference == timedelta(0)
    window = Window(NOW - timedelta(days=1), NOW)
    assert source.window(window) == window


def test_a_corrected_clock_is_trusted_again() -> None:
    amazon = JumpingClock()
    ours = Shifted(amazon, 3_600)
    source = SourceClock(ours)
    source.observe(dated(amazon.now()), 0.1)
    assert abs(source.difference + timedelta(hours=1)) <= timedelta(seconds=4)
    ours.ahead = timedelta(0)
    source.observe(dated(amazon.now()), 0.1)
    assert source.difference == timedelta(0)


@pytest.mark.parametrize(
    "date",
    [
        *("", "now", "0", "-1", "Thu, 99 Foo 99999 99:99:99 GMT", "x" * 70_000, "\xff\0"),
        *("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "2026-03-02T09:30:00Z"),
        dated(NOW + BELIEVED + timedelta(minutes=1)),
        dated(NOW - BELIEVED - timedelta(minutes=1)),
    ],
    ids=lambda date: ascii(date)[:30],
)
def test_an_invalid_date_is_ignored(date: str) -> None:
    source = SourceClock(JumpingClock())
    source.observe(date, 0.1)
    assert source.difference == timedelta(0)


async def test_waits_are_announced_in_this_computers_time() -> None:
    clock = JumpingClock()
    source = SourceClock(clock)
    source.observe(dated(NOW - timedelta(hours=1)), 0.1)
    announced: list[datetime] = []

    async def waiting(until: datetime, why: str) -> None:
        announced.append(until)

    await source.announcing(waiting)(source.now() + timedelta(seconds=30), "")
    assert announced == [NOW + timedelta(seconds=30)]


# Reading ------------------------------------------------------------------------------------------


class Wrong(Bench):
    """A bench whose clock is ahead of the sandbox's by some seconds."""

    def __init__(self, ahead: float, settings: Settings) -> None:
        self.amazon = JumpingClock()
        super().__init__(settings, Shifted(self.amazon, ahead))
        self.wire.sandbox = httpx.ASGITransport(create_app(settings, self.amazon))

        def date(request: httpx.Request, response: httpx.Response) -> None:
            response.headers["date"] = dated(self.amazon.now())

        self.wire.spoil = date

    async def syncs(self, dataset: Dataset, *pauses: float, days: int = 20) -> set[str]:
        """Run syncs one after the other, with windows as the service chooses them. Returns the ids
        of all records."""
        read: set[str] = set()
        read_until = None
        for pause in pauses:
            self.amazon.time += timedelta(seconds=pause)
            until = self.clock.now() - dataset.lag
            since = until - timedelta(days=days)
            if read_until:
                since = read_until - dataset.overlap
            read |= set(ids(await self.sync(dataset, None, Window(since, until))))
            read_until = until
        return read


FAR = Settings(orders=150, quotas=UNLIMITED)


@pytest.mark.parametrize("dataset", [ORDERS, TRANSACTIONS], ids=str)
@settings(max_examples=12, deadline=None)
@given(ahead=OFFSETS)
async def test_syncs_with_a_wrong_clock_lose_nothing(dataset: Dataset, ahead: float) -> None:
    """Compared with a correct clock, except for what is so new that a clock that is a day behind
    sees it in the next sync."""
    pauses = (0.0, 86_400.0, 3_600.0)
    wrong, right = Wrong(ahead, FAR), Wrong(0.0, FAR)
    brought = await wrong.syncs(dataset, *pauses, 2 * DAY)
    assert brought >= await right.syncs(dataset, *pauses)


@pytest.mark.parametrize("dataset", AmazonConnector.datasets, ids=lambda value: value.name)
async def test_every_dataset_is_read_with_a_wrong_clock(dataset: Dataset) -> None:
    right = len(await Wrong(0.0, FAR).syncs(dataset, 0.0, days=150))
    for ahead in (60.0, 3_600.0, -60.0, -3_600.0):
        wrong = Wrong(ahead, FAR)
        brought = len(await wrong.syncs(dataset, 0.0, days=150))
        assert brought == pytest.approx(right, rel=0.2)
        ours = wrong.clock.now() - timedelta(hours=1)
        assert all(ours <= until <= ours + timedelta(hours=2) for until, _ in wrong.waits[-1:])


async def test_amazons_time_is_known_before_the_first_window_is_requested() -> None:
    """A new process whose clock is an hour off: no call is refused."""
    bench = Wrong(3_600.0, FAR)
    await bench.syncs(TRANSACTIONS, 0.0)
    statuses = {request.url.path for request in bench.wire.requests}
    assert "/auth/o2/token" in statuses
