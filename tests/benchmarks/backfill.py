"""Fifty thousand orders of ninety days in simulated time: as planned, and by searchOrders alone."""

from datetime import datetime, timedelta

from connectors.amazon.orders.search import ORDERS
from connectors.amazon_sandbox import Settings
from connectors.base import Page
from tests.connectors.amazon.bench import Bench, connect, ids

COUNT = 50_000


async def run() -> dict[str, float]:
    planned, pages = await _planned()
    searched = await _searched()
    error = abs(_estimate_at(pages, planned / 2) - planned / 2) / (planned / 2)
    return {
        "simulated seconds: reports and searchOrders, as planned": planned,
        "simulated seconds: a searchOrders loop": searched,
        "ratio": searched / planned,
        "error of the estimate at half time, per cent": error * 100,
    }


async def _planned() -> tuple[float, list[tuple[float, Page]]]:
    """The seconds, and when each page arrived."""
    bench = Bench(Settings(orders=COUNT))
    began = bench.clock.now()
    pages = []
    window = bench.window(ORDERS)
    async for page in bench.connector.read(connect(), ORDERS, window, None, bench.waiting):
        pages.append((_since(bench, began), page))
    _check(bench, [page for _, page in pages])
    return _since(bench, began), pages


async def _searched() -> float:
    bench = Bench(Settings(orders=COUNT))
    began = bench.clock.now()
    _check(bench, await bench.read(ORDERS))
    return _since(bench, began)


def _check(bench: Bench, pages: list[Page]) -> None:
    assert len(set(ids(pages))) == COUNT, len(set(ids(pages)))


def _since(bench: Bench, began: datetime) -> float:
    return (bench.clock.now() - began) / timedelta(seconds=1)


def _estimate_at(pages: list[tuple[float, Page]], moment: float) -> float:
    """The seconds left at that moment, as the newest page estimated."""
    at, page = [(at, page) for at, page in pages if at <= moment][-1]
    return max(0.0, (page.seconds_left or 0.0) - (moment - at))
