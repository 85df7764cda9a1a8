"""The estimated duration of a sync is right, with Amazon and with the sandbox."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import httpx
import msgspec
import pytest

from connectors.amazon.orders.search import ORDERS
from connectors.amazon.reports.kinds import KINDS
from connectors.amazon_sandbox import Settings
from connectors.base import Connection, Dataset, Page
from tests.connectors.amazon.bench import DATASETS, Bench, connect

pytestmark = pytest.mark.anyio

BY_REPORT: Sequence[Dataset] = [dataset for dataset in DATASETS if dataset.name in KINDS]
LEDGER = next(dataset for dataset in BY_REPORT if dataset.name == "ledger")


@pytest.mark.parametrize("speed", [0.5, 1, 15, 60, 600])
@pytest.mark.parametrize("dataset", [ORDERS, LEDGER], ids=lambda value: value.name)
async def test_the_first_estimate_is_right_at_any_speed_of_the_sandbox(
    dataset: Dataset, speed: float
) -> None:
    bench = Bench(Settings(orders=1_000, speed=speed))
    await bench.connector.check(connect(), bench.waiting)
    planned = seconds(bench, connect(), dataset)
    begun = bench.clock.now()
    pages, estimates = await watched(bench, connect(), dataset)
    took = (bench.clock.now() - begun).total_seconds()
    assert took / 3 - 2 <= planned <= took * 1.5 + 2
    assert max(estimates) <= took * 1.5 + 2
    assert pages


@pytest.mark.parametrize("speed", [0.25, 4])
async def test_without_an_announced_speed_the_second_estimate_is_better_than_the_first(
    speed: float,
) -> None:
    """As with Amazon, whose reports may take any time."""
    bench = Bench(Settings(orders=1_000, speed=speed))
    bench.wire.spoil = silent
    for dataset in (ORDERS, LEDGER):
        first, took, learned = await errors(bench, connect(), dataset)
        bench.jumping.time += timedelta(days=40)
        bench.restart()
        second, _, _ = await errors(bench, connect(**learned), dataset)
        assert second < first / 3, f"{dataset.name} took {took} s"


async def test_the_published_figures_apply_if_nothing_is_known() -> None:
    bench = Bench(Settings(orders=120))
    await bench.connector.check(connect(), bench.waiting)
    for dataset in BY_REPORT:
        assert seconds(bench, connect(), dataset) == pytest.approx(61.5)


@pytest.mark.parametrize("announced", ["nan", "inf", "-1", "0", "1e-9", "1e12", "fast", ""])
async def test_an_impossible_announced_speed_is_ignored(announced: str) -> None:
    bench = Bench(Settings(orders=120, speed=60))

    def spoil(request: httpx.Request, response: httpx.Response) -> None:
        response.headers["x-sandbox-speed"] = announced

    bench.wire.spoil = spoil
    await bench.connector.check(connect(), bench.waiting)
    assert bench.client.speed == 1.0


async def test_amazon_itself_cannot_change_the_speed() -> None:
    bench = Bench(Settings(orders=120, speed=60))
    bench.settings = msgspec.structs.replace(bench.settings, sp_api_url="")  # the address of Amazon
    bench.restart()
    await bench.connector.check(connect(), bench.waiting)
    assert bench.client.speed == 1.0


def silent(request: httpx.Request, response: httpx.Response) -> None:
    response.headers.pop("x-sandbox-speed", None)


def seconds(bench: Bench, connection: Connection, dataset: Dataset) -> float:
    way = bench.connector.plan(connection, {dataset.name: bench.window(dataset)})[dataset.name]
    assert way.seconds is not None
    return way.seconds


async def watched(
    bench: Bench, connection: Connection, dataset: Dataset
) -> tuple[list[Page], list[float]]:
    """The pages of a read, and the remaining seconds that pages and waits announced."""
    bench.waits.clear()
    begun = bench.clock.now()
    pages = await bench.sync(dataset, connection)
    estimates = [page.seconds_left or 0.0 for page in pages]
    return pages, estimates + [(until - begun).total_seconds() for until, _ in bench.waits]


async def errors(
    bench: Bench, connection: Connection, dataset: Dataset
) -> tuple[float, float, Mapping[str, str]]:
    """The error of a read's estimate in seconds, its duration, and what was learned."""
    planned = seconds(bench, connection, dataset)
    begun = bench.clock.now()
    pages, _ = await watched(bench, connection, dataset)
    took = (bench.clock.now() - begun).total_seconds()
    learned = {key: value for page in pages for key, value in page.learned.items()}
    return abs(planned - took), took, learned
