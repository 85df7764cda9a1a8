"""Fifty thousand orders of ninety days in simulated time: the planned way beside searchOrders."""

from datetime import datetime, timedelta

from connectors.amazon.orders.search import ORDERS
from connectors.amazon_sandbox import Settings
from connectors.base import Page
from tests.connectors.amazon.bench import Bench, connect, ids

COUNT = 50_000


async def run() -> dict[str, float]:
    ours, pages = await _planned()
    theirs = await _searched()
    error = abs(_said_at(pages, ours / 2) - ours / 2) / (ours / 2)
    return {
        "simulated seconds: reports and searchOrders, as planned": ours,
        "simulated seconds: a searchOrders loop": theirs,
        "ratio": theirs / ours,
        "error of what is left at half way, per cent": error * 100,
    }


async def _planned() -> tuple[float, list[tuple[float, Page]]]:
    """The seconds, and when each page came."""
    bench = Bench(Settings(orders=COUNT))
    begun = bench.clock.now()
    pages = []
    window = bench.window(ORDERS)
    async for page in bench.connector.read(connect(), ORDERS, window, None, bench.waiting):
        pages.append((_since(bench, begun), page))
    _check(bench, [page for _, page in pages])
    return _since(bench, begun), pages


async def _searched() -> float:
    bench = Bench(Settings(orders=COUNT))
    begun = bench.clock.now()
    _check(bench, await bench.read(ORDERS))
    return _since(bench, begun)


def _check(bench: Bench, pages: list[Page]) -> None:
    assert len(set(ids(pages))) == COUNT, len(set(ids(pages)))


def _since(bench: Bench, begun: datetime) -> float:
    return (bench.clock.now() - begun) / timedelta(seconds=1)


def _said_at(pages: list[tuple[float, Page]], moment: float) -> float:
    """How many seconds were left at that moment, by the newest page."""
    at, page = [each for each in pages if each[0] <= moment][-1]
    return max(0.0, (page.seconds_left or 0.0) - (moment - at))
